"""An output folder of benchmarks.accuracy becomes a stored file, and its tables and figures."""

import json
import shutil

import pytest

from benchmarks.accuracy.records import write_record
from benchmarks.accuracy.tables import summarise
from benchmarks.common import ROOT
from benchmarks.results.__main__ import main
from benchmarks.results.adding import stored_costs, without_folders
from benchmarks.results.comparisons import losses, targets
from benchmarks.results.pages import PAGES
from benchmarks.results.stored import COSTS, Store, rounded, write_stored
from ltp_pipeline.base.errors import UserError

LABELS = [1, 1, 1, 1, 0, 0, 0, 0] * 5
RIGHT = [0.9, 0.8, 0.7, 0.6, 0.4, 0.3, 0.2, 0.1] * 5
WORSE = [0.9, 0.8, 0.45, 0.35, 0.4, 0.3, 0.2, 0.1] * 5
OUT = "/home/me/out"
SETTINGS = {"hidden_size": 64, "num_layers": 6, "model_name_or_path": None}


def cell(row, seed, probabilities, flops, kind, **more):
    """A finished cell, as `runs.py` writes it."""
    budget = row.split()[1] if " " in row else None
    base = f"{OUT}/models/d@9/base/model"
    tune = f"python run_glue_code_metrics.py --train_file {OUT}/data/d/train.csv --output_dir {base}"
    own = f"python run_code_metrics.py --restore {base} --seed {seed} --output_dir {OUT}/models/{row[:5]}/model"
    return {
        "identity": {"format": 1, "settings": SETTINGS, "data": {"train": "ab", "test": "cd"}},
        "cell": {
            "data": "d", "reading": "9", "row": row, "kind": kind, "budget": budget, "seed": seed,
            "teacher": "none" if kind == "learned" else None,
        },
        "command": f"python -m benchmarks.accuracy --data_dir /home/me/data --output_dir {OUT} --seeds 0 1",
        "versions": {"torch": "2.13.0"}, "dtype": "float32",
        "machine": {"cpu": "X", "instructions": ["avx2"], "usable_cores": 2, "load_before": seed + 0.5, "gpu": None},
        "about": {"commands": [tune, own], "training_seconds": 3.0},
        "threshold": 0.5, "validation": {"labels": [0, 1], "probabilities": [0.1, 0.9]},
        "tests": {"test": {
            "labels": LABELS, "probabilities": probabilities, "pairs": None, "relative_flops": flops,
            "tokens_kept_per_layer": [9.0, 9 * flops, 1.0], "gflops_per_function": flops,
        }},
        "speed": {"functions_per_second": 10.0 / flops, "speedup": 1 / flops},
    } | more  # fmt: skip


def cells(**more):
    found = []
    for seed in (0, 1):
        found += [
            cell("unpruned", seed, RIGHT, 1.0, "unpruned", **more),
            cell("learned 0.3", seed, WORSE, 0.3, "learned", **more),
            cell("random 0.3", seed, RIGHT if seed else WORSE, 0.31, "random", **more),
        ]
    return found


@pytest.fixture
def output(tmp_path):
    """Writes cells into an output folder."""

    def write(found):
        for one in found:
            name = f"seed_{one['cell']['seed']}/{one['cell']['row'].replace(' ', '_')}.json"
            write_record(tmp_path / "out" / "cells" / "d@9" / name, one)
        return tmp_path / "out"

    return write


@pytest.mark.parametrize("given, kept", [("/home/me/minilm", "minilm"), ("microsoft/codebert", "microsoft/codebert")])
def test_settings_are_stored_without_the_folders_of_the_machine(output, given, kept):
    settings = {**SETTINGS, "model_name_or_path": given}
    identity = {"format": 1, "settings": settings, "data": {"train": "ab", "test": "cd"}}
    found = stored_costs(output(cells(commit="abc", identity=identity)), "A", "About.", 100, None)
    assert found["settings"] == [{**settings, "model_name_or_path": kept}]
    assert "/home" not in json.dumps(found)


def test_what_is_stored_of_cells(output, tmp_path):
    found = stored_costs(output(cells(commit="abc")), "A", "About.", 100, None)
    write_stored(tmp_path / COSTS / "a.json", found)
    text = (tmp_path / COSTS / "a.json").read_text()
    assert "/home/me" not in text and "probabilities" not in text and "load_before" not in text
    stored = Store(tmp_path).costs("a")
    assert stored["commits"] == ["abc"] and stored["seeds"] == [0, 1] and stored["kind"] == "measured"
    assert stored["tables"] == {"d": {"train": "ab", "test": "cd"}} and stored["settings"] == [SETTINGS]
    (run,) = stored["runs"]
    assert run["command"] == "python -m benchmarks.accuracy --data_dir DATA --output_dir OUT --seeds 0 1"
    first = stored["cells"][0]
    assert (first["row"], first["seed"], first["threshold"], first["training_seconds"]) == ("learned 0.3", 0, 0.5, 3.0)
    assert [stored["commands"][place].split()[1] for place in first["commands"]] == [
        "run_glue_code_metrics.py",
        "run_code_metrics.py",
    ]
    assert len(stored["commands"]) == 7  # fine-tuning is the same command of all six cells
    assert first["measures"]["test"]["recall"] == 0.5 and first["measures"]["test"]["auc"] == 0.9375
    assert [row["row"] for row in stored["rows"]] == ["unpruned", "learned 0.3", "random 0.3"]
    assert {row["model"] for row in stored["rows"]} == {"6 layers of 64"}
    assert stored["rows"] == rounded(stored["rows"]) and stored["rows"][1]["f1"]["mean"] == 0.666667


