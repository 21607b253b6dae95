"""Times scans of source trees, from files to findings."""
