"""Commands that measure what docs/ reports."""
