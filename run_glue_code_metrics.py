"""Fine-tunes and evaluates a classifier: ltp_pipeline/commands/finetune.py. Installed: `ltp-finetune`."""

from ltp_pipeline.base.errors import run_main
from ltp_pipeline.commands.finetune import main

if __name__ == "__main__":
    run_main(main, parallel=True)