def test_the_pages_of_a_new_file(output, tmp_path, capsys):
    root = tmp_path / "root"
    for page in PAGES:
        (root / page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / page, root / page)
    shutil.copytree(ROOT / "experiments", root / "experiments", dirs_exist_ok=True)
    flags = [
        "--name",
        "new",
        "--title",
        "A new run",
        "--about",
        "Six cells.",
        "--bootstrap",
        "100",
        "--root",
        str(root),
    ]
    with pytest.raises(UserError, match="its cells do not say which commit was run; expected --commit HASH"):
        main(["--add", str(output(cells())), *flags])
    main(["--add", str(output(cells())), *flags, "--commit", "0123456789"])
    text = (root / "docs" / "results.md").read_text("utf-8")
    assert (
        "### A new run\n\nSix cells.\n\nX (2 cores, avx2), float32; torch 2.13.0; commit 0123456; seeds 0 1; 100"
        in text
    )
    assert "![Tokens by layer: A new run](results_new_tokens.png)" in text
    assert "**d, 9 tokens, test**: 6 layers of 64, 40 functions, 20 of class 1." in text
    assert "| learned 0.3 | 2 | 0.300 | 66.7 | -33.3 [" in text
    assert "| learned 0.3 | 33.3 | 3.33 | 9 3 1 |" in text
    assert "| learned 0.3 | 0.300 | -16.7 [" in text  # over random
    assert "| d | test | 9 | 6 layers of 64 | learned 0.3 | 0.300 | F1 | -33.3 [" in text
    for name in ("flops", "tokens"):
        assert (root / "docs" / f"results_new_{name}.png").read_bytes()[:4] == b"\x89PNG"
    main(["--check", "--root", str(root)])
    stored = root / COSTS / "new.json"
    stored.write_text(stored.read_text().replace('"tokens_per_layer": [9.0, 2.7', '"tokens_per_layer": [9.0, 2.8'))
    with pytest.raises(UserError, match="docs/results_new_tokens.png was made of other numbers"):
        main(["--check", "--root", str(root)])


def test_which_targets_are_missed(output):
    text = targets(summarise(cells(), 100))
    lines = dict(line.strip("| ").split(" | ", 1) for line in text.splitlines()[2:])
    assert lines["0.3: F1 within 1 point of unpruned, interval above -2"].startswith(
        "0 of 1 | learned 0.3, d test: -33.3 ["
    )
    assert lines["0.3: AUC above random at equal FLOPs, interval excludes 0"].startswith(
        "0 of 1 | learned 0.3, d test:"
    )
    assert lines["0.3: AUC above topk at equal FLOPs, interval excludes 0"] == "not measured | -"
    assert lines["0.4: finds at least 95 % of what unpruned finds"] == "not measured | -"
    assert lines["0.3: at least 2.5 times the functions a second"] == "1 of 1 | -"


def test_no_losses():
    text = losses({"a": {"rows": summarise(cells()[:1], 100)}})
    assert text == (
        "Of 0 differences of learned pruning to unpruned (F1 and AUC), 0 are losses whose 95 % interval excludes 0, "
        "and 0 of these are 1 point or more."
    )


def test_cells_of_different_tables_are_not_stored_as_one(output):
    found = cells(commit="abc")
    found[-1]["identity"] = found[-1]["identity"] | {"data": {"train": "ab", "test": "ef"}}
    with pytest.raises(UserError, match="d: random 0.3 of seed 1 was made of another table test than other cells"):
        stored_costs(output(found), "A", "About.", 100, None)


@pytest.mark.parametrize(
    "command, shown",
    [
        (
            f"x --restore {OUT}/models/d@9/seed_0/base/model --lr 0.1",
            "x --restore OUT/models/d@9/seed_0/base/model --lr 0.1",
        ),
        (f"x --tokenizer_name {OUT}/tokenizers/d", "x --tokenizer_name OUT/tokenizers/d"),
        ("x --data_dir d --output_dir ../o", "x --data_dir DATA --output_dir OUT"),
        ("x --model_name_or_path /home/me/minilm", "x --model_name_or_path minilm"),
        ("x --only 'd*unpruned' --lr 1e-4", "x --only 'd*unpruned' --lr 1e-4"),
    ],
)
def test_commands_name_no_folder_of_a_machine(command, shown):
    assert without_folders(command) == shown


def test_numbers_have_six_digits():
    assert rounded({"a": [0.123456789, 1234567.8, 3, None, "0.123456789"]}) == {
        "a": [0.123457, 1234570.0, 3, None, "0.123456789"]
    }
    assert json.dumps(rounded((1.0, 2))) == "[1.0, 2]"
