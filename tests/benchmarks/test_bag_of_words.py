"""benchmarks.bag_of_words: a token that tells the label is found, labels by chance are not."""

import json
import random

import pandas as pd
import pytest

from benchmarks.bag_of_words import main
from ltp_pipeline.base.errors import UserError


def write(folder, name, count, by_chance):
    chance = random.Random(name)
    rows = []
    for number in range(count):
        label = number % 2
        word = chance.choice(["right", "wrong"]) if by_chance else ("right", "wrong")[label]
        tail = " ".join(f"x{chance.randrange(5)} = {chance.randrange(9)};" for _ in range(chance.randrange(2, 6)))
        rows.append((f"void f(void) {{ {word}(); {tail} }}", label, ("one", "two")[number // 2 % 2]))
    path = folder / f"{name}.csv"
    pd.DataFrame(rows, columns=["functionSource", "label", "kind"]).to_csv(path, index=False)
    return str(path)


@pytest.mark.parametrize("by_chance", [False, True])
def test_what_tells_the_label(by_chance, tmp_path, capsys):
    files = [write(tmp_path, name, 120, by_chance) for name in ("train", "test")]
    flags = ["--by", "kind", "--bootstrap", "50", "--output_dir", str(tmp_path)]
    main(["--train_file", files[0], "--test_file", files[1], *flags])
    found = json.loads((tmp_path / "bag_of_words.json").read_text())
    rows = {(row["features"], row["model"], row["part"]): row for row in found["rows"]}
    assert len(rows) == 7 * 3 and (found["train"], found["test"]) == (120, 120)
    for (features, _, part), row in rows.items():
        assert row["functions"] == (120 if part == "all" else 60)
        assert row["low"] <= row["auc"] <= row["high"]
        if features == "length" or by_chance:
            assert row["auc"] < 0.75
        else:
            assert row["auc"] > 0.95
    assert "tokens and pairs" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags, says",
    [
        ("--by cwe", "--by cwe: no such column in .*train.csv"),
        ("--bootstrap 0", "--bootstrap 0"),
        ("--train_file few.csv", "--train_file few.csv: 2 functions; expected 5"),
        ("--train_file odd.csv", "--train_file: no tokens occur in 5"),
        ("--train_file none.csv", "--train_file none.csv"),
    ],
)
def test_wrong_input(flags, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "train", 8, True)
    for name, count in (("few", 2), ("odd", 8)):
        rows = "".join(f"{'abcdefgh'[number] * 3},{number % 2}\n" for number in range(count))
        (tmp_path / f"{name}.csv").write_text(f"functionSource,label\n{rows}")
    with pytest.raises(UserError, match=says):
        main(["--train_file", "train.csv", "--test_file", "train.csv", "--output_dir", "out", *flags.split()])
    assert not (tmp_path / "out").exists()
