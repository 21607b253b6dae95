"""Which source files are scanned, what they hold, and what is left out of the findings."""
