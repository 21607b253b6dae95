"""Adds a row for the repaired form of each defective function, which some data sets hold in the same row."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.files.layouts import LAYOUT, PAIR
from ltp_pipeline.files.text_files import NOT_UTF8

if TYPE_CHECKING:
    import pandas as pd

FLAG = "--add_fixed_functions"


def with_fixed_functions(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """`frame` with a row of label 0 after each row of label 1 that has a repaired form.

    Both rows have the same index and, in the column `pair`, the number of the row in the file. A repaired form that is
    empty, not UTF-8 or the same text is not added.

    `frame`: as `read_functions` returns it. `where`: the flag and the file, for messages.
    Raises UserError if the file has no repaired forms.
    """
    import pandas as pd

    layout = frame.attrs[LAYOUT]
    if layout.partner is None:
        raise UserError(
            f"{where}: {FLAG} needs repaired functions in the rows of the defective ones, as in func_after of BigVul "
            "and func of MegaVul"
        )
    rows = zip(frame["label"], frame["functionSource"], frame[layout.partner])
    has_fix = [
        label == 1 and isinstance(fixed, str) and bool(fixed.strip()) and fixed != text and NOT_UTF8 not in fixed
        for label, text, fixed in rows
    ]
    numbers = [str(row + 1) if fix else "" for row, fix in zip(frame.index, has_fix)]
    frame = frame.assign(**{PAIR: pd.Series(numbers, index=frame.index, dtype=object)})
    added = frame[has_fix].assign(functionSource=frame.loc[has_fix, layout.partner], label=0)
    if layout.flaw_lines is not None:
        added[layout.flaw_lines] = pd.Series([None] * len(added), index=added.index, dtype=object)
    both = pd.concat([frame, added]).sort_index(kind="stable")
    both.attrs[LAYOUT] = replace(layout, pair=PAIR)
    return both
