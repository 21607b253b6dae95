"""Tables of metrics, and the mean loss."""

import pytest

from ltp_pipeline.training.reports import (
    LOWER_IS_BETTER,
    METRICS,
    evaluated_splits,
    mean_loss,
    metrics_tables,
    tables_of,
)


def test_mean_loss_weighs_entries_by_their_steps():
    log = [{"loss": 1.0, "step": 3}, {"eval_loss": 9.0, "step": 3}, {"loss": 4.0, "step": 4}]
    assert mean_loss(log) == pytest.approx((3 * 1 + 4) / 4)
    assert mean_loss([]) is None


def test_the_table_of_metrics_has_a_line_a_split_and_the_columns_that_there_are():
    results = {"train_runtime": 1.0, "eval_f1": 0.5, "eval_runtime": 1.0, "test_loss": 2.0, "test_runtime": 1.0}
    assert evaluated_splits(results) == ["eval", "test"]
    lines = [line.split() for line in metrics_tables(results).splitlines()]
    assert lines[0] == ["F1", "loss"] and lines[2:] == [["eval", "0.5000", "-"], ["test", "-", "2.0000"]]


def shown(text):
    """The lines of each table in `text`, without the rule below the headings."""
    return [[lines[0], *lines[2:]] for lines in (table.splitlines() for table in text.split("\n\n"))]


def full_results(split, by_length=()):
    values = {metric.name: 0.12345 for metric in METRICS} | {"dtype": "bfloat16", "samples_per_second": 1234.5}
    return {f"{split}_{name}": value for name, value in values.items()} | {
        f"{split}_runtime": 1.0,
        f"{split}_by_length": list(by_length),
    }


NOT_OF_CODE = {"macro_f1", "micro_f1", "macro_auc", "matthews_correlation", "pearson", "spearmanr", "agreement"}
GROUPS = [
    {"tokens": "up to 512", "functions": 12345, "positives": 321, "f1": 0.25, "vd_s_0.5": 0.75},
    {"tokens": "above 2048", "functions": 3, "positives": 0, "f1": 0.0},
]


def test_no_table_of_an_evaluation_is_wider_than_a_terminal():
    results = full_results("eval", GROUPS) | full_results("test", [group | {"mcc": -0.1} for group in GROUPS])
    results = {name: value for name, value in results.items() if name.split("_", 1)[1] not in NOT_OF_CODE}
    tables = shown(metrics_tables(results))
    assert [table[0].split()[0] for table in tables] == ["accuracy", "pairs", "functions", "tokens", "relative"]
    assert max(len(line) for table in tables for line in table) <= 100


def test_metrics_by_length_have_a_line_a_group():
    (table,) = shown(tables_of({"eval": {"by_length": GROUPS}, "test": {"by_length": GROUPS[:1]}}))
    assert [line.split() for line in table] == [
        ["tokens", "functions", "positives", "F1", "VD-S"],
        ["eval", "up", "to", "512", "12345", "321", "0.2500", "0.7500"],
        ["eval", "above", "2048", "3", "0", "0.0000", "-"],
    ]  # A split whose functions are in one group has no line: its metrics are in the table above.


def test_flaw_lines_have_a_line_for_all_defective_functions_and_one_for_those_found():
    values = {
        "line_functions": 4,
        "line_functions_found": 1,
        "line_ifa_mean": 2.5,
        "line_ifa_mean_true_positives": 0.5,
    }
    (table,) = shown(tables_of({"eval": values, "test": {}}))
    assert [line.split() for line in table] == [
        ["functions", "IFA"],
        ["eval", "4", "2.5000"],
        ["eval,", "found", "1", "0.5000"],
    ]


def test_intervals_and_those_of_differences():
    results = {"f1": 0.5, "f1_interval": [0.4, 0.6], "f1_difference_interval": [-0.1, 0.12345]}
    _, table = shown(tables_of({"soft": results, "hard": {"f1": 0.4}}))
    assert [" ".join(line.split()) for line in table] == [
        "95 % interval soft hard",
        "F1 0.4000 to 0.6000 -",
        "F1, difference -0.1000 to 0.1235 -",
    ]


def test_metrics_of_which_less_is_better():
    assert {"vd_s_0.5", "vd_s_1", "vd_s_5", "false_alarm_rate", "pair_reversed", "loss"} <= set(LOWER_IS_BETTER)
    assert not {"mcc", "pr_auc", "recall_at_fpr_0.5", "pair_correct", "auc"} & set(LOWER_IS_BETTER)
