"""Counts how flaw lines and pairs are recognised in clones of public repositories, for docs/data.md.

    LINEVUL=DIR DEVIGN=DIR python -m pytest tests/slow/test_public_data.py

LINEVUL: a clone of awsm-research/LineVul. DEVIGN: a clone of soarsmu/attack-pretrain-models-of-code.
"""

import os
import random
from pathlib import Path

import pandas as pd
import pytest

from ltp_pipeline.data.readers import read_functions
from ltp_pipeline.files.file_formats import read_table
from ltp_pipeline.files.flaw_lines import SEPARATOR, lines_of_linevul, numbers_in, places_of
from ltp_pipeline.files.row_pairs import are_similar

pytestmark = pytest.mark.slow


@pytest.mark.skipif("LINEVUL" not in os.environ, reason="needs LINEVUL, a clone")
def test_lines_of_linevul():
    frame = read_table(Path(os.environ["LINEVUL"], "cppcheck/data/static_analysis_data.csv"), "LINEVUL")
    every = not_blank = listed_lines = placed = 0
    for text, indices, listed in zip(frame["source"], frame["flaw_line_indices"], frame["flaw_lines"]):
        lines = text.split("\n")
        numbers, found = numbers_in(indices), lines_of_linevul(indices, listed, text)
        without = [number for number, line in enumerate(lines, start=1) if line.strip()]
        every += found == tuple(number + 1 for number in numbers)
        not_blank += found == tuple(without[number] for number in numbers if number < len(without))
        listed_lines += sum(bool(line.strip()) for line in listed.split(SEPARATOR))
        placed += len(places_of(listed.split(SEPARATOR), text))
    assert (len(frame), every, not_blank, listed_lines, placed) == (628, 218, 602, 3307, 3304)


@pytest.mark.skipif("DEVIGN" not in os.environ, reason="needs DEVIGN, a clone")
def test_random_functions_of_a_project_are_not_similar():
    folder = Path(os.environ["DEVIGN"], "CodeXGLUE/Defect-detection/preprocess/dataset")
    frame = pd.concat([read_functions(path) for path in sorted(folder.glob("test_subs_*.jsonl"))])
    assert len(frame) == 2732
    draw = random.Random(0)
    for _, project in frame.groupby("project"):
        texts = project["functionSource"].tolist()
        assert not any(are_similar(*draw.sample(texts, 2)) for _ in range(2000))
