"""The files of LTP inside an installed Transformers package."""
