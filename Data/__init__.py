"""Builder of function data sets; what it writes lands in this folder, untracked."""
