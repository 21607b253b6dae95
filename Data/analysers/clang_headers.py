"""Writes a project to disk with a stub for each missing header, so that Clang can parse its files without a build."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from Data.analysers.findings import without_line_marks
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.code.functions import SourceFile

STUB = Path(__file__).resolve().parent / "libc_stub.h"
LIBC = (
    "alloca arpa/inet assert ctype dirent errno fcntl getopt grp inttypes libgen locale malloc math memory net/if "
    "netdb netinet/in netinet/tcp poll pthread pwd regex sched semaphore setjmp signal stdio stdlib string strings "
    "sys/file sys/ioctl sys/mman sys/param sys/poll sys/resource sys/select sys/socket sys/stat sys/time sys/types "
    "sys/uio sys/un sys/utsname sys/wait sys/errno sys/fcntl sys/signal syslog termios time unistd utime wchar wctype"
).split()
COMPILER = frozenset(
    "stddef stdarg stdint stdbool float limits iso646 stdalign stdnoreturn stdatomic tgmath immintrin emmintrin "
    "xmmintrin mmintrin pmmintrin tmmintrin smmintrin nmmintrin wmmintrin x86intrin avxintrin avx2intrin cpuid "
    "arm_neon".split()
)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*["<]([^">\n]+)[">]', re.MULTILINE)
_IMPOSSIBLE = (errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)
_SAFE = re.compile(r"(?:[\w+-][\w.+-]*/)*[\w+-][\w.+-]*")


@dataclass
class ClangTree:
    """A project on disk below `root`, with stubs for the headers that it lacks below `stubs`.

    The stub of a C library header includes libc_stub.h. Other stubs are empty: a build or another package would
    provide those headers.
    """

    root: Path
    stubs: Path
    folders: dict[str, list[str]] = field(default_factory=dict)  # file path -> folders of the headers that it includes
    digest: str = ""  # hash of every file that a file of the project may include


def lay_out(files: Iterable[SourceFile], folder: Path) -> ClangTree:
    """Write a project's files and stubs below `folder`. Raises UserError if it cannot be written to.

    A file whose path the disk cannot hold is left out: a name is too long, or `a` and `a/b` would both be files.
    """
    tree = ClangTree(folder / "source", folder / "stubs")
    texts = {file.path: without_line_marks(file.text) for file in files}
    digest = hashlib.sha256(STUB.read_bytes())
    for path, text in texts.items():
        if _SAFE.fullmatch(path):
            _write(tree.root / path, text)
        digest.update(f"{path}\0{text}\0".encode())
    tree.digest = digest.hexdigest()
    endings = defaultdict(list)  # "b/c.h" and "c.h" -> ["a/b/c.h"]
    for path in texts:
        parts = path.split("/")
        for start in range(len(parts)):
            endings["/".join(parts[start:])].append(path)
    includes = {path: list(dict.fromkeys(name.strip() for name in _INCLUDE.findall(texts[path]))) for path in texts}
    missing = {name for path in texts for name in includes[path] if os.path.basename(name) not in endings}
    _write_stubs(tree.stubs, missing)
    tree.folders = {path: _header_folders(path, includes, endings) for path in texts}
    return tree


def _write_stubs(folder: Path, missing: set[str]) -> None:
    libc = {f"{name}.h": f'#include "{STUB}"\n' for name in LIBC}
    empty = {name: "" for name in missing if _SAFE.fullmatch(name) and name.removesuffix(".h") not in COMPILER}
    for name, text in {**empty, **libc}.items():
        _write(folder / name, text)


def _write(place: Path, text: str) -> None:
    """Write a file, unless its path is impossible. Raises UserError if the disk is full or read-only."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    except OSError as error:
        if error.errno not in _IMPOSSIBLE:
            raise UserError(f"--cache_dir: cannot write to {place.parent}: {error.strerror}") from None


def _header_folders(path: str, includes: dict[str, list[str]], endings: dict[str, list[str]]) -> list[str]:
    """The folders of the headers that a file includes, directly or through other headers, in a fixed order."""
    seen, waiting = {path}, [path]
    folders: dict[str, None] = {}  # a set that keeps its order
    while waiting:
        current = waiting.pop()
        for name in includes[current]:
            target = os.path.normpath(os.path.join(os.path.dirname(current), name))
            if target not in includes:
                found = endings.get(os.path.normpath(name).lstrip("./"))
                if not found or name.removesuffix(".h") in {*LIBC, *COMPILER}:
                    continue
                target = max(found, key=lambda one: (len(os.path.commonprefix([one, current])), -len(one), one))
                folder = target[: -len(name)].rstrip("/") if target.endswith(name) else os.path.dirname(target)
                folders[folder] = None
            if target not in seen:
                seen.add(target)
                waiting.append(target)
    return list(folders)
