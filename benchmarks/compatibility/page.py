"""docs/compatibility.md: a table of what was run with which versions."""

from __future__ import annotations

from typing import Any

from ltp_pipeline.base.files import format_table

HEAD = """# Versions

Supported are Python 3.10 to 3.13, Transformers from 5.17 to below 6, and PyTorch from 2.11. The table says what was
run. `python -m benchmarks.compatibility` makes an environment for each row, runs tests in it and writes this page
(`--help`; [compatibility.json](compatibility.json) has the versions of more packages).

`model` tests outputs, heads, loading and kernels, `trainer` LTPTrainer and budgets, `scripts` fine-tuning, soft and
hard pruning, LoRA, visualisation, extraction, conversion and data checks on a tiny model. The cells are numbers of
tests: passed / failed / skipped, or "-" for tests that were not run.

"""
TAIL = """
What differs between versions:
- Python 3.10 refuses a CSV file with a NUL byte. From 3.11 on it is read.
- Transformers 5.23 calls gradient checkpointing "activation checkpointing". `--gradient_checkpointing` works with all.

## Systems
Linux on x86-64 is tested. **Windows and macOS are untested.** What depends on the system:

| part | Linux | elsewhere |
| --- | --- | --- |
SYSTEM_ROWS
"""
SYSTEMS = (
    ("locks of result folders and caches", "`filelock` (`flock`)", "`filelock` uses the system's own locks"),
    ("Ctrl-C, SIGTERM", "both end a run with one line", "Windows has no SIGTERM that a process can handle: a kill"),
    ("freed memory", "returned to the system (glibc)", "not returned"),
    ("`revise_local_transformer_package.sh`, `demo.sh`, `run_tests.sh`, `test.sh`", "bash", "need a bash, such as "
     "Git's on Windows"),
    ("products by oneDNN", "where PyTorch has oneDNN", "the library's own on Apple processors"),
)  # fmt: skip


def page(results: dict[str, dict[str, Any]]) -> str:
    """The page. `results`: those of `run_row`, by row such as `3.11/5.17.0/2.13.0`."""
    rows, failures = [], []
    for name, result in sorted(results.items(), key=lambda item: _key(item[0])):
        python, transformers, torch = name.split("/")
        row = {"Python": python, "Transformers": transformers, "PyTorch": torch}
        if "not_run" in result:
            rows.append(row | {"model": "not run", "note": result["not_run"]})
            continue
        row["Python"], row["PyTorch"] = result["versions"]["python"], result["versions"]["torch"]
        for suite, counts in result["suites"].items():
            row[suite] = f"{counts['passed']} / {counts['failed']} / {counts['skipped']}"
            failures += [f"- {name}: `{failure}`" for failure in counts["failures"]]
            if "broken" in counts:
                row[suite] = "broken"
                failures.append(f"- {name}, {suite}: `{counts['broken'].splitlines()[-1]}`")
        rows.append(row | {"note": f"{result['date']}, {result['commit']}"})
    columns = [*("Python", "Transformers", "PyTorch"), *_suites(results), "note"]
    nothing_failed = "\nNo test failed.\n" if any("suites" in result for result in results.values()) else ""
    failed = "\nFailed:\n" + "\n".join(failures) + "\n" if failures else nothing_failed
    systems = "\n".join(f"| {' | '.join(row)} |" for row in SYSTEMS)
    return HEAD + format_table(rows, columns, markdown=True) + "\n" + failed + TAIL.replace("SYSTEM_ROWS", systems)


def _suites(results: dict[str, dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(["model", *(s for result in results.values() for s in result.get("suites", ()))]))


def _key(name: str) -> list[tuple[int, ...]]:
    return [tuple(int(part) for part in version.split(".") if part.isdigit()) for version in name.split("/")]
