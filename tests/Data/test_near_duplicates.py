"""Functions that are nearly the same."""

from Data.analyse_functions import LabelledFunction
from Data.extract_functions import Function
from Data.near_duplicates import drop_near_duplicates, signature


def function(name, tokens):
    return LabelledFunction(Function("p", name, 1, ""), name, len(tokens), (), (), signature(tokens))


def names(functions):
    return [one.function.path for one in functions]


def test_the_first_of_near_duplicates_stays():
    base = [f"t{i}" for i in range(200)]
    near, far = [*base[:100], "other", *base[101:]], [*base[:100], *(f"u{i}" for i in range(100))]
    found = [function("a", base), function("near", near), function("far", far), function("same", base)]
    assert names(drop_near_duplicates(found, 0.9)) == ["a", "far"]
    assert names(drop_near_duplicates(found[::-1], 0.9)) == ["same", "far"]
    assert names(drop_near_duplicates(found[::2], 0.1)) == ["a", "far"]  # 0.17 is estimated, but 16 bands of 4 miss it


def test_functions_shorter_than_a_run():
    found = [function("a", ["x"]), function("b", ["y"]), function("c", ["x"])]
    assert names(drop_near_duplicates(found, 0.9)) == ["a", "b"]


def test_signature_depends_on_the_tokens_only():
    assert signature(["a", "b"]) == signature(("a", "b")) != signature(["b", "a"])
    assert len(signature(["a"])) == 64 * 4
