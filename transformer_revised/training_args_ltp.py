"""Arguments of [`LTPTrainer`]."""

from dataclasses import dataclass, field

from transformers.training_args import TrainingArguments

MASKING_MODES = ("soft", "hard", "mixed")


@dataclass
class LTPTrainingArguments(TrainingArguments):
    r"""
    [`~transformers.TrainingArguments`], and how thresholds are learned.

    Args:
        masking_mode (`str`, *optional*, defaults to `"hard"`):
            `"soft"` multiplies each token by `sigmoid((score - threshold) / temperature)` and learns the thresholds;
            `"hard"` removes tokens and keeps the thresholds; `"mixed"` is soft for the first half of the steps, then
            hard.
        lambda_threshold (`float`, *optional*, defaults to 0.0):
            Weight of the regularizer, the sum over layers of the soft mask's mean.
        lr_threshold (`float`, *optional*):
            Peak learning rate of the thresholds; `learning_rate` if not given. It follows the same schedule.
        weight_decay_threshold (`float`, *optional*, defaults to 0.0):
            Weight decay of the thresholds.
        temperature (`float`, *optional*):
            Width of the soft mask, in units of the score; the model's own (`config.temperature`) if not given.
        target_flops (`float`, *optional*):
            Relative FLOPs that the model shall execute when training ends, above 0, at most 1; as in its configuration
            (`config.target_flops`) if not given. Soft training then learns thresholds to that budget, and
            `lr_threshold` defaults to what gets them there; after any training they are shifted to meet it on
            `calibration_samples` of the data to evaluate on.
        calibration_samples (`int`, *optional*, defaults to 128):
            Functions, evenly spread over the evaluation data (the training data where there is none), on which the
            thresholds are shifted. Their labels are not read.
        rank_distillation (`float`, *optional*, defaults to 0.0):
            Weight of a loss, in soft training, that teaches each layer to order tokens as the last layer of the model
            that training starts from does, unpruned (after ToP, KDD 2023).
    """

    masking_mode: str = field(
        default="hard",
        metadata={
            "help": "soft: learn the thresholds with soft masks. hard: remove tokens at the thresholds there are. "
            "mixed: soft for the first half of the steps, then hard.",
            "choices": MASKING_MODES,
        },
    )
    lambda_threshold: float = field(
        default=0.0, metadata={"help": "Weight of the regularizer: sum over layers of the soft mask's mean."}
    )
    lr_threshold: float | None = field(
        default=None, metadata={"help": "Peak learning rate of the thresholds (default: the model's learning rate)."}
    )
    weight_decay_threshold: float = field(default=0.0, metadata={"help": "Weight decay of the thresholds."})
    temperature: float | None = field(
        default=None,
        metadata={"help": "Width of the soft mask in units of the score (default: the checkpoint's own)."},
    )

    target_flops: float | None = field(
        default=None,
        metadata={"help": "Relative FLOPs wanted when training ends, such as 0.5 (default: the checkpoint's own)."},
    )
    calibration_samples: int = field(
        default=128, metadata={"help": "With a target: functions on which thresholds are shifted to meet it."}
    )

    rank_distillation: float = field(
        default=0.0,
        metadata={
            "help": "Weight, such as 0.3, of a loss in soft training that teaches early layers to order tokens as the "
            "unpruned model's last layer does."
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.masking_mode not in MASKING_MODES:
            raise ValueError(f"masking_mode has to be one of {', '.join(MASKING_MODES)}, not {self.masking_mode!r}")
        if self.lambda_threshold < 0:
            raise ValueError(f"lambda_threshold has to be at least 0, not {self.lambda_threshold}")
        if self.temperature is not None and not self.temperature > 0:
            raise ValueError(f"temperature has to be positive, not {self.temperature}")
        if self.target_flops is not None and not 0 < self.target_flops <= 1:
            raise ValueError(f"target_flops has to be above 0 and at most 1, not {self.target_flops}")
        if self.rank_distillation < 0:
            raise ValueError(f"rank_distillation has to be at least 0, not {self.rank_distillation}")
        if self.calibration_samples < 1:
            raise ValueError(f"calibration_samples has to be at least 1, not {self.calibration_samples}")


__all__ = ["LTPTrainingArguments"]
