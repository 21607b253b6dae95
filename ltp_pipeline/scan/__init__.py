"""A source tree to findings: which functions, and which of their lines, to read first."""
