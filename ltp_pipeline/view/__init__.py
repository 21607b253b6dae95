"""What a pruned model keeps of a function: as data, in the terminal, as a page, as a figure."""
