"""Exports the trainer and its arguments with the model: the lazy `__init__` of this folder reads `__all__` here."""

from ...trainer_ltp import LTPTrainer
from ...training_args_ltp import LTPTrainingArguments

__all__ = ["LTPTrainer", "LTPTrainingArguments"]
