"""Measures the model of a cell on its tests: predictions, FLOPs, tokens by layer, speed, and scores of lines."""

from __future__ import annotations

import statistics
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.accuracy.cells import Cell
from benchmarks.accuracy.controls import flops_of_lengths
from benchmarks.accuracy.data_sets import TEST, TRAIN, VALIDATION, DataSet
from benchmarks.accuracy.settings import UNPRUNED, Settings
from benchmarks.accuracy.training import Trained, load, tokens_read
from ltp_pipeline.base.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from ltp_pipeline.comparison import Candidate

# A token's score -> whether only models that prune have it
LINE_METHODS = {"gradient_x_input": False, "relevance": False, "layers_survived": True}
LINE_MEASURES = ("token_auc", "line_top_10_any", "line_top_10_first", "line_ifa_mean")


def measure(cell: Cell, trained: Trained, base: Path, data: DataSet, settings: Settings) -> dict[str, Any]:
    """What a cell's file holds about its model: `validation`, `threshold`, `tests` and `speed`.

    Of the unpruned model and those that read extracted text also `training_tokens`.

    `base`: the unpruned model of the cell's group, against which FLOPs and speed are measured.
    """
    from ltp_pipeline.data.truncation import full_lengths

    validation, _ = _predicted(trained, trained.reads(data, VALIDATION))
    labels = data.frames[VALIDATION]["label"].to_numpy()
    found: dict[str, Any] = {
        "threshold": best_f1_threshold(validation, labels),
        "validation": {"labels": labels.tolist(), "probabilities": validation.tolist()},
        "tests": {},
    }
    for name in data.tests:
        frame = data.frames[name]
        probabilities, own = _predicted(trained, trained.reads(data, name))
        whole = load(base, frame, cell.reading, settings.dtype)
        unpruned = _unpruned_gflops(whole, len(frame))
        own |= {"lengths": full_lengths(whole.tokens).tolist(), "unpruned_gflops_per_function": unpruned}
        own["relative_flops"] = own["gflops_per_function"] / unpruned
        if name in trained.extraction_flops:
            own["extraction_relative_flops"] = trained.extraction_flops[name] / len(frame) / 1e9 / unpruned
        # Extracted text has other lines than the function
        own["lines"] = _lines(trained, frame, settings) if trained.texts is None else None
        found["tests"][name] = of_functions(frame, probabilities) | own
    found["speed"] = _speed(cell, trained, base, data, settings)
    if cell.row.kind == UNPRUNED or cell.row.is_extracted:
        epochs = settings.base_epochs + settings.soft_epochs + settings.hard_epochs
        frame = trained.reads(data, TRAIN)
        frame = frame[frame["functionSource"].str.strip() != ""]  # training leaves out empty texts
        found["training_tokens"] = round(epochs * tokens_read(trained.folder, frame, trained.reading))
    return found


def of_functions(frame: pd.DataFrame, probabilities: np.ndarray) -> dict[str, Any]:
    """What is kept of each test function: label, characters, pair and predicted probability of class 1."""
    from ltp_pipeline.files.layouts import all_pairs_of

    pairs = all_pairs_of(frame)
    return {
        "labels": frame["label"].tolist(),
        "characters": frame["functionSource"].str.len().tolist(),
        "pairs": None if pairs is None or not any(pairs) else pairs.tolist(),
        "probabilities": probabilities.tolist(),
    }


def best_f1_threshold(scores: np.ndarray, labels: np.ndarray) -> float:
    """The decision threshold with the highest F1 on these functions; of several the highest.

    It lies in the middle between two scores. Class 1 is predicted above it.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, found = scores[order], np.cumsum(labels[order] == 1)
    ends = np.flatnonzero(np.diff(ranked, append=-np.inf))  # the last of each run of equal scores
    f1 = 2 * found[ends] / (ends + 1 + found[-1])
    best = ends[int(np.argmax(f1))]
    below = ranked[best + 1] if best + 1 < len(ranked) else 0.0 if ranked[best] > 0 else -1.0
    middle = (ranked[best] + below) / 2
    return float(middle if middle < ranked[best] else below)


def bag_of_words(data: DataSet) -> dict[str, Any]:
    """What a cell's file holds about logistic regression on the whole text: tokens and pairs of tokens."""
    from benchmarks.bag_of_words import frequent, linear_scores, token_counts, tokens_and_pairs
    from ltp_pipeline.code.languages import language_of
    from ltp_pipeline.task.metrics import sigmoid

    train, others = data.frames["train"], [VALIDATION, *data.tests]
    path = str(train["path"].iloc[0]) if "path" in train else ""
    texts = [text for name in others for text in data.frames[name]["functionSource"]]
    tokens = partial(tokens_and_pairs, language=language_of(path))
    counts = frequent(token_counts(tokens, train["functionSource"], texts))
    if not counts[0].shape[1]:
        raise UserError(f"{data.tables['train']}: no token occurs in enough functions for {data.name}/bag of words")
    scores = sigmoid(linear_scores(counts, train["label"].to_numpy()))
    ends = np.cumsum([len(data.frames[name]) for name in others])
    parts = dict(zip(others, np.split(scores, ends[:-1]), strict=True))
    labels = data.frames[VALIDATION]["label"].to_numpy()
    return {
        "threshold": best_f1_threshold(parts[VALIDATION], labels),
        "validation": {"labels": labels.tolist(), "probabilities": parts[VALIDATION].tolist()},
        "tests": {name: of_functions(data.frames[name], parts[name]) for name in data.tests},
    }


