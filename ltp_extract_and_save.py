"""Writes the code that a pruned model keeps: ltp_pipeline/commands/extract.py. Installed: `ltp-extract`."""

from ltp_pipeline.base.errors import run_main
from ltp_pipeline.commands.extract import main

if __name__ == "__main__":
    run_main(main, parallel=True)
