"""Shows what a pruned model keeps of each function: as text, in the terminal, as an HTML page and as figures."""
