from ltp_pipeline.base.errors import run_main
from ltp_pipeline.model.conversion import main

if __name__ == "__main__":
    run_main(main)
