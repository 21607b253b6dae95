"""Files with the columns of public data sets, and any values in them: rows with flaw lines and pairs, or UserError."""

import json

import pytest
from hypothesis import strategies as st

from ltp_pipeline.data.flags import ReadingArguments
from ltp_pipeline.data.readers import read_functions
from ltp_pipeline.files.layouts import COMMITS, KNOWN, ROLES, flaw_lines_of, pairs_of
from tests.fuzz.limits import fuzz
from tests.fuzz.strategies import VALUES, code
from tests.fuzz.test_tables import read

SECOND = ("flaw_line", "diff_func", "func_after", "vul_func_with_fix")
NAMES = (*COMMITS, *(name for names in ROLES.values() for name in names), *SECOND)
CELLS = st.one_of(
    st.sampled_from([0, 1, "0", "1", True, "bad", "good", "", None, 2**63, float("nan"), [0, 1], "1,2", [3], 2.5]),
    st.sampled_from(
        [{"deleted_lines": ["a"]}, "{'deleted_lines': [1]}", "a/~/b", "@@ -1,2 +1,2 @@\n-a\n+b", "x\n\na"]
    ),
    code(max_size=6),
    VALUES,
)
# columns of a public layout, and others
ROWS = st.sampled_from(KNOWN).flatmap(
    lambda known: st.lists(
        st.fixed_dictionaries(
            {known.text: code(max_size=8).map("a {}".format), known.label: st.sampled_from([0, 1])},
            optional=dict.fromkeys(NAMES, CELLS) | dict.fromkeys(known.others, CELLS),
        ),
        min_size=1,
        max_size=5,
    )
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("layouts")


@fuzz(
    rows=ROWS,
    upper=st.booleans(),
    added=st.booleans(),
    skip=st.sampled_from(["error", "skip"]),
    labels=st.sampled_from(["needed", "optional", "ignored"]),
)
def test_any_values_in_the_columns_of_public_data_sets(folder, rows, upper, added, skip, labels):
    path = folder / "in.json"
    path.write_text(json.dumps([{name.upper() if upper else name: row[name] for name in row} for row in rows]))
    reading = ReadingArguments(on_bad_rows=skip, add_fixed_functions=added)
    frame = read(read_functions, path, reading, labels=labels)
    if frame is None:
        return
    lines, pairs = flaw_lines_of(frame), pairs_of(frame)
    assert lines is None or len(lines) == len(frame) and all(isinstance(n, int) for row in lines for n in row)
    assert pairs is None or len(pairs) == len(frame)
    for name in set(pairs if pairs is not None else ()) - {""}:
        assert sorted(frame["label"].to_numpy()[pairs == name]) == [0, 1]
