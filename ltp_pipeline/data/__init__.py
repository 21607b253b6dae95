"""Turns files of functions into batches of tokens."""
