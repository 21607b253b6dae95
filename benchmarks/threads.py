"""Measures numbers of threads and OpenMP settings on a machine that does other work, too.

    python -m benchmarks.threads --settings 2 2,OMP_WAIT_POLICY=PASSIVE 1 --neighbours 0 1 2 --output_dir threads

A setting is a number of threads, and environment variables with commas between them. Each has a process of its own,
with classifiers of random weights. For each number of neighbours (processes that only count, one core each), every
round lets the settings take turns; the first round is not measured. The processes of the other settings are stopped
meanwhile, because the threads of OpenMP may spin although they have nothing to do. Each pass reads new random tokens.
A time is the mean of the passes of a turn; the tables have the medians over the rounds, and `worst` is the largest
time over that of the fastest setting with as many neighbours.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, machine_facts, make_output_folder, make_parser, software_versions
from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.files import format_table, write_json
from ltp_pipeline.base.flags import check_positive

MODELS, DTYPES = ("ltp", "roberta"), ("float32", "bfloat16")
POSITIONS = 16 * 1024  # of the models of `build_models`
VOCABULARY = 1000
COUNT = "while True: pass"  # what a neighbour does


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`; None stands for that of this process."""
    args = _parse(argv)
    if args.serve:
        _serve(args)
        return
    settings = {text: environment(text) for text in args.settings}
    passes = [
        (model, dtype, size) for model in args.models for dtype in args.dtypes for size in map(_size, args.sizes)
    ]
    make_output_folder(args.output_dir)
    facts = {**software_versions(), **machine_facts("cpu")}
    times = _measure(args, settings, passes)
    rows = summary(times)
    report = {**facts, "rounds": args.rounds, "layers": args.layers, "hidden_size": args.hidden_size}
    write_json(args.output_dir / "threads.json", {**report, "times": times, "medians": rows})
    print(format_table(rows))
    print(f"milliseconds; {', '.join(facts['instructions'] or [])}; {facts['usable_cores']} cores")
    print(f"written: {args.output_dir}/threads.json")


def environment(setting: str) -> dict[str, str]:
    """The environment variables of a setting.

    >>> environment("2,OMP_WAIT_POLICY=PASSIVE")
    {'OMP_NUM_THREADS': '2', 'OMP_WAIT_POLICY': 'PASSIVE'}

    Raises UserError if the number of threads or a value is missing.
    """
    threads, *others = setting.split(",")
    pairs = [other.partition("=") for other in others]
    if not threads.isdecimal() or int(threads) < 1 or not all(name and value for name, _, value in pairs):
        raise UserError(f"--settings {setting}: expected THREADS or THREADS,NAME=VALUE, such as 2,GOMP_SPINCOUNT=1000")
    return {"OMP_NUM_THREADS": threads} | {name: value for name, _, value in pairs}


