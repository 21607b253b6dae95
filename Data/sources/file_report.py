"""Records what happens to the files of the sources: their encodings, and why a file is left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ltp_pipeline.code.generated import GENERATED, MINIFIED

MAX_PATH = 1024  # characters

NOT_REGULAR = "a link, or no regular file"
HIDDEN = "hidden, or in a hidden folder"
OUTSIDE = "outside the top folder of its archive"
LONG_PATH = f"a path of more than {MAX_PATH} characters"
SAME_PATH = "a later file of its archive has the same path"
KEEP_GENERATED = "--keep_generated"  # the flag that keeps files that are generated or minified

Place = tuple[str, str]  # project, path inside the project


@dataclass
class FileReport:
    """What happened to the files of the sources that have an ending of the chosen languages."""

    encodings: Counter[str] = field(default_factory=Counter)  # encoding -> number of files that were read
    left_out: dict[Place, str] = field(default_factory=dict)  # file -> reason
    same_as: dict[Place, Place] = field(default_factory=dict)  # file -> an earlier one with the same content

    def counts(self) -> dict[str, dict[str, int]]:
        """The sections `encodings` and `files_left_out` of the data card, the most frequent first."""
        reasons = Counter(self.left_out.values())
        return {"encodings": dict(self.encodings.most_common()), "files_left_out": dict(reasons.most_common())}

    def reasons(self) -> dict[str, str]:
        """Why a file is left out, by `path` and by `project/path`."""
        reasons = {}
        for (project, path), reason in self.left_out.items():
            advice = f" ({KEEP_GENERATED} keeps it)" if reason in (GENERATED, MINIFIED) else ""
            reasons[path] = reasons[f"{project}/{path}"] = reason + advice
        return reasons
