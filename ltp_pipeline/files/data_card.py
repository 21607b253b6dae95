"""The metadata at the start of a data set's README.md, from which `datasets.load_dataset(folder)` reads the tables.

A page that does not come from this project is never replaced: there the card is dataset_card.md.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltp_pipeline.base.files import write_text
from ltp_pipeline.task.class_names import CODE_CLASSES

if TYPE_CHECKING:
    import pandas as pd

CARD = "README.md"
OTHER_CARD = "dataset_card.md"  # where README.md is another page; earlier versions wrote it everywhere
HEADING = "# Data set card"  # begins the page of each card
SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
DTYPES = {"i": "int64", "f": "float64", "fi": "float64", "b": "bool"}  # kinds of NumPy -> dtype; others are texts

Tables = Mapping[str, Mapping[str, str]]  # name of a configuration -> split -> name of its file


def write_card(
    staging: Path,
    folder: Path,
    page: str,
    tables: Tables,
    frames: Sequence[pd.DataFrame],
    classes: Sequence[str] = CODE_CLASSES,
    label: str | None = "label",
) -> None:
    """Writes the card of the data set in `folder` to `staging`, from where it will be moved there.

    Args:
        page: the text below the metadata. Its first line begins with `HEADING`.
        tables: the files of the data set.
        frames: the rows of all files.
        classes: names of the classes 0, 1, ... in the column `label`.
    """
    name = CARD if _is_ours(folder / CARD) else OTHER_CARD
    if name == OTHER_CARD:
        print(f"note: {folder / CARD} is another page and stays; the card is {name}, which load_dataset does not read")
    elif (folder / OTHER_CARD).exists() and _is_ours(folder / OTHER_CARD):
        (folder / OTHER_CARD).unlink()
    write_text(staging / name, f"---\n{_metadata(tables, frames, classes, label)}---\n\n{page}")


def class_names_of(table: Path, column: str = "label") -> tuple[str, ...]:
    """The names of the classes 0, 1, ... that the card beside a table gives for a column; () if it gives none.

    The card may be of any data set in the hub's form. It is not read if it names other tables only.
    """
    from huggingface_hub import metadata_load

    try:
        values = metadata_load(table.parent / CARD)
        described = values["dataset_info"]
        for info in described if isinstance(described, list) else [described]:
            configs = [c for c in values["configs"] if c["config_name"] == info.get("config_name", "default")]
            if not any(part["path"] == table.name for config in configs for part in config["data_files"]):
                continue
            (kind,) = [feature["dtype"] for feature in info["features"] if feature["name"] == column]
            names = kind["class_label"]["names"]
            if isinstance(names, dict):
                names = [names[str(number)] for number in range(len(names))]
            return tuple(map(str, names))
    except Exception:  # no card, a card of another form, or none that YAML can read
        pass
    return ()


def _is_ours(page: Path) -> bool:
    """Whether a page may be replaced: it is missing, or a card that this project wrote."""
    if not page.exists():
        return True
    try:
        text = page.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return bool(re.search(f"^{HEADING}", text, re.MULTILINE))


def _metadata(tables: Tables, frames: Sequence[pd.DataFrame], classes: Sequence[str], label: str | None) -> str:
    from huggingface_hub.utils import yaml_dump

    rows = sum(map(len, frames))
    values: dict[str, Any] = {
        "license": "other",  # the sources have their own
        "task_categories": ["text-classification"],
        "tags": ["code"],
        "size_categories": [next((name for limit, name in SIZES if rows < limit), "n>10M")],
        "configs": [
            {"config_name": name, "data_files": [{"split": split, "path": file} for split, file in files.items()]}
            for name, files in tables.items()
        ],
    }
    features = _features(frames, classes, label)
    if features is not None:
        infos = [
            {"config_name": name, "features": copy.deepcopy(features)} for name in tables
        ]  # else YAML has aliases
        values["dataset_info"] = infos if len(infos) > 1 else infos[0]
    return yaml_dump(values, sort_keys=False)


def _features(
    frames: Sequence[pd.DataFrame], classes: Sequence[str], label: str | None
) -> list[dict[str, Any]] | None:
    """Name and dtype of each column, as `datasets` names them; None if a column holds lists or objects, or if a
    table has other columns than the first.

    A column that is empty in one table and holds numbers in another one would otherwise have two types.
    """
    if any(list(frame.columns) != list(frames[0].columns) for frame in frames):
        return None
    features, known = [], {*classes, *map(str, range(len(classes)))}  # `datasets` reads both as classes
    for name in frames[0].columns if frames else ():
        columns = [frame[name] for frame in frames if len(frame)]
        if any(isinstance(value, list | tuple | dict) for column in columns for value in column.head(100)):
            return None
        kinds = {"f" if column.dtype.kind == "i" and column.hasnans else column.dtype.kind for column in columns}
        dtype: Any = DTYPES.get("".join(sorted(kinds)), "string")
        if name == label and {str(value) for column in columns for value in column.unique()} <= known:
            dtype = {"class_label": {"names": {str(number): text for number, text in enumerate(classes)}}}
        features.append({"name": str(name), "dtype": dtype})
    return features or None
