"""The pipeline behind the scripts at the root: data, training, metrics, FLOPs, checkpoints and reports."""

__version__ = "0.1.0"
