#!/usr/bin/env bash
# Runs every stage on real code: data set -> tokenizer -> fine-tune -> soft prune -> hard prune -> visualise -> extract
# -> compare -> scan a project that the model has not seen. It sets up .venv first if needed. All results are written
# to demo_output/.
#
#   bash demo.sh            about 15 minutes on two idle CPU cores, after the downloads
#   bash demo.sh --quick    the same stages on a small subset, about 5 minutes, in demo_output_quick/
#
# OUTPUT=folder writes the results to another folder. SEED=n (default 42) draws other weights and another sample.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$ROOT"

case "${1:-}" in
    "") OUTPUT=${OUTPUT:-demo_output} ;;
    --quick) OUTPUT=${OUTPUT:-demo_output_quick} ;;
    -h | --help)
        sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    *)
        echo "error: unknown argument $1; expected --quick, --help or nothing" >&2
        exit 2
        ;;
esac
SEED=${SEED:-42}
if [ "${1:-}" = --quick ]; then
    SOURCES=Data/sources_quick.txt TRAIN=800 VALIDATION=100 TEST=200
    LENGTH=256 EPOCHS=3 SOFT_EPOCHS=1 LR_THRESHOLD=0.03 TREE=scan_tree/lmdb-3.0.0/lmdb
else
    SOURCES=Data/sources_demo.txt TRAIN=4000 VALIDATION=1000 TEST=2000
    LENGTH=512 EPOCHS=3 SOFT_EPOCHS=1 LR_THRESHOLD=0.003 TREE=scan_tree
fi

source ./ltp_env.sh
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}" TOKENIZERS_PARALLELISM=false
mkdir -p "$OUTPUT"
START=$SECONDS

run() { # $1: a title; the rest: a command, which is printed as one would type it
    printf '\n== %s (%s min) ==\n$ python %s\n' "$1" "$(((SECONDS - START) / 60))" "${*:2}"
    "$LTP_PYTHON" "${@:2}"
}

run "data set" Data/build_dataset.py --sources "$SOURCES" --analyzers flawfinder --near_duplicates 1 \
    --output_dir "$OUTPUT/data" --seed "$SEED" \
    --max_train_functions "$TRAIN" --max_validation_functions "$VALIDATION" --max_test_functions "$TEST"

cd "$OUTPUT"
DATA=(--train_file data/train_subset.csv --validation_file data/validation.csv)
LR=1e-4 RATE=0.05 TEMPERATURE=0.03 LAMBDA=0.1
SOFT=checkpoints/base/CODE/absolute_threshold/rate_$RATE/temperature_$TEMPERATURE/lambda_$LAMBDA/lr_0.0001
HARD=$SOFT/hard/lr_0.0001

run "tokenizer" -m ltp_pipeline.train_tokenizer --train_file data/train_subset.csv --output_dir tokenizer \
    --vocab_size 8000 --max_length "$LENGTH" --overwrite_output_dir
run "fine-tune" "$ROOT/run_glue_code_metrics.py" --config_name "$ROOT/configs/ltp_small.json" \
    --tokenizer_name tokenizer --do_train --do_eval "${DATA[@]}" --max_seq_length "$LENGTH" \
    --per_device_train_batch_size 16 --learning_rate 2e-4 --warmup_steps 0.1 \
    --num_train_epochs "$EPOCHS" --seed "$SEED" --overwrite_output_dir --output_dir code_test
run "soft pruning" "$ROOT/run_code_metrics.py" --arch ltp-base --task CODE --restore code_test "${DATA[@]}" \
    --lr $LR --lr_threshold "$LR_THRESHOLD" --final_token_threshold $RATE --temperature $TEMPERATURE \
    --lambda $LAMBDA --weight_decay 0 --bs 16 --masking_mode soft --rank_distillation 1 \
    --epoch "$SOFT_EPOCHS" --save_step 100 --no_load --seed "$SEED" --overwrite_output_dir --output_dir "$SOFT"
run "hard pruning" "$ROOT/run_code_metrics.py" --arch ltp-base --task CODE --restore "$SOFT" "${DATA[@]}" \
    --lr $LR --bs 16 --masking_mode hard --epoch 1 --save_step 100 --no_load \
    --seed "$SEED" --overwrite_output_dir --output_dir "$HARD"
run "visualise" "$ROOT/ltp_test.py" "${DATA[@]}" --task_name code \
    --max_length "$LENGTH" --pad_to_max_length --model_name_or_path "$HARD" --temperature $TEMPERATURE \
    --masking_mode hard --num_functions 2 --max_lines 15
# Extracts the tokens alive after layer 3. After the last layer most functions have one or two tokens left.
run "extract" "$ROOT/ltp_extract_and_save.py" "${DATA[@]}" --task_name code \
    --max_length "$LENGTH" --model_name_or_path "$HARD" --keep_layer 3 --overwrite_output_dir --output_dir pruned_data
run "compare on unseen projects" -m ltp_pipeline.comparison \
    --checkpoints fine-tuned=code_test soft="$SOFT" hard="$HARD" --test_file data/test.csv \
    --max_length "$LENGTH" --rounds 3 --output_dir .
# This project is in no list of the demo.
run "download another project" "$ROOT/Data/unpack_source.py" lmdb==3.0.0 \
    sha256:06dda0723545e14d56ac7dcd6f582d9922c2ed5e16f1c3f8d0e670a96ec2ee65 --output_dir scan_tree
STATUS=0
run "scan it" "$ROOT/ltp_scan.py" $TREE --model_name_or_path "$HARD" --top 20 --show 3 \
    --html scan.html --sarif scan.sarif || STATUS=$?
[ $STATUS -le 1 ] || exit $STATUS # 1: there are findings

cat <<END

Made in $(((SECONDS - START) / 60)) min $(((SECONDS - START) % 60)) s, in $OUTPUT:
  scan report     scan.html (open it in a browser), scan.sarif
  data set        data/train_subset.csv data/validation.csv data/test.csv
  fine-tuned      code_test
  soft-pruned     $SOFT
  hard-pruned     $HARD
  kept tokens     visualisation/visualisation.html visualisation/visualisation.png
  pruned data     pruned_data/train_pruned.csv pruned_data/dev_pruned.csv
  comparison      comparison.json comparison.csv
END
