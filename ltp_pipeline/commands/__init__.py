"""The commands behind the scripts at the root, and their entry points in an installation."""
