"""Counts the heads of functions that are in no extracted function, against two independent counts.

    python -m benchmarks.function_heads --sources Data/sources_demo.txt --output_dir benchmark_function_heads

The first count is that of Universal Ctags (`apt-get install universal-ctags`), without lambdas. The second is a
regular expression for `NAME(...) {` at the start of a line, outside comments and directives: calls of macros, and
names whose type is on the line before. A head is lost if no function holds its line and, for Ctags, none ends where
its body ends: Ctags takes some calls of macros for the head of the function below them. Writes function_heads.json,
and lost_heads.csv with the lost heads. The exit status is 1 if more than 0.3 % of a project's heads are lost.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import make_output_folder, make_parser
from Data.sources.choose_files import choose_files
from Data.sources.file_report import FileReport
from Data.sources.projects import projects_from_list
from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.files import format_table, write_csv, write_json
from ltp_pipeline.base.progress import progress_bar
from ltp_pipeline.code.functions import SourceFile, find_functions
from ltp_pipeline.code.languages import language_of, suffixes_of

LIMIT = 0.003  # share of heads that may be lost
_NO_CODE = re.compile(r"/\*.*?\*/|//[^\n]*|^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.DOTALL | re.MULTILINE)
_HEAD = re.compile(
    r"^(?:static[ \t]+)?(?!(?:if|for|while|switch|catch|return|else)\b)[A-Za-z_]\w*[ \t]*"
    r"\((?:[^();{}]|\([^();{}]*\))*\)\s*\{",
    re.MULTILINE,
)

_CLASS = re.compile(r"^\s*(?:class|namespace|template)\b", re.MULTILINE)


@dataclass(frozen=True)
class Head:
    """A head that one of the counts has found, with the line of its name and, if known, the last line of its body."""

    file: SourceFile
    count: str  # "ctags" or "regex"
    line: int
    last_line: int | None = None


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`; None stands for that of this process. Exits with 1 if too many heads are lost."""
    parser = make_parser("benchmarks.function_heads", __doc__)
    parser.add_argument("--sources", type=Path, default=Path("Data/sources_demo.txt"), help="list of distributions")
    parser.add_argument("--cache_dir", type=Path, default=Path("Data/cache"), help="folder of the downloads")
    parser.add_argument(
        "--output_dir", type=Path, default=Path("benchmark_function_heads"), help="folder for the two files"
    )
    args = parser.parse_args(argv)
    import pandas as pd  # after the flags: it takes a second

    make_output_folder(args.output_dir)
    projects = projects_from_list(args.sources, args.cache_dir, suffixes_of(["c", "cpp"]), FileReport())
    rows, lost = [], []
    for project in progress_bar(projects, desc="compare", unit="project"):
        files, _ = choose_files(project.files, FileReport())
        row, heads = compare_heads(project.name, files)
        rows.append(row)
        lost += heads
    rows = [_with_share(row) for row in [*rows, _total(rows)]]
    write_json(args.output_dir / "function_heads.json", {"limit": LIMIT, "rows": rows})
    write_csv(
        args.output_dir / "lost_heads.csv", pd.DataFrame(lost, columns=["project", "path", "line", "count", "text"])
    )
    print(format_table(rows))
    failed = [
        row["project"]
        for row in rows
        if row["lost"] > LIMIT * row["heads"] or row["regex_lost"] > LIMIT * row["regex_heads"]
    ]
    if failed:
        print(f"error: more than {LIMIT:.1%} of the heads are lost: {', '.join(failed)}", file=sys.stderr)
        sys.exit(1)


def compare_heads(project: str, files: Sequence[SourceFile]) -> tuple[dict, list[tuple]]:
    """A row of the table for a project, and the project, path, line, count and text of each head that is lost.

    Raises UserError if Universal Ctags is not installed.
    """
    found = {file.path: find_functions(file) for file in files}
    heads = [*_ctags_heads(files), *_regex_heads(files)]
    lost = [head for head in heads if not _is_in(head, found[head.file.path][0])]
    row = {
        "project": project,
        "functions": sum(len(functions) for functions, _ in found.values()),
        "not_extracted": sum(len(places) for _, places in found.values()),
    }
    for count, key in (("ctags", ""), ("regex", "regex_")):
        row[f"{key}heads"] = sum(head.count == count for head in heads)
        row[f"{key}lost"] = sum(head.count == count for head in lost)
    listed = [
        (project, head.file.path, head.line, head.count, head.file.text.split("\n")[head.line - 1]) for head in lost
    ]
    return row, listed


def _is_in(head: Head, functions: Sequence) -> bool:
    return any(
        function.first_line <= head.line <= function.last_line or function.last_line == head.last_line
        for function in functions
    )


def _is_cpp(file: SourceFile) -> bool:
    if file.path.endswith(".h"):
        return _CLASS.search(file.text) is not None
    return language_of(file.path).name == "cpp"


def _ctags_heads(files: Sequence[SourceFile]) -> Iterator[Head]:
    if shutil.which("ctags") is None:
        raise UserError("no program ctags; install Universal Ctags, for example: apt-get install universal-ctags")
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{number}.{'cpp' if _is_cpp(file) else 'c'}") for number, file in enumerate(files)]
        for path, file in zip(paths, files, strict=True):
            path.write_text(file.text, errors="replace")
        listed = Path(folder, "files")
        listed.write_text("\n".join(map(str, paths)))
        command = ["ctags", "--output-format=json", "--fields=+ne", "--kinds-C=f", "--kinds-C++=f", "--sort=no"]
        done = subprocess.run(
            [*command, "-L", str(listed), "-f", "-"], capture_output=True, text=True, errors="replace", check=False
        )
    if done.returncode:
        raise UserError(f"ctags failed; expected Universal Ctags with JSON output: {done.stderr.strip()[:200]}")
    for line in done.stdout.splitlines():
        tag = json.loads(line)
        if tag.get("_type") == "tag" and not tag["name"].startswith("__anon"):
            yield Head(files[int(Path(tag["path"]).stem)], "ctags", tag["line"], tag.get("end"))


def _regex_heads(files: Sequence[SourceFile]) -> Iterator[Head]:
    for file in files:
        code = _NO_CODE.sub(lambda match: "\n" * match[0].count("\n"), file.text)
        for match in _HEAD.finditer(code):
            yield Head(file, "regex", code.count("\n", 0, match.end()) + 1)


def _total(rows: Sequence[dict]) -> dict:
    keys = [key for key in rows[0] if key != "project"]
    return {"project": "all", **{key: sum(row[key] for row in rows) for key in keys}}


def _with_share(row: dict) -> dict:
    return {**row, "lost_percent": round(100 * row["lost"] / max(1, row["heads"]), 3)}


if __name__ == "__main__":
    run_main(main)
