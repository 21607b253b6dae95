"""Static analysers: source files in, findings by line out."""
