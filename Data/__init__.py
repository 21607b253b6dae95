"""Builds data sets of functions and imports published ones. Git ignores the files that the builder writes here."""
