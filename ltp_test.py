"""Shows what a pruned model keeps: ltp_pipeline/commands/show.py. Installed: `ltp-show`."""

from ltp_pipeline.base.errors import run_main
from ltp_pipeline.commands.show import main

if __name__ == "__main__":
    run_main(main)
