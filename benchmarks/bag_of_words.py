"""Trains bags of words on labelled functions: do lengths, tokens or characters alone give the label away?

    python -m benchmarks.bag_of_words --train_file Data/train_subset.csv --test_file Data/test.csv --by mutation

The features are the length (in tokens, lines and characters), counts of lexical tokens, of tokens and pairs of tokens,
and of characters and pairs of characters (bytes of UTF-8). The models are logistic regression on log(1 + count) and,
on the most frequent features, gradient boosting. The areas under the ROC curve (AUC) on the test file have 95 %
bootstrap intervals; those of each value of a column are in further rows. Writes bag_of_words.json.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.common import make_parser
from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.files import format_table, write_json
from ltp_pipeline.base.flags import check_positive
from ltp_pipeline.base.progress import progress_bar
from ltp_pipeline.code.code_tokens import code_tokens
from ltp_pipeline.code.languages import LANGUAGES, Language

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_matrix

FEWEST = 5  # training functions that hold a feature
MOST_FREQUENT = 500  # features that gradient boosting sees
STRENGTH = 0.01  # inverse of the regularisation of logistic regression
ALL = "all"


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`; None stands for that of this process."""
    parser = make_parser("benchmarks.bag_of_words", __doc__)
    parser.add_argument("--train_file", type=Path, required=True, help="labelled functions of C or C++")
    parser.add_argument("--test_file", type=Path, required=True, help="labelled functions of C or C++")
    parser.add_argument("--by", metavar="COLUMN", help="also measure each value of this column of --test_file")
    parser.add_argument("--bootstrap", type=int, default=1000, help="number of bootstrap samples")
    parser.add_argument("--seed", type=int, default=0, help="seed of the models and of the bootstrap")
    parser.add_argument("--output_dir", type=Path, default=Path("bag_of_words"), help="folder of the file")
    args = parser.parse_args(argv)
    check_positive(args, "bootstrap")
    from ltp_pipeline.data.readers import read_functions  # after the flags: it takes seconds

    train, test = (
        read_functions(path, flag=flag, need_both_classes=True)
        for path, flag in ((args.train_file, "--train_file"), (args.test_file, "--test_file"))
    )
    if len(train) < FEWEST:
        raise UserError(f"--train_file {args.train_file}: {len(train)} functions; expected {FEWEST} or more")
    if args.by and args.by not in test:
        raise UserError(f"--by {args.by}: no such column in {args.test_file}; it has {', '.join(test.columns)}")
    parts = {ALL: np.full(len(test), True)}
    if args.by:
        values = test[args.by].astype(str)
        parts |= {value: (values == value).to_numpy() for value in sorted(set(values))}
    rows = [
        {"features": features, "model": model, "part": part, **_auc(scores[chosen], test["label"][chosen], args)}
        for features, model, scores in progress_bar(
            list(_scores(train, test, args.seed)), desc="measure", unit="model"
        )
        for part, chosen in parts.items()
        if 0 < test["label"][chosen].mean() < 1
    ]
    write_json(args.output_dir / "bag_of_words.json", {"train": len(train), "test": len(test), "rows": rows})
    print(format_table(rows))


def _auc(scores: np.ndarray, labels: pd.Series, args: Any) -> dict[str, Any]:
    """The AUC and the ends of its interval."""
    from sklearn.metrics import roc_auc_score

    from ltp_pipeline.measures.intervals import interval, resampled_measures

    labels = labels.to_numpy()
    draws = resampled_measures(scores, scores > 0, labels, None, args.bootstrap, args.seed)["auc"]
    low, high = interval(draws) or (None, None)
    return {"functions": len(labels), "auc": float(roc_auc_score(labels, scores)), "low": low, "high": high}


def _scores(train: pd.DataFrame, test: pd.DataFrame, seed: int) -> Iterator[tuple[str, str, np.ndarray]]:
    """For each kind of features and each model: their names, and a score of each test function."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    labels = train["label"].to_numpy()
    kinds: dict[str, Callable[[Sequence[str], Sequence[str]], list[csr_matrix]]] = {
        "tokens": partial(token_counts, code_tokens),
        "tokens and pairs": partial(token_counts, tokens_and_pairs),
        "characters and pairs": _character_counts,
    }
    lengths = [np.array([_lengths(text) for text in frame["functionSource"]]) for frame in (train, test)]
    boosted = HistGradientBoostingClassifier(random_state=seed).fit(lengths[0], labels)
    yield "length", "gradient boosting", boosted.predict_proba(lengths[1])[:, 1] - 0.5
    for name, count in progress_bar(kinds.items(), desc="train", unit="kind of features"):
        counts = count(train["functionSource"], test["functionSource"])
        counts = frequent(counts)
        if not counts[0].shape[1]:
            raise UserError(f"--train_file: no {name} occur in {FEWEST} or more functions")
        yield name, "logistic regression", linear_scores(counts, labels)
        often = _most_frequent(counts[0])
        dense = [each[:, often].toarray() for each in counts]
        boosted = HistGradientBoostingClassifier(random_state=seed).fit(dense[0], labels)
        yield name, "gradient boosting", boosted.predict_proba(dense[1])[:, 1] - 0.5


def frequent(counts: list[csr_matrix]) -> list[csr_matrix]:
    """The columns of the features that occur in at least FEWEST functions of the first matrix, the training's."""
    often_enough = np.asarray((counts[0] > 0).sum(axis=0)).ravel() >= FEWEST
    return [each[:, often_enough] for each in counts]


def linear_scores(counts: list[csr_matrix], labels: np.ndarray) -> np.ndarray:
    """The log odds of class 1 of the functions of the second matrix, by logistic regression on the first."""
    from sklearn.linear_model import LogisticRegression

    linear = LogisticRegression(C=STRENGTH, max_iter=500).fit(counts[0].log1p(), labels)
    return linear.decision_function(counts[1].log1p())


def _lengths(text: str) -> tuple[int, int, int]:
    return len(code_tokens(text)), text.count("\n"), len(text)


def tokens_and_pairs(text: str, language: Language = LANGUAGES["c"]) -> list[str]:
    """The lexical tokens of a function, and pairs of neighbours."""
    tokens = code_tokens(text, language)
    return tokens + [f"{one} {other}" for one, other in zip(tokens, tokens[1:])]


def token_counts(tokens_of: Callable[[str], list[str]], train: Sequence[str], test: Sequence[str]) -> list[csr_matrix]:
    """How often each token of the training functions occurs in them, and in the others."""
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(analyzer=tokens_of, dtype=np.float64)
    return [counter.fit_transform(train), counter.transform(test)]


def _character_counts(train: Sequence[str], test: Sequence[str]) -> list[csr_matrix]:
    from scipy.sparse import csr_matrix

    matrices = []
    for texts in (train, test):
        codes = [np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8).astype(np.int32) for text in texts]
        rows = [np.concatenate([one, 256 * (one[:-1] + 1) + one[1:]]) for one in codes]
        found = [np.unique(row, return_counts=True) for row in rows]
        ends = np.cumsum([0, *(len(columns) for columns, _ in found)])
        columns, counts = (np.concatenate(part) for part in zip(*found))
        matrices.append(csr_matrix((counts.astype(float), columns, ends), shape=(len(texts), 257 * 256)))
    return matrices


def _most_frequent(counts: csr_matrix) -> np.ndarray:
    """The columns of the features that most functions hold."""
    return np.argsort(-np.asarray((counts > 0).sum(axis=0)).ravel(), kind="stable")[:MOST_FREQUENT]


if __name__ == "__main__":
    run_main(main)
