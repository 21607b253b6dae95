"""Prunes a fine-tuned checkpoint: ltp_pipeline/commands/prune.py. Installed: `ltp-prune`."""

from ltp_pipeline.base.errors import run_main
from ltp_pipeline.commands.prune import main

if __name__ == "__main__":
    run_main(main, parallel=True)
