"""What a scan finds. Every report (terminal, HTML, SARIF, JSON, CSV) is made from a `ScanReport`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class CodeUnit:
    """What the model classifies: a function of a file, or the whole file."""

    path: str  # as it is reported: relative to the folder that the scan runs in, with forward slashes
    first_line: int  # in the file, from 1
    name: str  # of the function; "" for a whole file
    language: str  # a name in `code.languages.LANGUAGES`
    text: str  # what the model reads, with "\n" line ends
    ignored_by: str = ""  # the comment that suppresses its findings, such as "comment in line 12"; "": there is none

    @property
    def last_line(self) -> int:
        """The unit's last line in the file, from 1."""
        return self.first_line + self.text.rstrip("\n").count("\n")


@dataclass(frozen=True)
class KeptTokens:
    """Which tokens of a unit a pruned model kept. White space between two tokens belongs to none."""

    begins: tuple[int, ...]  # first character of each token in the unit's text, ascending
    ends: tuple[int, ...]  # the character after each token
    layers_survived: tuple[int, ...]  # by how many layers each token was kept, 0 to `num_layers`
    num_layers: int

    @property
    def share(self) -> float:
        """The share of the tokens that are alive, averaged over the layers, 0 to 1."""
        return sum(self.layers_survived) / max(1, len(self.layers_survived) * self.num_layers)


@dataclass(frozen=True)
class Finding:
    """A unit whose probability is above the threshold of the scan, or among its `top`."""

    unit: CodeUnit
    probability: float  # of the class `label`
    label: str  # name of the predicted class, such as "vulnerable" or a group of CWEs
    fingerprint: str  # the same after lines above the unit have changed
    lines: tuple[tuple[int, float], ...] = ()  # (line in the file from 1, score), the highest score first
    kept: KeptTokens | None = None  # None: the model does not prune
    tokens: int = 0  # that the unit has, before any truncation
    is_new: bool = True  # False: the baseline has it, too

    @property
    def level(self) -> str:
        """How sure the model is, in the words of SARIF: "error" from 0.9 on, "warning" from 0.5 on, else "note"."""
        return "error" if self.probability >= 0.9 else "warning" if self.probability >= 0.5 else "note"


@dataclass(frozen=True)
class SkippedFile:
    """A file, or a part of one, that was not scanned."""

    path: str
    reason: str  # a few words, the same for all files that are skipped for it
    is_error: bool = False  # True: it should have been scanned, and could not be (unreadable, not parsed)
    first_line: int | None = None  # of a part


@dataclass(frozen=True)
class Suppressed:
    """A finding that a comment or the suppression file hides."""

    finding: Finding
    by: str  # such as "comment in line 12" or ".ltpignore:3"


@dataclass
class ScanReport:
    """The result of a scan."""

    findings: list[Finding]  # by probability, the highest first; equal ones by path and line
    skipped: list[SkippedFile]  # by path and line
    suppressed: list[Suppressed]
    model: str  # as the user named it
    model_hash: str  # SHA-256 of weights, configuration and tokenizer
    threshold: float | None  # findings have a higher probability than this; None with `top`
    settings: dict[str, Any] = field(default_factory=dict)  # the flags that decide what is found
    files: int = 0  # that were scanned
    units: int = 0  # functions and whole files that were classified
    cached: int = 0  # of them, how many came from the cache
    tokens: int = 0  # that the model read, now or for the cache
    relative_flops: float | None = None  # executed FLOPs by those of the unpruned model; None: not of type ltp
    seconds: float = 0.0  # the whole scan
    baseline: str = ""  # the earlier report that `Finding.is_new` compares with; "": none
    ranking_note: str = ""  # what it means that this model keeps a token, see `model.ranking_note`
    version: str = "1"  # of this layout, as written to JSON
