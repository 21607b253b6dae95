"""Shows and writes a `ScanReport`, and compares it with an earlier one."""
