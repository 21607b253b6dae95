"""Checkpoints, starting models, conversion, precision and the measuring of compute."""
