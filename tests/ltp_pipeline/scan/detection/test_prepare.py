"""Files to windows of units with token ids."""

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from ltp_pipeline.data.truncation import MODES, Truncation
from ltp_pipeline.scan.detection import prepare
from ltp_pipeline.scan.detection.prepare import token_ids, windows
from ltp_pipeline.scan.detection.workers import Workers
from ltp_pipeline.scan.sources.paths import FoundFile
from ltp_pipeline.view.encode import encode_windows
from tests.pruned_checkpoint import FUNCTIONS, make_tokenizer

TEXTS = [
    *FUNCTIONS,
    "",
    "  ",
    "</s><s> x = '<pad>';",
    "é漢\u202e\x00",
    "a" * 400,
    "\n".join("x = 1;" for _ in range(90)),
]


def word_pieces() -> PreTrainedTokenizerFast:
    """A tokenizer as BERT's: lower case, word pieces, its own special tokens."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "aeiou")]
    made = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    made.enable_truncation(7)  # saved with some tokenizers
    made.enable_padding()
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("make", [make_tokenizer, word_pieces])
def test_token_ids_are_those_of_an_evaluation(make, mode):
    tokenizer, truncation = make(), Truncation(mode, 10 if mode == "windows" else None)
    made = token_ids(tokenizer.backend_tokenizer.to_str(), TEXTS, 32, truncation)
    for own, expected in zip(made, encode_windows(TEXTS, tokenizer, 32, truncation), strict=True):
        assert own.length == expected[0].full_length
        assert [row.tolist() for row in own.rows] == [window.input_ids.tolist() for window in expected]
        assert all(row.dtype == np.int32 for row in own.rows)


@pytest.fixture
def files(tmp_path):
    found = []
    for number in range(9):
        path = tmp_path / f"f{number}.c"
        path.write_text("".join(f"int f{i % 5}(void) {{ return {i % 4}; }}\n" for i in range(number)))
        found.append(FoundFile(path, path.name))
    return [*found, FoundFile(Path("none.c"), "none.c")]


def test_windows_hold_all_units_in_order_and_each_text_once(files, monkeypatch):
    monkeypatch.setattr(prepare, "WINDOW", 8)
    made = {}
    for count in (0, 2):
        with Workers(count) as workers:
            made[count] = list(windows(files, workers, "auto", lambda unit: True, str.encode))
    assert [vars(window) for window in made[0]] == [vars(window) for window in made[2]]
    assert [len(window.units) for window in made[0]] == [8, 8, 8, 8, 4]
    units = [unit for window in made[0] for unit in window.units]
    assert units == sorted(units, key=lambda unit: (unit.path, unit.first_line)) and len(units) == 36
    fresh = [text for window in made[0] for text in window.fresh.values()]
    assert len(fresh) == len(set(fresh)) and set(fresh) == {unit.text for unit in units}
    names = [name for window in made[0] for name in window.names]
    assert len(set(names)) == len(names)
    skipped = [one for window in made[0] for one in window.skipped]
    assert [(one.path, one.is_error) for one in skipped] == [("f0.c", False), ("none.c", True)]


def test_a_window_has_a_limit_of_characters(files, monkeypatch):
    monkeypatch.setattr(prepare, "WINDOW_CHARACTERS", 100)
    with Workers(0) as workers:
        made = list(windows(files, workers, "auto", lambda unit: unit.name != "f1", str.encode))
    sizes = [sum(len(unit.text) for unit in window.units) for window in made]
    assert max(sizes) <= 100 and not any(unit.name == "f1" for window in made for unit in window.units)


def test_no_file_gives_an_empty_window():
    with Workers(0) as workers:
        (window,) = windows([], workers, "auto", lambda unit: True, str.encode)
    assert window.units == []
