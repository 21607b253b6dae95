"""Runs the checkpoint on what the source files hold: probabilities, line scores and kept tokens, with a cache."""
