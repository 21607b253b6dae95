"""Token ids of texts: how they are cut, and the cache that keeps them by their content."""

import multiprocessing
import os
import resource
import time

import pandas as pd
import pytest

from ltp_pipeline.data import tokenization
from ltp_pipeline.data.tokenization import cached, content_key, tokenize
from ltp_pipeline.data.truncation import Truncation, truncation_report
from ltp_pipeline.task.tasks import CODE, TASKS
from tests.pruned_checkpoint import make_tokenizer

FRAME = pd.DataFrame({"functionSource": ["int a;", "int b = 1;" * 9], "label": [0, 1]})
TOKENIZER = make_tokenizer()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LTP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokens"


def entries(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def test_tokens_are_cut_not_padded_and_special_looking_code_stays_text():
    frame = pd.DataFrame({"functionSource": ["int a;", 'puts("</s><pad>");' * 9], "label": [0, 1]})
    data = tokenize(frame, TOKENIZER, max_length=12)
    assert data["labels"] == [0, 1]
    assert data["length"] == [len(data[0]["input_ids"]), 12]
    assert data[1]["attention_mask"] == [1] * 12
    assert [data[1]["input_ids"].count(i) for i in (0, 1, 2)] == [1, 0, 1]
    assert TOKENIZER.convert_ids_to_tokens(data[0]["input_ids"]) == ["<s>", "int", "Ġa", ";", "</s>"]


def test_tokens_of_every_mode_keep_order_labels_rows_and_special_tokens():
    texts = ["int a;", "".join(f"x{i} = y;" for i in range(9)), "b"]
    frame = pd.DataFrame({"functionSource": texts, "label": [0, 1, 0]}, index=[0, 2, 3])
    whole = [TOKENIZER(text)["input_ids"] for text in texts]
    n, text = len(whole[1]), whole[1][1:-1]
    for mode, expected in (("head", text[:10]), ("tail", text[-10:]), ("head_tail", text[:5] + text[-5:])):
        data = tokenize(frame, TOKENIZER, 12, truncation=Truncation(mode))
        assert list(data["input_ids"]) == [whole[0], [0, *expected, 2], whole[2]]
        assert data["length"] == [len(whole[0]), 12, len(whole[2])] and data["full_length"][1] == n
        assert data["labels"] == [0, 1, 0] and data["row"] == [0, 2, 3]
        assert truncation_report(data) == {"truncated_functions": 1, "truncated_share": 1 / 3}
    data = tokenize(frame, TOKENIZER, 12, truncation=Truncation("windows", 4))
    count = len(data) - 2
    assert count == -(-(n - 2 - 10) // 4) + 1
    assert data["function"] == [0, *[1] * count, 2] and data["row"] == [0, *[2] * count, 3]
    assert data["labels"] == [0, *[1] * count, 0]
    starts = [*range(0, n - 12, 4), n - 12]
    assert list(data["input_ids"])[1:-1] == [[0, *text[start : start + 10], 2] for start in starts]
    cut = {"truncated_functions": 0, "truncated_share": 0.0}
    assert truncation_report(data) == cut | {"windowed_functions": 1, "windows": count}


def test_the_same_content_is_read_from_the_cache_with_new_labels(folder, capsys):
    made = tokenize(FRAME, make_tokenizer(), 12)
    assert "are read from" not in capsys.readouterr().out
    (entry,) = entries(folder)
    read = tokenize(FRAME.assign(label=[1, 0]), make_tokenizer(), 12)
    assert f"tokens of 2 rows are read from {folder / entry} (--overwrite_cache" in capsys.readouterr().out
    assert read["labels"] == [1, 0] and made["labels"] == [0, 1]
    assert list(read["input_ids"]) == list(made["input_ids"]) and read.features == made.features


def test_everything_that_changes_the_tokens_changes_the_name():
    tokenizer, other = make_tokenizer(), make_tokenizer()
    other.add_tokens(["strcpy"])
    texts = [["int a;", "b"]]
    keys = [
        content_key(texts, tokenizer, {"max_length": 12}),
        content_key(texts, tokenizer, {"max_length": 13}),
        content_key(texts, other, {"max_length": 12}),
        content_key([["int a;", "c"]], tokenizer, {"max_length": 12}),
        content_key([["int a;b", ""]], tokenizer, {"max_length": 12}),
        content_key([["int a;"], ["b"]], tokenizer, {"max_length": 12}),
    ]
    assert len(set(keys)) == len(keys)
    tokenizer("int a; int b;", truncation=True, max_length=4)  # changes a setting of the tokenizer that must not count
    assert content_key(texts, tokenizer, {"max_length": 12}) == keys[0]
    for mode in ("head", "tail"):
        tokenize(FRAME, tokenizer, 12, truncation=Truncation(mode))
    assert tokenize(FRAME, tokenizer, 12, truncation=Truncation("tail"))[1] != tokenize(FRAME, tokenizer, 12)[1]


def test_an_overwritten_or_damaged_entry_is_made_again(folder, capsys):
    whole = list(tokenize(FRAME, TOKENIZER, 12)["input_ids"])
    (entry,) = entries(folder)
    file = folder / entry / "tokens.arrow"
    for damaged in (b"damaged", file.read_bytes()[:-300]):
        file.write_bytes(damaged)
        assert list(tokenize(FRAME, TOKENIZER, 12)["input_ids"]) == whole
    tokenize(FRAME, TOKENIZER, 12, overwrite_cache=True)
    assert "are read from" not in capsys.readouterr().out
    tokenize(FRAME, TOKENIZER, 12)
    assert "are read from" in capsys.readouterr().out and entries(folder) == [entry]


def test_a_cache_that_cannot_be_written_does_not_stop_the_run(folder, tmp_path, monkeypatch, capsys):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # as a full disk
    try:
        full = tokenize(FRAME, TOKENIZER, 12)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(full) == 2 and entries(folder) == []
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LTP_CACHE", str(tmp_path / "file"))
    assert len(tokenize(FRAME, TOKENIZER, 12)) == 2
    full_disk, no_folder = capsys.readouterr().out.splitlines()
    assert full_disk.startswith(f"tokens are not cached: {folder}") and full_disk.endswith("File too large")
    assert no_folder.startswith("tokens are not cached: ")


def test_what_no_run_used_for_a_month_is_removed(folder, monkeypatch):
    tokenize(FRAME, TOKENIZER, 12)
    old = entries(folder)
    monkeypatch.setattr(tokenization.time, "time", lambda: time.time_ns() / 1e9 + 31 * 24 * 3600)
    tokenize(FRAME, TOKENIZER, 13)
    assert len(entries(folder)) == 1 and entries(folder) != old


def _want(folder, start, built):
    from datasets import Dataset

    os.environ["LTP_CACHE"] = folder

    def build(**options):
        built.put(os.getpid())
        time.sleep(0.5)
        return Dataset.from_dict({"x": [1, 2, 3]}).map(lambda row: row, **options)

    start.wait()
    assert cached("key", build)["x"] == [1, 2, 3]


def test_of_two_processes_one_makes_the_entry_and_both_read_it(folder):
    context = multiprocessing.get_context("fork")
    start, built = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_want, args=(str(folder.parent), start, built)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert built.get(timeout=5) in [process.pid for process in processes] and built.empty()
    assert entries(folder) == ["key"]


def text_of(row):
    return "".join(TOKENIZER.convert_ids_to_tokens(row["input_ids"])).replace("Ġ", " ")


def test_pairs_are_encoded_as_pairs():
    frame = pd.DataFrame({"sentence1": ["int a;"], "sentence2": ["char b[9]; </s>"], "label": [1]})
    (row,) = tokenize(frame, TOKENIZER, 96, TASKS["RTE"])
    assert text_of(row) == "<s>int a;</s></s>char b[9]; </s></s>"
    assert row["input_ids"].count(2) == 3  # `</s>` in a text is not a special token.
    assert (row["labels"], row["length"]) == (1, len(row["input_ids"]))
    (row,) = tokenize(frame, TOKENIZER, 12, TASKS["RTE"])
    assert len(row["input_ids"]) == 12
    assert text_of(row).startswith("<s>int a;</s></s>")  # The longer text is cut first.


def test_token_types_tell_the_texts_of_a_pair_apart_where_the_model_has_them():
    tokenizer = make_tokenizer()
    frame = pd.DataFrame({"sentence1": ["a"], "sentence2": ["b"], "functionSource": ["c"], "label": [1]})
    assert "token_type_ids" not in tokenize(frame, tokenizer, 96, TASKS["RTE"], segments=True).column_names
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    (row,) = tokenize(frame, tokenizer, 96, TASKS["RTE"], segments=True)
    assert len(row["token_type_ids"]) == len(row["input_ids"])
    assert "token_type_ids" not in tokenize(frame, tokenizer, 96, TASKS["RTE"]).column_names
    assert "token_type_ids" not in tokenize(frame, tokenizer, 96, CODE, segments=True).column_names
