"""A checkpoint that classifies and explains units. What the cache knows is not computed, and may need no model."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.data.truncation import WINDOWS, Truncation
from ltp_pipeline.scan.detection.cache import ResultCache, key_of
from ltp_pipeline.scan.detection.checkpoint import FLAG, Checkpoint, open_checkpoint
from ltp_pipeline.scan.detection.identity import machine_hash, model_hash, program_hash
from ltp_pipeline.scan.detection.prepare import Tokens, Window, tokenize
from ltp_pipeline.scan.detection.workers import Workers
from ltp_pipeline.scan.settings import LINE_SCORES, NO_LINE_SCORES, ScanSettings
from ltp_pipeline.task.tasks import CODE

DEFAULT_THRESHOLD = 0.5


class Result(NamedTuple):
    """What the model says of a text."""

    probability: float  # of its label
    label: int  # index in `Checkpoint.labels`
    tokens: int  # of the whole text
    read: int  # tokens that the model read, in all windows
    executed: int  # FLOPs
    unpruned: int  # FLOPs of the same model without pruning


class Detector:
    """The model of a scan. It is loaded when something must be computed."""

    def __init__(self, path: str, settings: ScanSettings, cache: ResultCache, workers: Workers):
        """Checks the checkpoint and the settings that depend on it. Raises UserError if they cannot be used."""
        self.path, self._settings, self._cache, self._workers = path, settings, cache, workers
        self._new: set[bytes] = set()  # keys of what was computed in this scan
        self._opened: Any = None
        self._predictor: Any = None
        self._explainer: Any = None
        self.model_hash = model_hash(path)
        self.checkpoint = self._facts()
        longest, length = self.checkpoint.longest, settings.max_length
        if length is not None and not 3 <= length <= (longest or length):
            expected = f"3 to {longest}, the positions of {FLAG} {path}" if longest else "3 or more"
            raise UserError(f"--max_length {length}: expected {expected}")
        self.max_length = length or self.checkpoint.max_length
        stride = self.checkpoint.window_stride if settings.truncation == WINDOWS else None
        self.truncation = Truncation(settings.truncation, stride)
        self.device, self.dtype = self._machine()
        self.one_label = self.checkpoint.task == CODE.name
        self._check_line_scores()
        reading = [self.max_length, self.truncation.mode, self.truncation.stride]
        self._context = self._key("results", self.dtype, self.device.partition(":")[0], *map(str, reading))
        self._explaining = self._key("explanations", self._context.hex(), settings.line_scores)

    @property
    def threshold(self) -> float | None:
        """The probability above which a unit is a finding; None with `--top`."""
        if self._settings.top is not None:
            return None
        chosen = (self._settings.threshold, self.checkpoint.threshold, DEFAULT_THRESHOLD)
        return next(value for value in chosen if value is not None)

    @property
    def is_new(self) -> bool:
        """Whether the cache knows no result of this model with these settings."""
        return not self._cache.has_any(self._context)

    def key(self, text: str) -> bytes:
        """The key of a text's result in the cache."""
        return key_of(self._context, text)

    def load(self) -> None:
        """Loads the tokenizer and the model, and checks that lines can be scored. Raises UserError."""
        if self._predictor is not None:
            return
        _, config, tokenizer = self._open()
        self._workers.shared = tokenizer.backend_tokenizer.to_str()
        import torch

        from ltp_pipeline.scan.detection.explain import Explainer
        from ltp_pipeline.scan.detection.predict import Predictor, notes_on_stderr
        from ltp_pipeline.view.line_results import check_method

        settings = self._settings
        if settings.num_threads is not None:
            torch.set_num_threads(settings.num_threads)
        predictor = Predictor(self.path, config, self.dtype, self.device, settings.max_tokens_per_batch)
        reading = (tokenizer, self.max_length, self.truncation)
        with notes_on_stderr():
            method = check_method(settings.line_scores, predictor.model, tokenizer)
        self._explainer = Explainer(predictor, *reading, method, self.one_label)
        self._predictor = predictor

    def prepared(self, windows: Iterator[Window]) -> Iterator[Window]:
        """The windows with what the cache knows, and with token ids if the model must read one of their texts."""
        for window in windows:
            window.known = self._cache.get(window.fresh)
            if self._workers.shared is not None:
                self._tokenize(window)
            yield window

    def results(self, window: Window, progress: Callable[[int], Any]) -> tuple[list[Result], int]:
        """The result of each unit of a window, and how many of them the cache had from an earlier scan.

        `progress` is called with a number of units that are done.
        """
        counts = Counter(window.keys)
        found = {key: Result(*value) for key, value in window.known.items()}
        repeated = [key for key in counts if key not in window.fresh]  # an earlier unit of the scan has this text
        found |= {key: Result(*value) for key, value in self._cache.get(repeated).items()}
        progress(sum(counts[key] for key in found))
        lost = {key: unit.text for key, unit in zip(window.keys, window.units) if key not in window.fresh}
        lost = {key: text for key, text in lost.items() if key not in found}
        for one in (window, Window(fresh=lost)):
            if not all(key in found for key in one.fresh):
                self.load()
                self._tokenize(one)
                for key, result in self._computed(list(one.fresh), one.tokens, found):
                    self._cache.put(key, result)
                    self._new.add(key)
                    found[key] = result
                    progress(counts[key])
        return [found[key] for key in window.keys], sum(count for key, count in counts.items() if key not in self._new)

    def explanations(self, texts: Sequence[str], labels: Sequence[int]) -> list[Any]:
        """The explanation of each text that was found for a label, see `explain.Explanation`.

        `labels`: indices in `Checkpoint.labels`.
        """
        keys = [key_of(self._explaining, str(label), text) for text, label in zip(texts, labels)]
        unique = {key: (text, label) for key, text, label in zip(keys, texts, labels)}
        found = self._cache.get(unique)
        if len(found) < len(unique):
            self.load()
            known = [key in found for key in unique]
            for number, explanation in self._explainer.explain(*zip(*unique.values()), known):
                key = list(unique)[number]
                self._cache.put(key, explanation)
                found[key] = explanation
        return [found[key] for key in keys]

    def _computed(
        self, keys: list[bytes], tokens: list[Tokens], known: dict[bytes, Result]
    ) -> Iterator[tuple[bytes, Result]]:
        """Yields the result of each text whose key is not in `known`, when the model has read it.

        A known text is read again if others in its batch are new: probabilities depend on the batch, in their last
        digits, so the batches of a scan that is continued must be those of one that was never interrupted.
        """
        text_of = [number for number, own in enumerate(tokens) for _ in own.rows]
        rows = [row for own in tokens for row in own.rows]
        probabilities = np.zeros((len(keys), len(self.checkpoint.labels)))
        flops = np.zeros((len(keys), 2), dtype=np.int64)
        wanted, left = [key not in known for key in keys], Counter(text_of)
        for batch in self._predictor.batches([len(row) for row in rows]):
            own = [text_of[i] for i in batch]
            if not any(wanted[number] for number in own):
                continue
            values, counts = self._predictor.run([rows[i] for i in batch], self.one_label)
            np.maximum.at(probabilities, own, values)  # of several windows, the highest
            np.add.at(flops, own, counts)
            left.subtract(own)
            for number in dict.fromkeys(own):
                if wanted[number] and not left[number]:
                    best, read = int(probabilities[number].argmax()), sum(map(len, tokens[number].rows))
                    counted = (tokens[number].length, read, *flops[number].tolist())
                    yield keys[number], Result(float(probabilities[number, best]), best, *counted)

    def _tokenize(self, window: Window) -> None:
        if window.tokens is None and len(window.known) < len(window.fresh):
            window.tokens = tokenize(list(window.fresh.values()), self._workers, self.max_length, self.truncation)

    def _check_line_scores(self) -> None:
        """Raises UserError if `--line_scores` cannot score the lines of this model."""
        method = self._settings.line_scores
        if method in (LINE_SCORES, NO_LINE_SCORES):
            return
        from ltp_pipeline.view.line_results import CHOICES, check_method  # late: it imports torch

        if method not in CHOICES:
            raise UserError(f"--line_scores {method}: expected {', '.join(CHOICES)}")
        if not self.one_label:
            raise UserError(
                f"--line_scores {method}: is for the task code; expected {LINE_SCORES} or {NO_LINE_SCORES}"
            )
        _, config, tokenizer = self._open()
        check_method(method, SimpleNamespace(config=config), tokenizer)

    def _facts(self) -> Checkpoint:
        """What the cache knows of the checkpoint, else what is read from it now."""
        key = self._key("checkpoint")
        known = self._cache.get([key]).get(key)
        if known is not None:
            return Checkpoint(**{**known, "labels": tuple(known["labels"])})
        facts = self._open()[0]
        self._cache.put(key, asdict(facts))
        return facts

    def _open(self) -> Any:
        if self._opened is None:
            self._opened = open_checkpoint(self.path)
        return self._opened

    def _machine(self) -> tuple[str, str]:
        """The device and the dtype. Whether a device can be used is known only by trying; the choice is cached."""
        settings = self._settings
        key = self._key("machine", machine_hash(), str(settings.device), settings.dtype)
        known = self._cache.get([key]).get(key)
        if known is not None:
            return tuple(known)
        from ltp_pipeline.scan.detection.predict import chosen_device, chosen_type  # late: it imports torch

        device = chosen_device(settings.device)
        chosen = device, chosen_type(settings.dtype, device)
        self._cache.put(key, chosen)
        return chosen

    def _key(self, *about: str) -> bytes:
        """The digest of what some results have in common, besides the checkpoint and the program."""
        parts = [self.model_hash, program_hash(), *about]
        return hashlib.sha256(json.dumps(parts).encode()).digest()
