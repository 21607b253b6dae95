from benchmarks.speed.command import main
from ltp_pipeline.base.errors import run_main

if __name__ == "__main__":
    run_main(main)
