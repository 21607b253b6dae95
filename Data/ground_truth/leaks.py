"""How much of a test table a model has seen in training: in a split of the files at random, and in ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from Data.functions.card import NAMES
from Data.functions.splits import SHARES
from Data.ground_truth.rows import Row
from ltp_pipeline.quality.group_splits import group_splits

LEAKS = "What the training table gives away of a test table"
TRAIN, TEST = NAMES["train"], NAMES["test"]
LONGEST = 20_000  # characters of a text that the bag of words reads


def leak_checks(published: Sequence[Row], tables: Mapping[str, Sequence[Row]], seed: int) -> list[dict[str, Any]]:
    """A line for each test table of a random split of the files, and for each of `tables`, for `format_table`.

    All are compared with the plain training table. `positives_in_training`: the share of the test table's rows of
    label 1 whose text, or whose flawed part, is also a text in training; `group_in_training`: of whose groups one is
    also in training. `bag_of_words_...`: of a logistic regression on the words of the texts, trained on that table.

    Args:
        published: all rows as read, before duplicates were dropped. The texts of the random split are those of the
            source, with what the importer removes.
        tables: name -> rows, as written.
    """
    files = [(row.origin or str(number),) for number, row in enumerate(published)]
    test = group_splits(files, [SHARES["train"] + SHARES["validation"], SHARES["test"]], seed)
    names = sorted({row.table for row in published})
    random = {
        f"{name}{split}": [row for row, own in zip(published, test) if own == number and row.table == name]
        for name in names
        for number, split in enumerate((TRAIN, TEST))
    }
    before = _checks("files at random", random, names, lambda row: row.published or row.text)
    return before + _checks("as written", tables, names, lambda row: row.text)


def _checks(
    split: str, tables: Mapping[str, Sequence[Row]], names: Sequence[str], text_of: Callable[[Row], str]
) -> list[dict[str, Any]]:
    train = tables[TRAIN]
    texts = {row.text for row in train}
    groups = {group for row in train for group in row.groups}
    tests = [tables[f"{name}{TEST}"] for name in names]
    scores = _bag_of_words([(text_of(row), row.label) for row in train], [list(map(text_of, rows)) for rows in tests])
    lines = []
    for name, rows, probabilities in zip(names, tests, scores):
        positives = [row for row in rows if row.label]
        lines.append(
            {
                "split": split,
                "test": f"{name}{TEST}",
                "rows": len(rows),
                "positives_in_training": _share(row.text in texts or _flawed(row) in texts for row in positives),
                "group_in_training": _share(not groups.isdisjoint(row.groups) for row in positives),
                **_measures(np.array([row.label for row in rows]), probabilities),
            }
        )
    return lines


def _flawed(row: Row) -> str:
    """The text from the first flaw line to the last."""
    lines = row.text.split("\n")
    return "\n".join(lines[min(row.flaw_lines) - 1 : max(row.flaw_lines)]) if row.flaw_lines else row.text


def _share(found: Iterable[bool]) -> float:
    return float(np.mean(list(found) or [0.0]))


def _bag_of_words(train: Sequence[tuple[str, int]], tests: Sequence[Sequence[str]]) -> list[np.ndarray]:
    """The probability of label 1 of each text of each list."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    texts, labels = zip(*train)
    if len(set(labels)) < 2:
        return [np.full(len(rows), float(labels[0])) for rows in tests]
    words = TfidfVectorizer(token_pattern=r"\w+", sublinear_tf=True, min_df=min(2, len(texts) // 10 + 1))
    model = LogisticRegression(C=10, max_iter=1000)
    model.fit(words.fit_transform(text[:LONGEST] for text in texts), labels)
    return [model.predict_proba(words.transform(text[:LONGEST] for text in rows))[:, 1] for rows in tests]


def _measures(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float | None]:
    from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

    predictions = probabilities > 0.5
    return {
        "bag_of_words_accuracy": float(accuracy_score(labels, predictions)),
        "bag_of_words_f1": float(f1_score(labels, predictions, zero_division=0)),
        "bag_of_words_auc": float(roc_auc_score(labels, probabilities)) if len(set(labels)) > 1 else None,
    }
