"""Source code: its languages, its functions, its tokens."""
