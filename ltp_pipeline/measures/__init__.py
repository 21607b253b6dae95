"""The measures of defect detection, from numpy arrays: docs/measures.md has the formula and the source of each."""
