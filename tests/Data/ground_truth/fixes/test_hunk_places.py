"""Where hunks are found in a file of another revision than that of the diff."""

import difflib
from random import Random
from time import process_time

from Data.ground_truth.fixes.hunk_places import Change, PlacedFile
from Data.ground_truth.fixes.unified_diffs import Hunk, parse_diff

LINES = [f"line {number}" for number in range(1, 41)]


def hunk(*lines, first=1):
    return Hunk(first, "", tuple((line[0], line[1:]) for line in lines))


def test_a_hunk_that_fits_and_one_that_the_file_already_has():
    fix = hunk(" line 4", "-line 5", "+five", "+5", " line 6", "+six", " line 7", first=4)
    expected = [Change(4, 1, ("five", "5"), True), Change(6, 0, ("six",), True)]
    assert PlacedFile(LINES).place(fix) == expected and not PlacedFile(LINES).is_applied(fix)
    fixed = [*LINES[:4], "five", "5", "line 6", "six", *LINES[6:]]
    assert PlacedFile(fixed).place(fix) is None and PlacedFile(fixed).is_applied(fix)
    assert [change.end for change in expected] == [5, 6]


def test_the_nearest_of_several_places():
    twice = [*LINES, *LINES]
    for first, after in ((4, 4), (30, 44), (44, 44), (20, 4)):
        (change,) = PlacedFile(twice).place(hunk(" line 4", "-line 5", first=first))
        assert change == Change(after, 1, (), True)
    assert PlacedFile(LINES).place(hunk("-line 5", first=30)) == [Change(4, 1, (), True)]
    assert PlacedFile(twice).place(hunk("-line 5")) is None  # a single line says too little to choose


def test_white_space_does_not_count_but_is_no_exact_match():
    (change,) = PlacedFile([f"\t{line}" for line in LINES]).place(hunk(" line  9", "-        line 10"))
    assert change == Change(9, 1, (), False)
    (change,) = PlacedFile([f"{line}  " for line in LINES]).place(hunk(" line 9", "-line 10"))
    assert change.is_exact


def test_context_of_another_revision_is_left_out_where_one_place_fits():
    fix = hunk(" other", " line 8", " line 9", "+new", " line 10", " line 11", " other", first=30)
    assert PlacedFile(LINES).place(fix) == [Change(9, 0, ("new",), False)]
    assert PlacedFile([*LINES, *LINES]).place(fix) is None  # which of the two is unknown
    deep = hunk(*[" other"] * 7, " line 9", "-line 10", " line 11", *[" other"] * 7)
    assert PlacedFile(LINES).place(deep) == [Change(9, 1, (), False)]
    assert PlacedFile(LINES).place(hunk(" other", " line 9", "+new")) is None  # a single line may be anywhere
    assert PlacedFile(LINES).place(hunk(" line 8", "-line 10", " line 9")) is None


def test_hunks_at_the_ends_of_a_file_and_empty_ones():
    assert PlacedFile(LINES).place(hunk("+new", " line 1", " line 2")) == [Change(0, 0, ("new",), True)]
    assert PlacedFile(LINES).place(hunk(" line 39", " line 40", "+new")) == [Change(40, 0, ("new",), True)]
    assert PlacedFile(LINES).place(hunk("-line 1", "-line 2")) == [Change(0, 2, (), True)]
    assert PlacedFile(LINES).place(hunk(" other", " other", " line 1", "-line 2")) == [Change(1, 1, (), False)]
    for nothing in (hunk(), hunk("+new"), hunk(" ", "+new", " ")):
        assert PlacedFile(["", "", ""]).place(nothing) is None
    assert PlacedFile([]).place(hunk(" line 1", "-line 2")) is None
    assert PlacedFile(LINES).place(hunk(" line 1", " line 2")) == []


def test_changes_of_random_diffs_make_the_new_file_of_the_old_one():
    random = Random(1)
    for _ in range(200):
        old = [f"line {random.choice('abc')} {number}" for number in range(random.randint(1, 60))]
        new = [line for line in old if random.random() > 0.1]
        for place in sorted(random.sample(range(len(new) + 1), min(3, len(new))), reverse=True):
            new[place:place] = [f"new {place}"] * random.randint(1, 3)
        diff = "\n".join(difflib.unified_diff(old, new, "a", "b", lineterm="", n=random.randint(1, 8)))
        result = list(old)
        changes = [change for one in parse_diff(diff) for hunk in one.hunks for change in PlacedFile(old).place(hunk)]
        for change in reversed(changes):
            result[change.after : change.end] = change.added
        assert result == new and all(change.is_exact for change in changes)


def test_time_is_linear_where_all_lines_are_alike():
    start = process_time()
    (change,) = PlacedFile(["same"] * 100_000).place(hunk(" same", "-same", " same", first=50_000))
    assert (
        change == Change(50_000, 1, (), True) and process_time() - start < 5
    )  # 0.1 s; a quadratic search takes minutes
