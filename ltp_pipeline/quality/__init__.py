"""Finds what makes data misleading: duplicates, groups that are in two splits, and text that tells the label."""