def _predicted(trained: Trained, frame: pd.DataFrame) -> tuple[np.ndarray, dict[str, Any]]:
    """The probability of class 1 of each function, and what was computed."""
    from ltp_pipeline.comparison import evaluate
    from ltp_pipeline.model.flops_meter import summary
    from ltp_pipeline.task.metrics import positive_scores

    candidate = trained.candidate(frame)
    logits, _, counts = evaluate(candidate)
    if not np.isfinite(logits).all():
        raise UserError(f"{trained.folder}: predicts NaN or infinity; expected a lower learning rate")
    figures = summary(counts)
    own = {name: figures[name] for name in ("gflops_per_function", "tokens_kept_per_layer", "tokens")}
    return positive_scores(logits), own


def _unpruned_gflops(unpruned: Candidate, functions: int) -> float:
    """What the unpruned model executes for a function."""
    return float(flops_of_lengths(unpruned, np.asarray(unpruned.tokens["length"])).sum() / functions / 1e9)


def _speed(cell: Cell, trained: Trained, base: Path, data: DataSet, settings: Settings) -> dict[str, Any]:
    """Functions a second of both models, measured in turn, batch by batch: medians over the rounds."""
    import torch

    from ltp_pipeline.comparison import interleaved_seconds

    frame = data.frames[TEST]
    places = np.unique(np.linspace(0, len(frame) - 1, min(settings.speed_functions, len(frame))).astype(int))
    part = frame.iloc[places]
    candidates = {
        "unpruned": load(base, part, cell.reading, settings.dtype),
        "row": trained.candidate(trained.reads(data, TEST).iloc[places]),
    }
    with torch.inference_mode():
        interleaved_seconds(candidates, 1)  # warms both up
        seconds = interleaved_seconds(candidates, settings.speed_rounds)
    rates = {name: len(part) / statistics.median(own) for name, own in seconds.items()}
    ratios = [one / other for one, other in zip(seconds["unpruned"], seconds["row"], strict=True)]
    return {
        "functions": len(part), "threads": torch.get_num_threads(), "functions_per_second": rates["row"],
        "unpruned_functions_per_second": rates["unpruned"], "speedup": statistics.median(ratios),
    }  # fmt: skip


def _lines(trained: Trained, frame: pd.DataFrame, settings: Settings) -> dict[str, dict[str, float]] | None:
    """The line measures of functions with flaw lines by method; None without such functions."""
    from benchmarks.line_scores import BenchmarkArguments, encode_functions, find_scorers, judge, score_functions
    from ltp_pipeline.files.layouts import flaw_lines_of
    from ltp_pipeline.model.checkpoints import load_tokenizer

    flaws = flaw_lines_of(frame)
    places = [] if flaws is None else [i for i, lines in enumerate(flaws) if lines and frame["label"].iloc[i] == 1]
    if not places:
        return None
    few = np.linspace(0, len(places) - 1, min(settings.line_functions, len(places))).astype(int)
    places = [places[i] for i in np.unique(few)]
    chosen = trained.candidate(frame.iloc[places])
    tokenizer = load_tokenizer(str(trained.folder), flag="--restore")
    if not tokenizer.is_fast:
        return None
    prunes = chosen.model.config.prune_mode is not None
    methods = [name for name, needs_pruning in LINE_METHODS.items() if prunes or not needs_pruning]
    args = BenchmarkArguments(
        model_name_or_path=str(trained.folder), test_file="", max_length=trained.reading.length,
        truncation=trained.reading.truncation, max_tokens_per_batch=2048,
    )  # fmt: skip
    own = encode_functions(frame.iloc[places], [flaws[i] for i in places], chosen.model, tokenizer, args)
    scorers = find_scorers(chosen.model, None, methods, methods[0])
    scores, _, probabilities = score_functions(scorers, own, chosen.model, args)
    rows = judge(own, scores, probabilities, 1, 0, methods[0])
    return {
        row["method"]: {"functions": len(places)} | {name: row[name] for name in LINE_MEASURES if name in row}
        for row in rows
        if row["lines"] == "max"
    }