def summary(times: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Medians over the rounds.

    `times`: `setting`, `neighbours`, `pass` and `seconds` of each turn. Returns for each pass and setting the
    milliseconds by number of neighbours, and `worst`: the largest ratio to the fastest setting beside as many.
    """
    groups: dict[tuple[str, int, str], list[float]] = {}
    for one in times:
        groups.setdefault((one["pass"], one["neighbours"], one["setting"]), []).append(one["seconds"])
    medians = {key: 1000 * statistics.median(seconds) for key, seconds in groups.items()}
    fastest: dict[tuple[str, int], float] = {}
    for (name, count, _), milliseconds in medians.items():
        fastest[name, count] = min(milliseconds, fastest.get((name, count), milliseconds))
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    worst: dict[tuple[str, str], float] = {}
    for (name, count, setting), milliseconds in medians.items():
        row = rows.setdefault((name, setting), {"pass": name, "setting": setting})
        row[f"{count} neighbours"] = milliseconds
        ratio = milliseconds / fastest[name, count]
        worst[name, setting] = max(ratio, worst.get((name, setting), ratio))
    return [{**row, "worst": worst[key]} for key, row in rows.items()]


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Keeps `count` processes busy."""
    processes = [subprocess.Popen([sys.executable, "-S", "-c", COUNT]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser("benchmarks.threads", __doc__)
    add = parser.add_argument
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    add(
        "--settings", nargs="+", default=[str(cores), f"{cores},OMP_WAIT_POLICY=PASSIVE", "1"], help="what is compared"
    )
    add("--neighbours", nargs="+", type=int, default=[0, 1, 2], help="numbers of busy processes beside it")
    add("--models", nargs="+", choices=MODELS, default=["ltp"], help="what is run")
    add("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES), help="data types of the models")
    add("--sizes", nargs="+", default=["1x200", "8x200"], help="functions x tokens of a pass")
    add("--layers", type=int, default=6, help="layers of the models")
    add("--hidden_size", type=int, default=768, help="width of the models, a multiple of 64")
    add("--rounds", type=int, default=5, help="number of measured rounds")
    add("--seconds", type=float, default=0.5, help="how long a turn lasts at least; it has two passes or more")
    add("--output_dir", type=Path, default=Path("threads"), help="folder for threads.json")
    add("--serve", action="store_true", help=argparse.SUPPRESS)  # the process of one setting
    args = parser.parse_args(argv)
    check_positive(args, "layers", "rounds")
    if args.hidden_size < 64 or args.hidden_size % 64:
        raise UserError(f"--hidden_size {args.hidden_size}: expected a multiple of 64")
    if not 0 <= args.seconds < math.inf:
        raise UserError(f"--seconds {args.seconds:g}: expected a number from 0")
    if min(args.neighbours) < 0:
        raise UserError(f"--neighbours {min(args.neighbours)}: expected 0 or more")
    return args


def _size(text: str) -> tuple[int, int]:
    functions, _, tokens = text.partition("x")
    if not (functions.isdecimal() and tokens.isdecimal() and int(functions) and int(tokens) > 1):
        raise UserError(f"--sizes {text}: expected FUNCTIONSxTOKENS, such as 1x200")
    if int(tokens) > POSITIONS:
        raise UserError(f"--sizes {text}: the models have {POSITIONS} positions")
    return int(functions), int(tokens)


def _measure(args: argparse.Namespace, settings: dict[str, dict[str, str]], passes: list[tuple]) -> list[dict]:
    """The mean seconds of a pass, for each turn."""
    times = []
    with ExitStack() as stack:
        servers = {setting: stack.enter_context(_server(args, settings[setting])) for setting in settings}
        for count in args.neighbours:
            with neighbours(count):
                for index in range(args.rounds + 1):
                    order = list(servers)[index % len(servers) :] + list(servers)[: index % len(servers)]
                    for one in passes:
                        for setting in order:
                            seconds = _ask(servers[setting], one)
                            if index > 0:
                                name = f"{one[0]} {one[1]} {one[2][0]}x{one[2][1]}"
                                turn = {"setting": setting, "neighbours": count, "pass": name, "round": index}
                                times.append({**turn, "seconds": seconds})
    return times


@contextmanager
def _server(args: argparse.Namespace, variables: dict[str, str]) -> Iterator[subprocess.Popen]:
    """The process of one setting, with its models loaded, and stopped."""
    names = ("OMP_", "GOMP_", "KMP_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    flags = ["--models", *args.models, "--dtypes", *args.dtypes, "--layers", str(args.layers)]
    flags += ["--hidden_size", str(args.hidden_size), "--seconds", str(args.seconds), "--serve"]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.threads", *flags],
        cwd=ROOT, env=kept | variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        if process.stdout.readline() != "ready\n":
            raise UserError("a process of the benchmark has failed; its message is above")
        process.send_signal(signal.SIGSTOP)
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def _ask(server: subprocess.Popen, one: tuple) -> float:
    server.send_signal(signal.SIGCONT)
    try:
        print(json.dumps(one), file=server.stdin, flush=True)
        return json.loads(server.stdout.readline())
    except (BrokenPipeError, json.JSONDecodeError):
        raise UserError("a process of the benchmark has ended before its time; its message is above") from None
    finally:
        server.send_signal(signal.SIGSTOP)


def _serve(args: argparse.Namespace) -> None:
    """Reads passes from standard input, one a line, and writes the mean seconds of each."""
    import torch

    from benchmarks.speed.models import Size, build_models

    heads, width = args.hidden_size // 64, args.hidden_size
    size = Size(args.layers, width, heads, 4 * width, window=512, vocab=VOCABULARY, full=1024)
    models = build_models(args.models, args.dtypes, size, seed=0)
    print("ready", flush=True)
    with torch.inference_mode():
        for line in sys.stdin:
            model, dtype, (functions, tokens) = json.loads(line)
            count, start = 0, time.perf_counter()
            while count < 2 or time.perf_counter() - start < args.seconds:
                ids = torch.randint(3, VOCABULARY, (functions, tokens))
                models[model, dtype](input_ids=ids, attention_mask=torch.ones_like(ids))
                count += 1
            print((time.perf_counter() - start) / count, flush=True)


if __name__ == "__main__":
    run_main(main)
