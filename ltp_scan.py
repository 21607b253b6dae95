#!/usr/bin/env python3
"""Scans source files with a trained checkpoint: ltp_pipeline/commands/scan.py. Installed: `ltp-scan`."""

from ltp_pipeline.base.errors import run_main
from ltp_pipeline.commands.scan import main

if __name__ == "__main__":
    run_main(main)
