"""From files of functions to batches of tokens."""
