"""Functions with their labels: near duplicates, splits, tables and the data card."""
