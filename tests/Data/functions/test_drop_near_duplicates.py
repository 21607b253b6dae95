"""Functions that are nearly the same."""

import random

import numpy as np
import pytest

from Data.functions.drop_near_duplicates import drop_near_duplicates, signature
from Data.functions.labelling import LabelledFunction
from ltp_pipeline.code.functions import Function


def function(name, tokens):
    return LabelledFunction(Function("p", name, 1, ""), b"", len(tokens), (), (), signature(tokens))


def names(functions):
    return [one.function.path for one in functions]


def test_the_first_of_near_duplicates_stays():
    base = [f"t{i}" for i in range(200)]
    near, far = [*base[:100], "other", *base[101:]], [*base[:100], *(f"u{i}" for i in range(100))]
    found = [function("a", base), function("near", near), function("far", far), function("same", base)]
    assert names(drop_near_duplicates(found, 0.9)) == ["a", "far"]
    assert names(drop_near_duplicates(found[::-1], 0.9)) == ["same", "far"]


@pytest.mark.parametrize("threshold", [0.7, 0.8, 0.9])
def test_pairs_that_are_alike_are_found(threshold):
    """400 pairs of similarity 0.6 to 1, each against what comparing the two signatures says."""
    draw = random.Random(0)
    found, alike = [], set()
    for pair in range(400):
        base = [f"{pair}_{i}" for i in range(100)]
        other = [*base[: 100 - draw.randrange(25)], *(f"{pair}_new_{i}" for i in range(draw.randrange(5)))]
        both = [function(f"{pair}", base), function(f"{pair} again", other)]
        first, second = (np.frombuffer(one.signature, dtype=np.uint32) for one in both)
        found += both
        alike |= {f"{pair} again"} if np.mean(first == second) >= threshold else set()
    gone = set(names(found)) - set(names(drop_near_duplicates(found, threshold)))
    assert len(alike) > 100 and gone <= alike
    assert len(alike - gone) <= (0.02 * len(alike) if threshold == 0.7 else 0)


def test_functions_shorter_than_a_run():
    found = [function("a", ["x"]), function("b", ["y"]), function("c", ("x",))]
    assert names(drop_near_duplicates(found, 0.9)) == ["a", "b"]
    assert signature(["a", "b"]) != signature(["b", "a"])
