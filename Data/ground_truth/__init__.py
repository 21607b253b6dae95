"""What the importers of public data sets with known defects share."""
