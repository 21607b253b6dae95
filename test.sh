#!/usr/bin/env bash
# Shows what the newest hard-pruned checkpoint keeps, then writes the pruned data set.
# The variables CKPT, TRAIN_FILE, VALIDATION_FILE and PYTHON replace the defaults.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python)}
TRAIN_FILE=${TRAIN_FILE:-Data/train_subset.csv}
VALIDATION_FILE=${VALIDATION_FILE:-Data/test.csv}

newest_hard_checkpoint() {
    local newest="" config
    while IFS= read -r config; do
        if [ -z "$newest" ] || [ "$config" -nt "$newest" ]; then newest=$config; fi
    done < <(find checkpoints -path '*/hard/lr_*/config.json' ! -path '*/checkpoint-*' 2>/dev/null)
    if [ -n "$newest" ]; then dirname "$newest"; fi
}

CKPT=${CKPT:-$(newest_hard_checkpoint)}
if [ -z "$CKPT" ]; then
    echo "error: there is no hard-pruned checkpoint in checkpoints/: run \`bash demo.sh\` or the hard stage of" \
        "run_code_metrics.py first, or name a checkpoint: CKPT=folder bash test.sh" >&2
    exit 2
fi
echo "checkpoint: $CKPT"

COMMON=(--train_file "$TRAIN_FILE" --validation_file "$VALIDATION_FILE" --task_name code --max_length 1024
    --pad_to_max_length --model_name_or_path "$CKPT" --temperature 1e-5 --masking_mode hard)
"$PYTHON" ltp_test.py "${COMMON[@]}" --per_device_eval_batch_size 4
"$PYTHON" ltp_extract_and_save.py "${COMMON[@]}" --per_device_eval_batch_size 8 --overwrite_output_dir \
    --output_dir pruned_data
