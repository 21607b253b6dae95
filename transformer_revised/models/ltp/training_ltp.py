"""Trainer and arguments beside the model, so that the lazy `__init__` of `models.ltp` exports them with it."""

from ...trainer_ltp import LTPTrainer
from ...training_args_ltp import LTPTrainingArguments

__all__ = ["LTPTrainer", "LTPTrainingArguments"]
