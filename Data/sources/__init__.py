"""Where source files come from: lists of distributions, downloads, archives and folders."""
