"""What the scripts at the root share: data, metrics, compute accounting, checkpoints and reports."""
