"""The pipeline behind the scripts at the root: data, training, metrics, FLOPs, checkpoints and reports."""
