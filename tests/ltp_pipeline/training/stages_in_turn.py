"""All stages one after the other in one Python, to be run by one process or, started by torchrun, by several.

    python -m torch.distributed.run --nproc_per_node 2 stages_in_turn.py FOLDER BATCH

`FOLDER` is for the results, `BATCH` the functions in a process's batch. Expected in the working directory: longformer,
train.csv, test.csv, new.csv (without labels) and `one`, the folder of the run by one process, to evaluate and extract
from.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import ltp_extract_and_save  # noqa: E402
import run_code_metrics  # noqa: E402
import run_glue_code_metrics  # noqa: E402
from ltp_pipeline.base.errors import run_main  # noqa: E402

DATA = "--train_file train.csv --validation_file test.csv"
# Adam divides a gradient by its own size. With its usual epsilon, 1e-8, a gradient that rounding alone makes moves a
# weight by up to the learning rate, in a direction that rounding decides. An epsilon far above rounding prevents that.
OPTIMIZER = "--adam_epsilon 1e-3"
TRAINING = f"{DATA} --use_cpu --dtype float32 --logging_steps 1 --per_device_eval_batch_size 4 {OPTIMIZER}"
STAGE = f"{TRAINING} --task CODE --epoch 1 --temperature 0.1 --lr 1e-3"


def run_all(folder: str, batch: int) -> None:
    """Fine-tuning, soft, mixed and hard pruning into `folder`; evaluation and extraction of what is in `one`."""
    run_glue_code_metrics.main(
        f"{TRAINING} --model_name_or_path longformer --do_train --do_eval --learning_rate 1e-3 --num_train_epochs 1 "
        f"--per_device_train_batch_size {batch} --output_dir {folder}/fine_tuned".split()
    )
    learn = "--no_load --lambda 0.1 --lr_threshold 0.003 --final_token_threshold 0.3"
    stages = {
        "soft": f"--restore {folder}/fine_tuned --masking_mode soft {learn}",
        "mixed": f"--restore {folder}/fine_tuned --masking_mode mixed --gradient_checkpointing {learn} "
        "--rank_distillation 0.5 --overwrite_cache",
        "budget": f"--restore {folder}/fine_tuned --masking_mode soft --no_load --target_flops 0.85",
        "lora": f"--restore {folder}/fine_tuned --masking_mode soft --lora_r 4 {learn}",
        "hard": f"--restore {folder}/soft --masking_mode hard --save_step 3 --gradient_accumulation_steps 2",
        "by_tokens": f"--restore {folder}/fine_tuned --masking_mode soft {learn} --max_tokens_per_batch 300",
        "evaluated": "--restore one/hard --eval",
        "evaluated_by_tokens": "--restore one/hard --eval --max_tokens_per_batch 150",
        "predicted": "--restore one/hard --eval --test_file new.csv",
    }
    for name, flags in stages.items():
        run_code_metrics.main(f"{STAGE} {flags} --bs {batch} --output_dir {folder}/{name}".split())
    extract = f"extract {DATA} --model_name_or_path one/hard --use_cpu --dtype float32"
    sys.argv = f"{extract} --max_length 96 --keep_layer 2".split()
    sys.argv += ["--per_device_eval_batch_size", "3", f"{folder}/extracted"]
    ltp_extract_and_save.main()


if __name__ == "__main__":
    run_main(lambda: run_all(sys.argv[1], int(sys.argv[2])), parallel=True)
