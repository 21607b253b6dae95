"""Flags that no command can use. Their messages are not in the table of the docs."""

from __future__ import annotations

from collections.abc import Callable

from tests.ltp_pipeline.bad_inputs import (
    HUB_COLUMNS,
    Case,
    check,
    compare,
    convert,
    extract,
    fine_tune,
    import_mpsd,
    import_vdisc,
    prune,
    train_on,
    train_tokenizer,
    visualise,
)

VDISC = "--task_name vdisc --train_file a.csv"
RTE = "--task_name RTE --train_file rte.csv --validation_file rte.csv"
EVALUATE = "--validation_file good.csv --do_eval"
CONVERT = "--model_name_or_path roberta --convert_to_ltp --max_positions 200"


def start_at_random(flags: list[str]) -> None:
    import run_glue_code_metrics

    run_glue_code_metrics.main(["--output_dir", "out", "--train_file", "good.csv", *flags])


def scan(flags: list[str]) -> None:
    import ltp_scan

    ltp_scan.main([".", "--model_name_or_path", "pruned", "--no_cache", *flags])


def _flags(run: Callable[[list[str]], None], flags: str, says: str, **files: str) -> Case:
    """A case. `files`: content by name, without the ending .csv."""
    return Case(run, flags, flags, {f"{name}.csv": content for name, content in files.items()}, says=says)


