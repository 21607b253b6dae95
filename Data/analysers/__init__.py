"""Static analysers: they read source files and report findings by line."""
