"""Turns the functions of each split into a balanced data set of mutated and unmutated ones."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pandas as pd

from Data.analysers.findings import Finding
from Data.functions.card import to_frame
from Data.functions.drop_near_duplicates import drop_near_duplicates, signature
from Data.functions.labelling import LabelledFunction, worker_pool
from Data.functions.splits import Splits
from Data.mutations.draw import KINDS, Draw, draw
from Data.mutations.site import mutated
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.progress import progress_bar
from ltp_pipeline.code.code_tokens import code_tokens, token_hash
from ltp_pipeline.code.languages import language_of

ANALYZER = "injected"  # the name under which findings.jsonl lists the mutations
CLASSES = (("mutated", 1), ("unmutated", 0))
LENGTH_STEPS = 2  # for each doubling of the number of tokens


@dataclass(frozen=True)
class DrawnFunction(LabelledFunction):
    """A function in its final form, and what was drawn for it."""

    drawn: Draw | None = None

    @property
    def stratum(self) -> Hashable:
        """What the classes must have in common: kind, what stands at the site now, and length."""
        site = self.drawn.site
        here = site.after if self.drawn.is_mutated else site.before
        return site.kind, here, round(LENGTH_STEPS * math.log2(self.n_tokens))


def inject(
    available: Splits, seed: int, share: float, near_duplicates: float, workers: int
) -> tuple[Splits, dict[str, int]]:
    """The splits with each function in its final form, balanced, and counts for the data card.

    Raises UserError if a split has no function left.
    """
    originals = [function for functions in available.values() for function in functions]
    drawn = {
        split: draw_functions(_first_views(functions), seed, share, workers) for split, functions in available.items()
    }
    distinct = drop_twins([one for functions in drawn.values() for one in functions], originals)
    if near_duplicates < 1:
        distinct = drop_near_duplicates(distinct, near_duplicates)
    kept = set(map(id, distinct))
    balanced = {
        split: balance([one for one in functions if id(one) in kept], share) for split, functions in drawn.items()
    }
    for split, functions in balanced.items():
        if not functions:
            raise UserError(
                f"--defects injected: no function is left for {split}: of {len(available[split])}, a mutation is "
                f"possible in {len(drawn[split])}, and none of these has a counterpart of the other class"
            )
    n_drawn, n_balanced = (sum(map(len, splits.values())) for splits in (drawn, balanced))
    return balanced, {
        "functions": len(originals),
        "mutation_possible": n_drawn,
        "left_out_as_nearly_the_same_after_mutation": n_drawn - len(distinct),
        "left_out_for_the_balance_of_the_classes": len(distinct) - n_balanced,
    }


def _first_views(functions: Sequence[LabelledFunction]) -> list[LabelledFunction]:
    """The functions without further branches of #if: two texts of a function could be one of each class."""
    first: dict[Hashable, LabelledFunction] = {}
    for one in functions:
        first.setdefault((one.function.project, one.function.path, one.function.first_line), one)
    return list(first.values())


def mutation_rows(splits: Mapping[str, Sequence[DrawnFunction]]) -> list[dict[str, Any]]:
    """A row for each kind: how many functions of each split are mutated, and how many others it was drawn for."""
    counts = Counter((one.drawn.site.kind, split, one.label) for split, group in splits.items() for one in group)
    return [
        {"mutation": kind.__name__}
        | {f"{split}_{name}": counts[kind.__name__, split, label] for split in splits for name, label in CLASSES}
        for kind in KINDS
    ]


def to_injected_frame(functions: Sequence[DrawnFunction]) -> pd.DataFrame:
    """A row for each function, with the columns that Data/README.md lists for injected defects."""
    frame = to_frame(functions).rename(columns={"finding_lines": "flaw_lines"}).drop(columns="cwes")
    frame["mutation"] = [one.drawn.site.kind for one in functions]
    return frame


def draw_functions(
    functions: Sequence[LabelledFunction], seed: int, share: float, workers: int
) -> list[DrawnFunction]:
    """The functions that a mutation is possible in, in their final form, in order."""
    with worker_pool(workers, "; run again with fewer processes, for example --workers 1") as pool:
        drawn = pool.map(partial(drawn_function, seed=seed, share=share), functions, chunksize=100)
        bar = progress_bar(drawn, desc="mutate", unit="function", total=len(functions))
        return [one for one in bar if one is not None]


def drawn_function(labelled: LabelledFunction, seed: int, share: float) -> DrawnFunction | None:
    """A function in its final form; None if no mutation is possible in it."""
    text = labelled.function.source
    drawn = draw(text, labelled.token_hash, seed, share)
    if drawn is None:
        return None
    fields = {field.name: getattr(labelled, field.name) for field in dataclasses.fields(labelled)}
    if not drawn.is_mutated:
        return DrawnFunction(**fields, drawn=drawn)
    new_text, lines = mutated(text, drawn.site)
    tokens = code_tokens(new_text, language_of(labelled.function.path))
    changes = "; ".join(f"{text[start:end].strip()!r} -> {new!r}" for start, end, new in drawn.site.edits)
    changed = {
        "function": replace(labelled.function, source=new_text),
        "token_hash": token_hash(tokens),
        "n_tokens": len(tokens),
        "findings": tuple(Finding(line, (), ANALYZER, drawn.site.kind, changes) for line in lines),
        "signature": signature(tokens) if labelled.signature else b"",
    }
    return DrawnFunction(**fields | changed, drawn=drawn)


def drop_twins(drawn: Sequence[DrawnFunction], originals: Iterable[LabelledFunction]) -> list[DrawnFunction]:
    """Leaves out mutated functions whose tokens are those of another function."""
    hashes = Counter(one.token_hash for one in originals)
    hashes.update(one.token_hash for one in drawn if one.drawn.is_mutated)
    return [one for one in drawn if not one.drawn.is_mutated or hashes[one.token_hash] == 1]


def balance(drawn: Sequence[DrawnFunction], share: float) -> list[DrawnFunction]:
    """Keeps the same share of mutated functions in each stratum: those that come first in the random order."""
    strata: dict[Hashable, tuple[list[DrawnFunction], list[DrawnFunction]]] = defaultdict(lambda: ([], []))
    for one in drawn:
        strata[one.stratum][one.label].append(one)
    kept: set[int] = set()
    for clean, defective in strata.values():
        n_defective = min(len(defective), round(len(clean) * share / (1 - share)))
        n_clean = min(len(clean), round(n_defective * (1 - share) / share))
        for group, number in ((clean, n_clean), (defective, n_defective)):
            if n_clean and n_defective:
                kept.update(id(one) for one in sorted(group, key=lambda one: one.drawn.rank)[:number])
    return [one for one in drawn if id(one) in kept]
