"""LoRA (Hu et al., ICLR 2022): trains small adapters beside frozen weights, through the library PEFT.

A model is saved with merged adapters, as a plain checkpoint. A checkpoint to resume from also holds LORA_STATE, what
has been trained: merged weights do not tell the adapters.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.extras import check_installed
from ltp_pipeline.base.processes import is_main
from ltp_pipeline.model.checkpoints import PRUNABLE
from transformer_revised import LTPTrainer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ltp_pipeline.training.arguments import FineTuningArguments

LORA_STATE = "lora_state.safetensors"
# Attention but key_global and value_global: with adapters these are computed for every token, not for a few vectors
TARGETS = ("query", "key", "value", "query_global")
NAME = "default"  # PEFT's name of the only adapter of a layer


def check_lora(args: FineTuningArguments) -> None:
    """Raises UserError for flags of LoRA that cannot be used. `checks.check_numbers` checks the numbers."""
    if args.lora_r is None:
        for name in ("lora_alpha", "lora_dropout", "lora_target_modules"):
            if getattr(args, name) is not None:
                raise UserError(f"--{name}: expected --lora_r, the rank of the adapters, with it")
        return
    where = f"--lora_r {args.lora_r}"
    check_installed(where, "lora", "peft")
    if args.fsdp or args.deepspeed:
        raise UserError(f"{where}: cannot be combined with --fsdp or --deepspeed, which divide the weights")
    if (args.gradient_checkpointing_kwargs or {}).get("use_reentrant"):
        raise UserError(
            f"{where}: --gradient_checkpointing_kwargs use_reentrant: expected false, else adapters get no gradient"
        )


def add_adapters(model: PreTrainedModel, args: FineTuningArguments) -> None:
    """Adds adapters to the encoder of `model`, and freezes its other weights; the head is trained as a whole.

    Raises UserError if the model is of another type than Longformer, or has no such layers, or the rank is larger than
    that of a layer.
    """
    from peft import LoraConfig, inject_adapter_in_model

    if model.config.model_type not in PRUNABLE:
        raise UserError(
            f"--lora_r {args.lora_r}: model type {model.config.model_type!r}; expected one of {', '.join(PRUNABLE)}, "
            "or --convert_to_ltp"
        )
    targets = _layers_named(model, args.lora_target_modules or TARGETS)
    full = min(size for name in targets for size in model.get_submodule(name).weight.shape)
    if args.lora_r > full:
        raise UserError(
            f"--lora_r {args.lora_r}: expected at most {full}, the rank of the smallest layer with adapters"
        )
    config = LoraConfig(
        r=args.lora_r,
        lora_alpha=2 * args.lora_r if args.lora_alpha is None else args.lora_alpha,
        lora_dropout=args.lora_dropout or 0.0,
        target_modules=targets,
    )
    inject_adapter_in_model(config, model)
    del model.peft_config  # otherwise the library takes the model for one whose adapters it saves
    for name, parameter in model.named_parameters():
        if not name.startswith(f"{model.base_model_prefix}."):
            parameter.requires_grad_(True)


def _layers_named(model: PreTrainedModel, names: tuple[str, ...] | list[str]) -> list[str]:
    """The full names of the encoder's linear layers whose last parts are one of `names`."""
    prefix = f"{model.base_model_prefix}."
    linear = [
        name for name, layer in model.named_modules() if isinstance(layer, nn.Linear) and name.startswith(prefix)
    ]
    found = []
    for wanted in names:
        named = [name for name in linear if f".{name}".endswith(f".{wanted}")]
        if not named:
            known = sorted({name.rpartition(".")[2] for name in linear})
            raise UserError(
                f"--lora_target_modules {wanted}: the encoder has no such linear layer; expected some of "
                f"{', '.join(known)}"
            )
        found += named
    return sorted(set(found))


def adapted_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Name and module of each layer with an adapter."""
    return ((name, layer) for name, layer in model.named_modules() if hasattr(layer, "lora_A"))


def has_adapters(model: nn.Module) -> bool:
    """Whether a layer of `model` has an adapter."""
    return next(adapted_layers(model), None) is not None


def merged_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """The state of `model` with merged adapters, under the names of a model without adapters.

    The merged weight is `W + alpha / r * B A`, `[D_out, D_in]` (equation 3 of the paper).
    """
    weights = {
        name.replace(".base_layer.", "."): tensor
        for name, tensor in model.state_dict().items()
        if ".lora_" not in name
    }
    with torch.no_grad():
        for name, layer in adapted_layers(model):
            weights[f"{name}.weight"] = layer.base_layer.weight + layer.get_delta_weight(NAME)
    return weights


def merge_adapters(model: nn.Module) -> None:
    """Merges the adapters of `model` in place: it is then a model that never had any."""
    layers = list(adapted_layers(model))
    for name, layer in layers:
        layer.merge()
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, layer.base_layer)
    for name, parameter in model.named_parameters() if layers else ():
        if ".pruner." not in name:  # whether thresholds learn is LTPTrainer's choice
            parameter.requires_grad_(True)


def trained_state(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """The part of the state that training changes: adapters, thresholds and the head."""
    prefix = f"{model.base_model_prefix}."
    return {
        name: tensor
        for name, tensor in model.state_dict().items()
        if ".lora_" in name or ".pruner." in name or not name.startswith(prefix)
    }


class LoraTrainer(LTPTrainer):
    """[`LTPTrainer`] that also trains a model with adapters (`add_adapters`). After training they are merged."""

    def __init__(self, model: PreTrainedModel, *args: Any, **kwargs: Any):
        super().__init__(model, *args, **kwargs)
        if has_adapters(model) and is_main():
            sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
            trained, total = sum(n for n, learns in sizes if learns), sum(n for n, _ in sizes)
            layers = len(list(adapted_layers(model)))
            print(f"LoRA: {layers} layers have adapters; {trained} of {total} parameters are trained", flush=True)

    def _train(self, *args: Any, **kwargs: Any) -> Any:
        output = super()._train(*args, **kwargs)
        merge_adapters(self.model)
        return output

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        if has_adapters(self.model) and self.args.should_save:
            from safetensors.torch import save_file

            folder = Path(output_dir or self.args.output_dir)
            folder.mkdir(parents=True, exist_ok=True)
            state = {name: tensor.contiguous().cpu() for name, tensor in trained_state(self.model).items()}
            save_file(state, folder / LORA_STATE)
            state_dict = merged_weights(self.model)
        super()._save(output_dir, state_dict)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if has_adapters(self.model):
            self._load_lora(Path(resume_from_checkpoint))
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_best_model(self) -> None:
        if has_adapters(self.model):
            self._load_lora(Path(self.state.best_model_checkpoint))
        else:
            super()._load_best_model()

    def _load_lora(self, checkpoint: Path) -> None:
        """Loads what has been trained. Raises UserError if the checkpoint does not have it."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            state = load_file(checkpoint / LORA_STATE)
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"{checkpoint}: {LORA_STATE} cannot be read: {error}; expected a checkpoint of a run with --lora_r"
            ) from error
        wanted = trained_state(self.model)
        if {name: tensor.shape for name, tensor in state.items()} != {name: t.shape for name, t in wanted.items()}:
            raise UserError(
                f"{checkpoint}: {LORA_STATE} is of other adapters; expected those of this training's flags"
            )
        self.model.load_state_dict(state, strict=False)
