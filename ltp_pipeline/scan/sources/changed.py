"""Which lines have changed since a commit, as Git tells."""

from __future__ import annotations

import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ltp_pipeline.base.errors import UserError, printable
from ltp_pipeline.scan.finding import CodeUnit
from ltp_pipeline.scan.sources.ignore_rules import repository_root
from ltp_pipeline.scan.sources.paths import SUFFIXES, FoundFile

FLAG = "--changed_since"
# First and last changed line of a part. Where lines were only deleted, it is the place between two lines: (4.5, 4.5)
Part = tuple[float, float]
WHOLE: tuple[Part, ...] = ((1, float("inf")),)

# Settings of the user that would change what Git prints, or run programs that the repository names
_SAFE = ("-c", "core.fsmonitor=false", "-c", "core.quotePath=true")
_DIFF = (
    "diff-index", "-M", "--no-ext-diff", "--no-textconv", "--no-color", "--no-relative", "--submodule=short",
    "--src-prefix=a/", "--dst-prefix=b/",
)  # fmt: skip
_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)")
_ESCAPED = {b"a": b"\a", b"b": b"\b", b"t": b"\t", b"n": b"\n", b"v": b"\v", b"f": b"\f", b"r": b"\r"}
_LONE_CR = re.compile(rb"\r(?!\n)")


@dataclass(frozen=True)
class Changed:
    """The parts of files that have changed. A new file, and one that Git takes for binary, has changed as a whole."""

    parts: Mapping[str, Sequence[Part]] = field(default_factory=dict)  # path as shown -> its parts; none: unchanged

    def files(self, files: Sequence[FoundFile]) -> list[FoundFile]:
        """Those of the files that have changed."""
        return [file for file in files if file.shown in self.parts]

    def touches(self, unit: CodeUnit) -> bool:
        """Whether a line of the unit has changed, or lines inside it were deleted."""
        return any(
            unit.first_line <= last and first <= unit.last_line for first, last in self.parts.get(unit.path, ())
        )


def changed_since(ref: str, files: Sequence[FoundFile]) -> Changed:
    """What has changed in the files since the commit `ref`, up to the working tree.

    Files that Git does not track count as new. A renamed file counts by its changed lines. All files of a submodule
    have changed if the submodule has another commit, or changes that are not committed.

    Raises UserError if `ref` is no commit, a file is in no repository, or Git is not installed.
    """
    by_root: dict[str, list[tuple[str, FoundFile]]] = defaultdict(list)
    for file in files:
        root, inner = _place(file)
        if root is None:
            raise UserError(f"{FLAG} {printable(ref)}: {file.shown} is in no Git repository")
        by_root[root].append((inner, file))
    if not files:  # the commit is checked all the same
        here = _outer_root(os.getcwd())
        if here is None:
            raise UserError(f"{FLAG} {printable(ref)}: the current folder is in no Git repository")
        _commit(ref, here)
    parts: dict[str, Sequence[Part]] = {}
    for root, members in by_root.items():
        commit = _commit(ref, root)
        names, lines = dict(_changed_names(commit, root)), dict(_changed_lines(commit, root))
        tracked = set(_git(root, "ls-files", "-z").split(b"\0"))
        for inner, file in members:
            found = _parts(os.fsencode(inner), names, lines, tracked)
            if found and found != WHOLE and _has_lone_cr(file):  # Git counts other lines than we do
                found = WHOLE
            if found:
                parts[file.shown] = found
    return Changed(parts)


def _parts(
    path: bytes, names: Mapping[bytes, bool], lines: Mapping[bytes, Sequence[Part]], tracked: set[bytes]
) -> Sequence[Part]:
    """The changed parts of a file.

    `names`: the changed files -> whether Git takes them for binary.
    """
    if path in lines:
        return lines[path]
    if path in tracked:
        return WHOLE if names.get(path) else ()
    while b"/" in path:
        path = path.rpartition(b"/")[0]
        if path in tracked:  # a submodule
            return WHOLE if path in names else ()
    return WHOLE


