"""Loads and converts models, and measures what they compute."""
