"""Mirrors `transformers/models`: the model in `ltp`, its names for the Auto classes in `auto`."""
