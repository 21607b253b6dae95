"""The pruning modes that learn nothing, topk and threshold: each has one number that decides what is removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ltp_pipeline.base.errors import UserError
from transformer_revised.models.ltp.prune_modules import UNPRUNED_LAYERS

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from ltp_pipeline.training.arguments import StageArguments, StageTrainingArguments

# Mode -> its number, which is a flag and a field of the configuration, and the values that make sense
NUMBERS = {
    "topk": ("token_keep_rate", lambda rate: 0 < rate < 1, "above 0 and below 1"),
    "threshold": ("token_threshold", lambda threshold: 0 < threshold <= 1, "above 0 and at most 1"),
}


def fixed_pruning(
    mode: str | None, stage: StageArguments, args: StageTrainingArguments, config: PreTrainedConfig
) -> dict[str, float]:
    """The number of this mode by name: the flag's, or that of the checkpoint; {} for a mode without one.

    Raises UserError if it is missing or out of range, if the flag belongs to another mode, or if topk cannot work: it
    has no soft masks, and no layer to prune in a model of three layers.
    """
    for other, (name, _, _) in NUMBERS.items():
        if other != mode and getattr(stage, name) is not None:
            raise UserError(f"--{name} {getattr(stage, name)}: expected --prune_mode {other}, not {mode}")
    if mode not in NUMBERS:
        return {}
    name, is_possible, possible = NUMBERS[mode]
    given, own = getattr(stage, name), getattr(config, name, None)
    if given is None and (own is None or not is_possible(own)):
        raise UserError(f"--prune_mode {mode}: would remove no token; expected --{name}, {possible}")
    if given is not None and not is_possible(given):
        raise UserError(f"--{name} {given}: expected a number {possible}")
    if mode == "topk" and not stage.eval and args.masking_mode != "hard":
        raise UserError(f"--masking_mode {args.masking_mode}: --prune_mode topk has no soft masks; expected hard")
    if mode == "topk" and config.num_hidden_layers <= UNPRUNED_LAYERS:
        raise UserError(
            f"--prune_mode topk: prunes from layer {UNPRUNED_LAYERS + 1} on, and {stage.restore} has "
            f"{config.num_hidden_layers} layers; expected another mode"
        )
    return {name: own if given is None else given}
