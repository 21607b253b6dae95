"""Where source files come from: lists, downloads, archives, folders."""