def _place(file: FoundFile) -> tuple[str | None, str]:
    """The repository of a file, and its path there. A link to a file of another repository stands for itself."""
    own = os.path.join(os.path.realpath(file.path.parent), file.path.name)
    target = os.path.realpath(own)
    root = _outer_root(os.path.dirname(own))
    real = target if root == _outer_root(os.path.dirname(target)) else own
    return root, os.path.relpath(real, root or "/")


def _has_lone_cr(file: FoundFile) -> bool:
    try:
        return _LONE_CR.search(file.path.read_bytes()) is not None
    except OSError:
        return False


def _outer_root(folder: str) -> str | None:
    """The repository of a folder; of a submodule, the repository that it is in."""
    root = repository_root(folder)
    while root and os.path.isfile(os.path.join(root, ".git")):
        with open(os.path.join(root, ".git"), "rb") as file:
            if b"/modules/" not in file.read():
                break  # a work tree
        outer = repository_root(os.path.dirname(root))
        if outer is None:
            break
        root = outer
    return root


def _commit(ref: str, root: str) -> str:
    """The hash of a commit."""
    wrong = f"{FLAG} {printable(ref)}"
    if not ref or ref.startswith("-"):
        raise UserError(f"{wrong}: expected a commit, branch or tag")
    found = _git(root, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", or_none=True)
    if not found:
        raise UserError(
            f"{wrong}: no such commit in {printable(root)}; expected a commit, branch or tag (a shallow clone has "
            "only the last commits: fetch more)"
        )
    return found.decode().strip()


def _changed_names(commit: str, root: str) -> Iterator[tuple[bytes, bool]]:
    """The changed files, and whether Git takes them for binary."""
    fields = iter(_git(root, *_DIFF, "--numstat", "-z", commit).split(b"\0"))
    for one in fields:
        if one:
            added, _, name = one.split(b"\t", 2)
            if not name:  # renamed: the old and the new name follow
                next(fields)
                name = next(fields)
            yield name, added == b"-"


def _changed_lines(commit: str, root: str) -> Iterator[tuple[bytes, Sequence[Part]]]:
    """The changed lines of source files, by the name in the working tree."""
    endings = [f":(top,icase,glob)**/*{suffix}" for suffix in sorted(SUFFIXES)]
    output = _git(root, *_DIFF, "--patch", "--unified=0", "--inter-hunk-context=0", commit, "--", *endings)
    lines = iter(output.split(b"\n"))
    name, parts = b"", []
    for line in lines:
        if line.startswith(b"diff --git "):
            if name and parts:
                yield name, tuple(parts)
            name, parts = b"", []
        elif line.startswith(b"+++ "):
            name = _new_name(line[4:])
        elif match := _HUNK.match(line):
            deleted, first, added = int(match[1] or 1), int(match[2]), int(match[3] or 1)
            parts.append((first, first + added - 1) if added else (first + 0.5, first + 0.5))
            remaining = deleted + added
            while remaining:  # a line of the text may look like a header
                remaining -= not next(lines).startswith(b"\\")  # "\ No newline at end of file" is none of the text
    if name and parts:
        yield name, tuple(parts)


def _new_name(written: bytes) -> bytes:
    """The path in a line `+++ b/PATH`; b"" for a deleted file."""
    written = written.removesuffix(b"\t")
    if written.startswith(b'"'):
        written = _ESCAPE.sub(_unescaped, written[1:-1])
    return written[2:] if written.startswith(b"b/") else b""


def _unescaped(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes([int(code, 8)]) if len(code) == 3 else _ESCAPED.get(code, code)


def _git(root: str, *arguments: str, or_none: bool = False) -> bytes:
    """What Git prints. Raises UserError if it fails, or returns b"" with `or_none`."""
    environment = {key: value for key, value in os.environ.items() if key not in ("GIT_DIR", "GIT_WORK_TREE")}
    environment |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(["git", *_SAFE, "-C", root, *arguments], capture_output=True, env=environment)
    except OSError as error:
        raise UserError(f"{FLAG} needs Git: {error.strerror}; install it, or leave the flag out") from None
    message = done.stderr.decode(errors="replace").strip().split("\n")[0].removeprefix("fatal: ")
    if done.returncode and not (or_none and not message):
        raise UserError(f"{FLAG}: Git failed in {printable(root)}: {printable(message, 300)}")
    return done.stdout if not done.returncode else b""
