"""Training and evaluation: what the two training scripts run."""
