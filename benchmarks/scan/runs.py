"""What `benchmarks.scan` times: a scan, its model alone, and RoBERTa in the library's pipeline."""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.files import write_json

if TYPE_CHECKING:
    from transformers import Pipeline

ROBERTA_LENGTH = 512
BATCH_SIZES = (1, 8, 32)
TRIAL = 64  # functions with which the batch size is chosen


def prepare(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Reads the tree, and writes what the runs need into `folder`: work.json, texts.json and tokens.npz.

    Files are taken in their order until they have `--functions` functions. Raises UserError if there is none.
    """
    from ltp_pipeline.data.truncation import WINDOWS, Truncation
    from ltp_pipeline.scan.detection.checkpoint import open_checkpoint
    from ltp_pipeline.scan.detection.predict import chosen_device, chosen_type
    from ltp_pipeline.scan.detection.prepare import token_ids, windows
    from ltp_pipeline.scan.detection.workers import Workers
    from ltp_pipeline.scan.sources.paths import find_files
    from ltp_pipeline.scan.sources.units import units_of

    facts, _, tokenizer = open_checkpoint(args.model_name_or_path)
    files, count = [], 0
    for file in find_files([args.tree])[0]:
        found = len(units_of(file)[0]) if count < args.functions else 0
        files += [file] if found else []
        count += found
    texts, rows, lengths, read = [], [], 0, Truncation(WINDOWS, facts.window_stride)
    with Workers(0) as workers:
        for number, window in enumerate(windows(files, workers, "auto", lambda unit: True, _key)):
            for tokens in token_ids(
                tokenizer.backend_tokenizer.to_str(), [*window.fresh.values()], facts.max_length, read
            ):
                lengths += tokens.length
                rows += [(number, row) for row in tokens.rows]
            texts += window.fresh.values()
    if not texts:
        raise UserError(f"FOLDER {args.tree}: no function in it; expected source files, see docs/scan.md")
    np.savez(
        folder / "tokens.npz",
        ids=np.concatenate([row for _, row in rows]),
        lengths=[len(row) for _, row in rows],
        windows=[number for number, _ in rows],
    )
    (folder / "texts.json").write_text(json.dumps(texts))
    device = chosen_device(None)
    work = {
        "files": [str(file.path) for file in files],
        "model": args.model_name_or_path,
        "task": facts.task,
        "dtype": chosen_type(args.dtype, device),
        "device": device,
        "top": args.top,
        "num_workers": args.num_workers,
        "batch_size": args.batch_size,
    }
    write_json(folder / "work.json", work)
    return work | {
        "files": len(files),
        "functions": len(texts),
        "lines": sum(text.count("\n") + 1 for text in texts),
        "tokens": lengths,
        "read": sum(len(row) for _, row in rows),
        "threads": torch.get_num_threads(),
    }


def run(name: str, folder: Path) -> None:
    """Makes one run in this process, and writes its `seconds` and more into NAME.json of `folder`."""
    work = json.loads((folder / "work.json").read_text())
    made = {"scan": _scan, "model": _model, "roberta": _roberta}[name](work, folder)
    write_json(folder / f"{name}.json", made)


def _scan(work: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The time from the call of `scan` to its report."""
    from ltp_pipeline.scan import scan

    names = ("top", "dtype", "num_workers", "device")
    settings = {name: work[name] for name in names if work[name] is not None}
    report, times = _timed(lambda: scan(work["files"], work["model"], no_cache=True, quiet=True, **settings))
    return {**times, "relative_flops": report.relative_flops, "findings": len(report.findings)}


def _model(work: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The time of all passes of the model, in the batches of a scan."""
    from ltp_pipeline.scan.detection.checkpoint import open_checkpoint
    from ltp_pipeline.scan.detection.predict import Predictor
    from ltp_pipeline.task.tasks import CODE

    predictor = Predictor(work["model"], open_checkpoint(work["model"])[1], work["dtype"], work["device"], None)
    saved = np.load(folder / "tokens.npz")
    lengths, windows = saved["lengths"], saved["windows"]
    rows = np.split(saved["ids"], np.cumsum(lengths)[:-1])

    def read_all() -> None:
        for number in np.unique(windows):
            own = np.flatnonzero(windows == number)
            for batch in predictor.batches(lengths[own]):
                predictor.run([rows[own[i]] for i in batch], work["task"] == CODE.name)

    return _timed(read_all)[1]


def _roberta(work: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The time of the library's pipeline for all texts."""
    texts = json.loads((folder / "texts.json").read_text())
    classify = _library_pipeline(work)

    def read(texts: list[str], size: int) -> dict[str, float]:
        return _timed(lambda: classify(texts, batch_size=size, truncation=True, max_length=ROBERTA_LENGTH))[1]

    size = work["batch_size"]
    if size is None:
        trial = texts[:: max(len(texts) // TRIAL, 1)][:TRIAL]
        size = min(BATCH_SIZES, key=lambda size: read(trial, size)["cpu_seconds"])
    return {**read(texts, size), "batch_size": size}


def _timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What `work` returns, its seconds, and the processor seconds of this process and of those that have ended."""
    start, before = time.perf_counter(), _processor_seconds()
    made = work()
    return made, {"seconds": time.perf_counter() - start, "cpu_seconds": _processor_seconds() - before}


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _library_pipeline(work: dict[str, Any]) -> Pipeline:
    """RoBERTa with the sizes and the tokenizer of the checkpoint."""
    from transformers import RobertaConfig, RobertaForSequenceClassification, pipeline

    from ltp_pipeline.scan.detection.checkpoint import open_checkpoint

    _, own, tokenizer = open_checkpoint(work["model"])
    names = (
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "pad_token_id",
    )
    sizes = {name: getattr(own, name) for name in names}
    config = RobertaConfig(**sizes, max_position_embeddings=ROBERTA_LENGTH + own.pad_token_id + 1, num_labels=2)
    torch.manual_seed(1)
    model = RobertaForSequenceClassification(config).to(getattr(torch, work["dtype"])).eval()
    return pipeline("text-classification", model=model, tokenizer=tokenizer, device=work["device"])


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
