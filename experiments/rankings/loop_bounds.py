"""A synthetic task on which random pruning hurts: does the loop that fills an array run past its end?

    python -m experiments.rankings.loop_bounds --output_dir loop_bounds

writes `train.csv`, `validation.csv` and `test.csv` with the columns `functionSource` and `label`. Every function
declares one to three local arrays and has one to three loops of constant bounds. In exactly one loop a local array is
indexed by the loop's variable; the label is 1 if that loop's bound is larger than that array's size. The other loops
read parameters, whose sizes are unknown, and the other arrays are used at constant indices only. So the label needs
the access, the bound of the loop around it and the declaration of the same name, and nothing else.
"""

from __future__ import annotations

import argparse
import csv
import random
from pathlib import Path

NAMES = ("buf", "tmp", "table", "items", "row", "keys")
PARAMETERS = ("src", "old")
SIZES = (8, 12, 16, 20, 24, 32, 48, 64)


def make_function(rng: random.Random, label: int) -> str:
    """The text of one function, 60 to 150 tokens of C, whose filled array overflows if `label` is 1."""
    num_arrays = rng.randint(1, 3)
    arrays = rng.sample(NAMES, num_arrays)
    sizes = [rng.choice(SIZES) for _ in arrays]
    target = rng.randrange(num_arrays)
    sizes[target], bound = _size_and_bound(rng, label)
    body = [_loop(bound, f"{arrays[target]}[i] = {rng.choice(('s', 'i', 's + i', 'n'))};")]
    body += [_distracting_loop(rng) for _ in range(rng.randint(0, 2))]
    body += [_constant_access(rng, arrays) for _ in range(rng.randint(1, 3))]
    rng.shuffle(body)
    lines = [f"int {arrays[j]}[{sizes[j]}];" for j in range(num_arrays)] + ["int i, s = 0;"]
    signature = "int f(int *src, int *old, int n)"
    return "\n".join([signature, "{", *("    " + line for line in lines + body), "    return s;", "}", ""])


def _size_and_bound(rng: random.Random, label: int) -> tuple[int, int]:
    while True:
        size, bound = rng.choice(SIZES), rng.choice(SIZES)
        if (bound > size) == bool(label):
            return size, bound


def _loop(bound: int, statement: str) -> str:
    return f"for (i = 0; i < {bound}; i++) {{ {statement} }}"


def _distracting_loop(rng: random.Random) -> str:
    bound = rng.choice(SIZES)
    name = rng.choice(PARAMETERS)
    return _loop(bound, rng.choice((f"s += {name}[i];", f"n = {name}[i];", f"s = {name}[i];")))


def _constant_access(rng: random.Random, arrays: list[str]) -> str:
    name, index = rng.choice(arrays), rng.randrange(3)
    return rng.choice((f"s += {name}[{index}];", f"{name}[{index}] = n;"))


def make_split(num_functions: int, seed: int | str) -> list[tuple[str, int]]:
    """`num_functions` functions with their labels, half of each class, in random order; the same for the same seed."""
    rng = random.Random(seed)
    labels = [i % 2 for i in range(num_functions)]
    rng.shuffle(labels)
    return [(make_function(rng, label), label) for label in labels]


def write_splits(output_dir: str | Path, sizes: dict[str, int], seed: int = 0) -> dict[str, Path]:
    """Writes one CSV a split, and returns where. A function drawn for an earlier split is left out of a later one."""
    folder, seen, paths = Path(output_dir), set(), {}
    folder.mkdir(parents=True, exist_ok=True)
    for split, num_functions in sizes.items():
        rows = [row for row in make_split(num_functions, f"{seed} {split}") if row[0] not in seen]
        seen.update(text for text, _ in rows)
        paths[split] = folder / f"{split}.csv"
        with paths[split].open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("functionSource", "label"))
            writer.writerows(rows)
    return paths


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`; None: the process's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", required=True, help="where the three CSV files are written")
    parser.add_argument("--train", type=int, default=9000, help="number of training functions (default: 9000)")
    parser.add_argument("--validation", type=int, default=3000, help="number of validation functions (default: 3000)")
    parser.add_argument("--test", type=int, default=3000, help="number of test functions (default: 3000)")
    parser.add_argument("--seed", type=int, default=0, help="other seeds draw other functions (default: 0)")
    arguments = parser.parse_args(argv)
    sizes = {split: getattr(arguments, split) for split in ("train", "validation", "test")}
    for split, path in write_splits(arguments.output_dir, sizes, arguments.seed).items():
        print(f"{split}: {path}")


if __name__ == "__main__":
    main()