FLAG_CASES = (
    _flags(fine_tune, "", "nothing to do.*--do_train"),
    _flags(fine_tune, "--do_train --dtype int8", "--dtype int8: is for evaluation; expected float32"),
    _flags(start_at_random, "--do_train", "--model_name_or_path is missing.*--config_name and --tokenizer_name"),
    _flags(start_at_random, "--config_name longformer --tokenizer_name longformer --do_eval", "only --do_train"),
    _flags(train_on, "good.csv --model_name_or_path ./none", "--model_name_or_path ./none: no such folder"),
    _flags(train_on, "good.csv --model_name_or_path good.csv", "--model_name_or_path good.csv: this is a file"),
    _flags(train_on, "good.csv --max_seq_length 2", "--max_seq_length 2.*3 or more"),
    _flags(train_on, "good.csv --window_size 7", "--window_size 7.*even"),
    _flags(train_on, "good.csv --output_dir longformer", "--output_dir longformer.*--model_name_or_path"),
    _flags(train_on, "good.csv --output_dir good.csv", "--output_dir good.csv.*--train_file"),
    _flags(train_on, "good.csv --output_dir .", r"--output_dir \.: .*replace"),
    _flags(train_on, "good.csv --output_dir good.csv/x", "--output_dir good.csv/x: cannot be written"),
    _flags(train_on, "good.csv --task_name rnli", "--task_name rnli.*CODE, VDISC, RTE"),
    _flags(train_on, "good.csv --eval_strategy often", "often.*IntervalStrategy"),
    _flags(train_on, "good.csv --resume_from_checkpoint x", "--resume_from_checkpoint x.*checkpoint-N"),
    _flags(train_on, "good.csv --target_flops 0.5", "--target_flops.*absolute_threshold"),
    _flags(train_on, "good.csv --target_flops 0.5 --model_name_or_path roberta", "--target_flops 0.5.*roberta.*LTP"),
    _flags(train_on, "good.csv --rank_distillation 1 --model_name_or_path roberta", "--rank_distillation 1.*roberta"),
    _flags(train_on, "good.csv --lora_r 4 --model_name_or_path roberta", "--lora_r 4.*'roberta'.*--convert_to_ltp"),
    _flags(train_on, "good.csv --lora_r 4 --lora_target_modules out", "--lora_target_modules out: .*dense, key"),
    _flags(train_on, "good.csv --max_tokens_per_batch 5", "--max_tokens_per_batch 5.*--max_seq_length"),
    _flags(train_on, "good.csv --validation_mismatched_file x", "--validation_mismatched_file.*MNLI"),
    _flags(fine_tune, f"{RTE} --do_eval --text_column x", "--text_column.*sentence1 and sentence2", rte=HUB_COLUMNS),
    _flags(fine_tune, f"{RTE} --do_eval --validation_mismatched_file x", "--validation_mismatched_file.*RTE"),
    _flags(fine_tune, f"{RTE} --do_eval", "--validation_file rte.csv: row 1 .*0", rte="sentence1,sentence2\na,b\n"),
    _flags(fine_tune, f"{RTE} --do_train --max_train_samples 1", "label 0.*training", rte=HUB_COLUMNS),
    _flags(fine_tune, f"{VDISC} --do_train", "row 2 .*'CWE-20'.*CWE-119", a="code,label\na,CWE-119\nb,CWE-20\n"),
    _flags(fine_tune, f"{VDISC} --do_train", "CWE-119.*training", a='code,label\na,""\nb,[]\n'),
    _flags(fine_tune, f"{VDISC} --do_train --label_map a=0,b=1", "--label_map.*CWE-119", a="code,label\na,CWE-119\n"),
    _flags(
        fine_tune,
        f"{VDISC} --do_train --truncation windows",
        "--truncation windows.*VDISC",
        a="code,label\na,CWE-119\n",
    ),
    _flags(prune, "good.csv --task CWE", "--task CWE.*CODE, VDISC, RTE"),
    _flags(prune, "good.csv --restore ./none", "--restore ./none: no such folder"),
    _flags(prune, "good.csv --restore roberta", "--restore roberta.*'roberta'.*longformer, ltp"),
    _flags(prune, "good.csv --restore three", "--restore three.*3 classes.*--task CODE has 2"),
    _flags(prune, "good.csv --restore bare", "--restore bare: no config.json"),
    _flags(prune, "good.csv --task STSB", "--restore longformer.*2 classes.*--task STSB has 1"),
    _flags(prune, "good.csv --prune_mode best", "prune_mode.*absolute_threshold"),
    _flags(prune, "good.csv --prune_mode topk --target_flops 0.5", "--target_flops 0.5.*absolute_threshold.*topk"),
    _flags(prune, "good.csv --prune_mode threshold --prune_first_layer", "--prune_first_layer.*rising.*threshold$"),
    _flags(prune, "good.csv --prune_mode topk", "--prune_mode topk.*--token_keep_rate"),
    _flags(prune, "good.csv --prune_mode threshold", "--prune_mode threshold.*--token_threshold"),
    _flags(prune, "good.csv --prune_mode threshold --token_threshold 2", r"--token_threshold 2\.0.*at most 1"),
    _flags(prune, "good.csv --token_keep_rate 0.5", r"--token_keep_rate 0\.5.*topk, not absolute_threshold"),
    _flags(prune, "good.csv --final_token_threshold nan", "--final_token_threshold nan.*0 or more"),
    _flags(prune, "good.csv --final_token_threshold -0.1", r"--final_token_threshold -0\.1.*0 or more"),
    _flags(train_on, "good.csv --seed -1", "--seed -1.*0 to 4294967295"),
    _flags(train_on, "good.csv --max_steps 0", "--max_steps 0.*1 or more"),
    _flags(prune, "good.csv --output_dir longformer", "--output_dir longformer.*--restore"),
    _flags(prune, "good.csv --max_seq_len 500", "--max_seq_length 500.*128"),
    _flags(prune, "good.csv --eval --output_dir good.csv", "--output_dir good.csv: cannot be written"),
    _flags(train_on, f"good.csv {EVALUATE} --max_false_alarm 1.0", "--max_false_alarm 1.0: .*at least 0 and below 1"),
    _flags(train_on, f"good.csv {EVALUATE} --max_false_alarm -0.1", "--max_false_alarm -0.1: "),
    _flags(train_on, "good.csv --max_false_alarm 0.1", "--max_false_alarm 0.1: .*expected training and evaluation"),
    _flags(fine_tune, f"{EVALUATE} --max_false_alarm 0.1", "--max_false_alarm 0.1: .*training and evaluation"),
    _flags(
        train_on,
        "good.csv --validation_file a.csv --do_eval --max_false_alarm 0.05",
        "--max_false_alarm 0.05: .*all 2 .*--validation_file a.csv.*both classes",
        a="code,label\nint a;,1\nint b;,1\n",
    ),
    _flags(
        train_on,
        "good.csv --validation_file a.csv --do_eval --max_false_alarm 0 --on_bad_rows skip --max_eval_samples 1",
        "--max_false_alarm 0.0: .*all 1 .*--max_eval_samples",
        a="code,label\n,0\nint b;,1\nint b;,0\n",
    ),
    _flags(
        prune,
        "good.csv --validation_file a.csv --max_false_alarm 0.05",
        "--max_false_alarm 0.05: .*all 1 .*--validation_file a.csv",
        a="code,label\nint a;,1\n",
    ),
    _flags(
        train_on,
        "good.csv --validation_file a.csv --do_eval --metric_for_best_model auc",
        "--metric_for_best_model auc: .*--validation_file a.csv",
        a="code,label\nint a;,0\n",
    ),
    _flags(
        fine_tune,
        f"{RTE} --do_train --do_eval --max_false_alarm 0.1",
        "--max_false_alarm 0.1: .*not RTE",
        rte=HUB_COLUMNS,
    ),
    _flags(fine_tune, f"{EVALUATE} --bootstrap 50", "--bootstrap 50: .*100 or more"),
    _flags(fine_tune, f"{RTE} --do_eval --bootstrap 1000", "--bootstrap 1000: .*not RTE", rte=HUB_COLUMNS),
    _flags(prune, "good.csv --bootstrap -1", "--bootstrap -1: .*0 for no intervals"),
    _flags(compare, "good.csv --bootstrap 1", "--bootstrap 1: .*100 or more"),
    _flags(
        train_on,
        "good.csv --validation_file a.csv --do_eval --metric_for_best_model vd_s_0.5",
        "--metric_for_best_model vd_s_0.5: .*--validation_file a.csv",
        a="code,label\nint a;,0\n",
    ),
    _flags(train_on, "good.csv --max_positions 200", "--max_positions: .*--convert_to_ltp"),
    _flags(train_on, f"good.csv {CONVERT} --max_seq_length 201", "--max_seq_length 201: expected at most 200"),
    _flags(train_on, f"good.csv {CONVERT} --window_size 7", "--window_size 7: expected an even number of tokens"),
    _flags(start_at_random, "--do_train --convert_to_ltp", "--convert_to_ltp: expected --model_name_or_path"),
    _flags(convert, "--max_positions 2", "--max_positions 2: expected 3 or more"),
    _flags(convert, "--attention_window 7", "--attention_window 7: expected an even number"),
    _flags(convert, "--attention_window 0", "--attention_window 0: expected an even number"),
    _flags(convert, "--attention_probs_dropout_prob 1", "--attention_probs_dropout_prob 1.0: .* less than 1"),
    _flags(convert, "--output_dir longformer", "--output_dir longformer: .* expected a new folder"),
    _flags(convert, "--output_dir good.csv", "--output_dir good.csv: .* expected a new folder"),
    _flags(convert, "--output_dir pruned", "--output_dir pruned: .*config.json; expected .*--overwrite_output_dir"),
    _flags(convert, "--output_dir . --overwrite_output_dir", "--output_dir .: .* would replace the working directory"),
    _flags(convert, "--output_dir longformer --overwrite_output_dir", "--output_dir longformer: contains files that"),
    _flags(convert, "--output_dir good.csv/x", "--output_dir good.csv/x: cannot be written"),
    _flags(compare, "good.csv --checkpoints a", "--checkpoints a: expected NAME=FOLDER"),
    _flags(compare, "good.csv --checkpoints a=x a=y", "--checkpoints a=y: the name a is given twice"),
    _flags(compare, "good.csv --rounds 0", "--rounds 0: expected 1 or more"),
    _flags(compare, "good.csv --output_dir good.csv", "--output_dir good.csv: cannot be written: good.csv is a file"),
    _flags(train_tokenizer, "good.csv --max_length 2", "--max_length 2: "),
    _flags(train_tokenizer, "good.csv --output_dir good.csv/t", "--output_dir good.csv/t: "),
    _flags(check, "good.csv --max_length 2", "--max_length 2: expected 3 or more"),
    _flags(check, "good.csv --tokenizer none", "--tokenizer none: "),
    _flags(extract, "--train_file good.csv --keep_layer 0", "--keep_layer 0: .* 1 to 4"),
    _flags(extract, "--train_file good.csv --output_dir good.csv", "--output_dir good.csv: "),
    _flags(extract, "--train_file good.csv --max_length 97", "--max_length 97: .* 3 to 96"),
    _flags(extract, "--train_file good.csv --max_length 2", "--max_length 2: .* 3 to"),
    _flags(extract, "--train_file good.csv --max_tokens_per_batch 0", "--max_tokens_per_batch 0: .* 1 or more"),
    _flags(extract, "--train_file good.csv --use_cpu False --device nonsense", "--device nonsense: "),
    _flags(visualise, "--train_file good.csv --function_index 0", "--function_index 0: .* 1 to 2$"),
    _flags(visualise, "--train_file good.csv --output_dir good.csv/x", "--output_dir good.csv/x: cannot be written"),
    _flags(import_vdisc, "a.hdf5 --limit 3 --seed -1", "--seed -1: expected 0 to 4294967295"),
    _flags(import_mpsd, "--source . --seed -1", "--seed -1: expected 0 to 4294967295"),
    _flags(visualise, "--train_file good.csv --num_functions 0", "--num_functions 0: .* 1 or more"),
    _flags(scan, "--threshold 90", "--threshold 90.0: expected a probability from 0 to 1"),
    _flags(scan, "--threshold 0.5 --top 3", "--threshold and --top both say"),
    _flags(scan, "--max_length 100", "--max_length 100: expected 3 to 96"),
    _flags(scan, "--line_scores best", "--line_scores best: expected gradient_x_input"),
    _flags(scan, "--device nowhere", "--device nowhere: "),
    _flags(scan, "--num_workers -1", "--num_workers -1: expected 0 or more"),
    _flags(scan, "--cache_dir c --no_cache", "--cache_dir and --no_cache contradict"),
    _flags(scan, "--model_name_or_path three", "--model_name_or_path three: has 3 classes"),
    _flags(scan, "--model_name_or_path bare", "--model_name_or_path bare: no config.json"),
    _flags(scan, "no/such/path", "PATH no/such/path: No such file or directory"),
    _flags(scan, "--baseline none.sarif", "--baseline none.sarif: No such file"),
    _flags(scan, "--baseline good.csv", "--baseline good.csv: not JSON .* expected a SARIF or JSON report"),
    _flags(scan, "--sarif good.csv/x", "--sarif good.csv/x: cannot be written: .*good.csv is no folder"),
    _flags(scan, "--html .", "--html .: cannot be written: .* expected the name of a file"),
    _flags(scan, "--json new --csv new", "--csv new: is the file of --json"),
    _flags(scan, "--fail_on 90", "--fail_on 90.0: expected a probability from 0 to 1"),
    _flags(scan, "--show -1", "--show -1: expected 0 .all. or more"),
    _flags(scan, "--include /", "--include '/': expected a pattern as in .gitignore"),
    _flags(scan, "--exclude !", "--exclude '!': expected a pattern as in .gitignore"),
    _flags(scan, "--suppressions none", "--suppressions none: No such file .* expected a file of suppressions"),
    _flags(scan, "--suppressions .", "--suppressions .: Is a directory; expected a file of suppressions"),
    _flags(scan, "--changed_since main", "--changed_since main: the current folder is in no Git repository"),
)
