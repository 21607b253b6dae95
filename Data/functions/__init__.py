"""From findings and functions to labelled rows, splits and the data card."""
