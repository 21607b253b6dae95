"""Adds the files of LTP to an installed Transformers package, and removes them again."""
