"""Finished studies. They are not part of the tests."""
