"""The arguments of [`LTPTrainer`]: the library's, and how thresholds are learned."""

from dataclasses import dataclass

from transformers.hf_argparser import HfArg
from transformers.training_args import TrainingArguments

from .models.ltp.configuration_checks import Range
from .models.ltp.configuration_ltp import RANK_TEACHERS

MASKING_MODES = ("soft", "hard", "mixed")
DEFAULT_RANK_TEACHER = "relevance"  # of sequence classifiers. For other models only "attention" is defined
RANGES = {
    "lambda_threshold": Range(0),
    "lr_threshold": Range(0),
    "weight_decay_threshold": Range(0),
    "temperature": Range(0, open_low=True),
    "target_flops": Range(0, 1, open_low=True),
    "rank_distillation": Range(0),
    "calibration_samples": Range(1),
}


@dataclass
class LTPTrainingArguments(TrainingArguments):
    """[`~transformers.TrainingArguments`], and how thresholds are learned. The fields' `help` documents them.

    Raises ValueError for a value out of range.
    """

    masking_mode: str = HfArg(
        default="hard",
        metadata={"choices": MASKING_MODES},
        help="soft: multiply tokens by the soft mask sigmoid((score - threshold) / temperature) and learn the "
        "thresholds. hard: remove tokens, with fixed thresholds. mixed: soft in the first half of the steps, hard "
        "in the second.",
    )
    lambda_threshold: float = HfArg(
        default=0.0, help="Weight of the regularizer, the sum over layers of the soft mask's mean."
    )
    lr_threshold: float | None = HfArg(
        default=None,
        help="Peak learning rate of the thresholds, with the schedule of the other learning rate (default: the "
        "model's learning rate; with a budget, a rate that is high enough to meet it).",
    )
    weight_decay_threshold: float = HfArg(default=0.0, help="Weight decay of the thresholds.")
    temperature: float | None = HfArg(
        default=None, help="Width of the soft mask in units of the score (default: the checkpoint's own)."
    )
    target_flops: float | None = HfArg(
        default=None,
        help="Budget: relative FLOPs of the trained model, above 0, at most 1 (default: the checkpoint's own). "
        "Soft training learns thresholds that approach it. Every training ends with a shift of the thresholds "
        "to this budget.",
    )
    calibration_samples: int = HfArg(
        default=128,
        help="Number of functions on which thresholds are shifted to meet the budget, evenly spread over the "
        "evaluation data (over the training data if there is none). Their labels are not read.",
    )
    rank_distillation: float = HfArg(
        default=0.0,
        help="Weight, such as 1, of a loss by which early layers learn to order tokens as --rank_teacher does "
        "(ranking distillation), in soft and in hard training.",
    )
    rank_teacher: str | None = HfArg(
        default=None,
        metadata={"choices": RANK_TEACHERS},
        help="What --rank_distillation teaches, computed by the unpruned starting model. attention: the attention of "
        "its last layer's global tokens. relevance: how much each token and its neighbours speak for the finding "
        "(class 1 of code, else what docs/model.md says), by integrated gradients averaged over 9 tokens. magnitude: "
        "how much each token alone changes the prediction, whichever way, by the same gradients (default: in hard "
        f"training the earlier teacher of the model, if it had one; else {DEFAULT_RANK_TEACHER}, where a model "
        "classifies sequences).",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.masking_mode not in MASKING_MODES:
            raise ValueError(f"masking_mode has to be one of {', '.join(MASKING_MODES)}, not {self.masking_mode!r}")
        for name, right in RANGES.items():
            value = getattr(self, name)
            if value is not None and value not in right:
                raise ValueError(f"{name} has to be {right.in_words(value)}, not {value}")
        self.check_checkpoints()
        if self.rank_teacher is None:
            return
        if self.rank_teacher not in RANK_TEACHERS:
            raise ValueError(f"rank_teacher has to be one of {', '.join(RANK_TEACHERS)}, not {self.rank_teacher!r}")
        if self.rank_distillation == 0:
            raise ValueError(f"rank_teacher {self.rank_teacher}: expected a weight rank_distillation above 0")

    def check_checkpoints(self) -> None:
        """Raises ValueError for reentrant gradient checkpoints where pruning is learned.

        Scores and masks are not direct outputs of a layer. Such a checkpoint gives them no gradient.
        """
        options = self.gradient_checkpointing_kwargs
        reentrant = isinstance(options, dict) and options.get("use_reentrant")
        if reentrant and (self.masking_mode != "hard" or self.rank_distillation):
            raise ValueError(
                "gradient_checkpointing_kwargs use_reentrant: expected false, else pruning is not learned"
            )


__all__ = ["LTPTrainingArguments"]
