"""Scans of small trees with tiny checkpoints."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import RobertaConfig, RobertaForSequenceClassification

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.scan import engine, scan
from ltp_pipeline.scan.detection import prepare
from ltp_pipeline.scan.detection.detector import Detector
from ltp_pipeline.scan.finding import ScanReport
from ltp_pipeline.scan.reports.exit_status import exit_status
from ltp_pipeline.task.metrics import positive_scores
from ltp_pipeline.view.encode import encode_windows
from ltp_pipeline.view.line_scores import line_scores
from tests.pruned_checkpoint import MAX_LENGTH, make_tokenizer, save_checkpoint

SHORT = "int add(int a, int b)\n{\n    return a + b;\n}"
COPY = "static int copy(char *dst, const char *src)\n{\n\tchar buf[64];\n\n\tstrcpy(buf, s);\n\treturn 0;\n}"
LONG = "int f(int x)\n{\n" + "  x = x * 31 + sizeof(struct node);\n" * 12 + "  return x;\n}"
SETTINGS = {"dtype": "float32", "device": "cpu", "quiet": True, "num_workers": 0, "threshold": 0}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """The current folder, with src/a.c and src/inner/b.c."""
    (tmp_path / "src" / "inner").mkdir(parents=True)
    (tmp_path / "src" / "a.c").write_text(f"/* a */\n\n{SHORT}\n\n{COPY}\n")
    (tmp_path / "src" / "inner" / "b.c").write_text(f"{LONG}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(checkpoint, **settings) -> ScanReport:
    settings = {**SETTINGS, **settings}
    if "cache_dir" not in settings:
        settings["no_cache"] = True
    return scan(["src"], checkpoint, **settings)


def compared(report: ScanReport) -> dict:
    """What two reports of the same tree have in common."""
    return dataclasses.asdict(dataclasses.replace(report, seconds=0, cached=0))


def test_findings_agree_with_the_model(tree, pruned_checkpoint, pruned_model):
    report = run(pruned_checkpoint, truncation="head")
    assert (report.files, report.units, len(report.findings), report.cached) == (2, 3, 3, 0)
    assert sorted((one.unit.path, one.unit.first_line, one.unit.text) for one in report.findings) == [
        ("src/a.c", 3, SHORT),
        ("src/a.c", 8, COPY),
        ("src/inner/b.c", 1, LONG),
    ]
    model, tokenizer = pruned_model
    for finding in report.findings:
        batch = tokenizer(finding.unit.text, truncation=True, max_length=MAX_LENGTH, return_tensors="pt")
        output = model(**batch, output_pruning=True)
        expected = positive_scores(output.logits.detach().numpy())[0]
        assert finding.probability == pytest.approx(expected, abs=2e-5) and finding.label == "defective"
        assert finding.tokens == len(tokenizer(finding.unit.text)["input_ids"])
        (lines,) = line_scores(model, tokenizer, [finding.unit.text], MAX_LENGTH)
        first = finding.unit.first_line
        assert sorted(line for line, _ in finding.lines) == [first + i for i in np.flatnonzero(np.isfinite(lines))]
        assert dict(finding.lines)[first] == pytest.approx(lines[0], abs=1e-4)
        assert [score for _, score in finding.lines] == sorted((score for _, score in finding.lines), reverse=True)
        offsets = tokenizer(finding.unit.text, return_offsets_mapping=True)["offset_mapping"]
        survived = sum(kept[0].long() for kept in output.kept_tokens).tolist()
        expected = {(b, e): layers for (b, e), layers in zip(offsets[: MAX_LENGTH - 1], survived) if e > b}
        kept = finding.kept
        assert dict(zip(zip(kept.begins, kept.ends), kept.layers_survived)) == expected and kept.num_layers == 4
    assert 0 < report.relative_flops < 1 and report.tokens == sum(min(one.tokens, 96) for one in report.findings)


def test_of_several_windows_the_highest_values_count(tree, pruned_checkpoint, pruned_model):
    report = run(pruned_checkpoint, max_length=64)
    (finding,) = (one for one in report.findings if one.unit.text == LONG)
    model, tokenizer = pruned_model
    truncation = prepare.Truncation("windows")
    (windows,) = encode_windows([LONG], tokenizer, 64, truncation)
    assert len(windows) > 2 and finding.tokens == windows[0].full_length
    kept, probabilities = {}, []
    for window in windows:
        output = model(torch.tensor(window.input_ids[None]).long(), output_pruning=True)
        probabilities.append(positive_scores(output.logits.detach().numpy())[0])
        for (begin, end), layers in zip(
            window.offsets.tolist(), sum(k[0].long() for k in output.kept_tokens).tolist()
        ):
            if end > begin:
                kept[begin, end] = max(layers, kept.get((begin, end), 0))
    assert finding.probability == pytest.approx(max(probabilities), abs=2e-5)
    own = finding.kept
    assert list(zip(own.begins, own.ends)) == sorted(kept)
    assert own.layers_survived == tuple(kept[place] for place in sorted(kept))
    (lines,) = line_scores(model, tokenizer, [LONG], 64, truncation)
    assert dict(finding.lines)[5] == pytest.approx(lines[4], abs=1e-4)
    assert report.tokens > sum(one.tokens for one in report.findings)


def test_a_second_scan_runs_no_model_and_gives_the_same_report(tree, pruned_checkpoint, monkeypatch):
    cache = {"cache_dir": str(tree / "cache")}
    first = run(pruned_checkpoint, **cache)
    assert compared(run(pruned_checkpoint)) == compared(first)
    monkeypatch.setattr(Detector, "load", None)
    second = run(pruned_checkpoint, **cache)
    assert compared(second) == compared(first) and (first.cached, second.cached) == (0, 3)
    (tree / "src" / "a.c").write_text(f"\n\n\n{SHORT}\n")  # moved lines; the function that is gone is not reported
    moved = run(pruned_checkpoint, **cache)
    assert [one.unit.first_line for one in moved.findings if one.unit.path == "src/a.c"] == [4]
    for change in ({"max_length": 64}, {"truncation": "tail"}, {"line_scores": "attention"}, {"dtype": "bfloat16"}):
        with pytest.raises(TypeError):  # it would load the model
            run(pruned_checkpoint, **cache, **change)


def test_a_copy_of_the_checkpoint_has_the_same_results_and_another_checkpoint_has_not(tree, tmp_path, monkeypatch):
    cache = {"cache_dir": str(tree / "cache")}
    checkpoint = save_checkpoint(tmp_path / "first")
    first = run(checkpoint, **cache)
    config = json.loads((checkpoint / "config.json").read_text())
    checkpoint.rename(tmp_path / "moved")
    assert compared(run(tmp_path / "moved", **cache))["findings"] == compared(first)["findings"]
    (tmp_path / "moved" / "config.json").write_text(json.dumps({**config, "temperature": 0.5}))
    monkeypatch.setattr(Detector, "load", None)
    with pytest.raises(TypeError):
        run(tmp_path / "moved", **cache)


@pytest.mark.parametrize("stop", [2])
def test_a_scan_that_was_stopped_continues_with_the_same_batches(tree, pruned_checkpoint, monkeypatch, stop):
    for number in range(12):
        (tree / "src" / f"c{number % 5}_{number}.c").write_text(
            f"{SHORT}\nint g{number}(void) {{ return {number}; }}\n"
        )
    monkeypatch.setattr(prepare, "WINDOW", 8)
    small = {"max_tokens_per_batch": 100, "cache_dir": str(tree / "cache")}
    batches = []

    def counted(predictor, rows, one_label):
        batches.append([row.tolist() for row in rows])
        if len(batches) == stop_at:
            raise KeyboardInterrupt
        return run_batch(predictor, rows, one_label)

    from ltp_pipeline.scan.detection.predict import Predictor

    run_batch, stop_at = Predictor.run, None
    monkeypatch.setattr(Predictor, "run", counted)
    whole = run(pruned_checkpoint, max_tokens_per_batch=100)
    expected = list(batches)
    assert len(expected) > 4
    batches.clear()
    stop_at = stop + 1
    with pytest.raises(KeyboardInterrupt):
        run(pruned_checkpoint, **small)
    done, stop_at = batches[:-1], None
    batches.clear()
    resumed = run(pruned_checkpoint, **small)
    assert compared(resumed) == compared(whole)
    assert whole.cached == 0 < resumed.cached < resumed.units == run(pruned_checkpoint, **small).cached
    assert [*done, *batches] == expected and done


def test_the_report_is_the_same_with_processes_and_nearly_the_same_with_other_batches(tree, pruned_checkpoint):
    alone, helped = run(pruned_checkpoint), run(pruned_checkpoint, num_workers=2)
    assert compared(helped) == compared(alone)
    other = run(pruned_checkpoint, max_tokens_per_batch=1)
    assert [one.unit for one in other.findings] == [one.unit for one in alone.findings]
    assert np.allclose([f.probability for f in other.findings], [f.probability for f in alone.findings], atol=1e-5)


def test_in_int8_nearly_the_same_is_found(tree, pruned_checkpoint):
    exact = {one.unit.text: one.probability for one in run(pruned_checkpoint).findings}
    found = {one.unit.text: one.probability for one in run(pruned_checkpoint, dtype="int8", num_workers=1).findings}
    assert found == pytest.approx(exact, abs=0.15) and found != exact and len(found) == 3


def test_order_top_and_threshold(tree, pruned_checkpoint):
    for name in ("z", "b", "k"):
        (tree / "src" / f"{name}.c").write_text(f"{SHORT}\n{SHORT}\n")
    found = run(pruned_checkpoint).findings
    order = [(-one.probability, one.unit.path, one.unit.first_line) for one in found]
    assert order == sorted(order) and len(found) == 9 and len({one.fingerprint for one in found}) == 9
    assert run(pruned_checkpoint, threshold=None, top=4).findings == found[:4]
    (tree / ".ltpignore").write_text("\n".join(found[place].fingerprint for place in (8, 3, 0)))
    report = run(pruned_checkpoint, threshold=None, top=4)  # what is suppressed does not count
    assert [one.unit for one in report.findings] == [found[place].unit for place in (1, 2, 4, 5)]
    assert [one.finding.fingerprint for one in report.suppressed] == [found[0].fingerprint, found[3].fingerprint]
    assert len(run(pruned_checkpoint, threshold=None, top=7).suppressed) == 3
    (tree / ".ltpignore").unlink()
    middle = found[3].probability
    above = run(pruned_checkpoint, threshold=middle + 1e-6)
    assert above.threshold == middle + 1e-6 and above.findings == [one for one in found if one.probability > middle]
    assert run(pruned_checkpoint, threshold=1).findings == []


def test_the_checkpoint_chooses_the_threshold_and_names_the_class(tree, tmp_path):
    names = {"id2label": {0: "benign", 1: "malicious"}, "label2id": {"benign": 0, "malicious": 1}}
    checkpoint = save_checkpoint(tmp_path / "named", **names, decision_threshold=1e-9)
    report = run(checkpoint, threshold=None)
    assert report.threshold == 1e-9 and {one.label for one in report.findings} == {"malicious"}
    assert run(save_checkpoint(tmp_path / "none"), threshold=None).threshold == 0.5


def test_groups_of_weaknesses(tree, tmp_path):
    groups = {"num_labels": 5, "problem_type": "multi_label_classification"}
    report = run(save_checkpoint(tmp_path / "vdisc", **groups), max_length=48)
    assert {one.label for one in report.findings} <= {"CWE-119", "CWE-120", "CWE-469", "CWE-476", "CWE-other"}
    assert len(report.findings) == 3 and all(one.lines and one.kept for one in report.findings)


def save_roberta(folder):
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    config = RobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=66, **sizes, pad_token_id=1)
    RobertaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["unpruned LTP", "Longformer", "RoBERTa"])
def test_models_that_do_not_prune(tree, tmp_path, kind, request):
    if kind == "RoBERTa":
        checkpoint = save_roberta(tmp_path / "roberta")
    elif kind == "Longformer":
        checkpoint = request.getfixturevalue("longformer_dir")
    else:
        checkpoint = save_checkpoint(tmp_path / "unpruned", prune_mode=None)
    report = run(checkpoint)
    assert len(report.findings) == 3 and all(one.kept is None and one.lines for one in report.findings)
    assert report.relative_flops == (None if kind == "RoBERTa" else 1) and report.ranking_note == ""
    assert report.settings["max_length"] == (64 if kind == "RoBERTa" else MAX_LENGTH)


def test_numbers_that_are_not_finite_are_no_clean_tree(tree, tmp_path):
    checkpoint = save_roberta(tmp_path / "roberta")
    weights = load_file(checkpoint / "model.safetensors")
    weights["classifier.dense.bias"].fill_(9)
    weights["classifier.out_proj.weight"].fill_(3e38)  # finite, but not their sum
    save_file(weights, checkpoint / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="--model_name_or_path .*: computes no finite numbers"):
        run(checkpoint)


def test_one_path_and_several_give_the_same_report(tree, pruned_checkpoint):
    settings = {**SETTINGS, "no_cache": True, "line_scores": "none"}
    one, several = (
        scan("src/a.c", pruned_checkpoint, **settings),
        scan([Path("src/a.c")], pruned_checkpoint, **settings),
    )
    assert compared(one) == compared(several) and one.units == 2


def test_line_scores_may_be_left_out(tree, pruned_checkpoint):
    report = run(pruned_checkpoint, line_scores="none")
    assert all(one.lines == () and one.kept for one in report.findings)


def test_suppressed_findings_and_a_baseline(tree, pruned_checkpoint):
    from ltp_pipeline.scan.reports.tables import write_json

    (tree / "src" / "a.c").write_text(f"// ltp: ignore\n{SHORT}\n\n{COPY}\n")
    (tree / ".ltpignore").write_text("inner/\n")
    report = run(pruned_checkpoint)
    assert [one.unit.text for one in report.findings] == [COPY] and len(report.suppressed) == 2
    write_json(report, tree / "earlier.json")
    (tree / "src" / "c.c").write_text(f"{SHORT}\n")
    later = run(pruned_checkpoint, baseline="earlier.json")
    assert sorted((one.unit.path, one.is_new) for one in later.findings) == [("src/a.c", False), ("src/c.c", True)]


def test_only_what_has_changed(tree, pruned_checkpoint):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True)
    (tree / "src" / "broken.c").symlink_to("nothing")
    report = run(pruned_checkpoint, changed_since="HEAD")
    assert (report.files, report.units, exit_status(report)) == (0, 0, 0)
    (tree / "src" / "new.c").write_text(COPY)
    report = run(pruned_checkpoint, changed_since="HEAD")
    assert [one.unit.path for one in report.findings] == ["src/new.c"] and report.units == 1
    assert report.settings["changed_since"] == "HEAD"


def test_an_empty_folder(tmp_path, pruned_checkpoint, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    report = run(pruned_checkpoint, num_workers=1, quiet=False)
    assert (report.files, report.units, report.findings, report.relative_flops) == (0, 0, [], None)
    assert "note: no file to scan in src;" in capsys.readouterr().err


def test_the_library_prints_nothing_on_standard_output(tree, pruned_checkpoint, capsys):
    run(pruned_checkpoint, quiet=False)
    shown = capsys.readouterr()
    assert shown.out == "" and "functions" in shown.err


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"threshold": 1.5}, "--threshold 1.5: expected a probability"),
        ({"threshold": 0.5, "top": 3}, "--threshold and --top"),
        ({"top": 0, "threshold": None}, "--top 0: expected 1 or more"),
        ({"num_workers": -1}, "--num_workers -1"),
        ({"max_length": 2}, "--max_length 2: expected 3 to 96"),
        ({"max_length": 97}, "--max_length 97: expected 3 to 96"),
        ({"max_tokens_per_batch": 0}, "--max_tokens_per_batch 0"),
        ({"granularity": "line"}, "--granularity line: expected auto, function, file"),
        ({"truncation": "middle"}, "--truncation middle: expected head"),
        ({"line_scores": "best"}, "--line_scores best: expected gradient_x_input"),
        ({"dtype": "float16"}, "--dtype float16"),
        ({"device": "nowhere"}, "--device nowhere"),
        ({"cache_dir": "c", "no_cache": True}, "--cache_dir and --no_cache"),
        ({"baseline": "none.sarif"}, "--baseline none.sarif"),
        ({"suppressions": "none"}, "--suppressions none"),
    ],
)
def test_wrong_settings_are_named_before_a_file_is_read(tree, pruned_checkpoint, monkeypatch, settings, says):
    monkeypatch.setattr(engine, "find_files", None)
    with pytest.raises(UserError, match=says):
        run(pruned_checkpoint, **settings)


def test_line_scores_that_need_another_model(tree, tmp_path):
    with pytest.raises(UserError, match="--line_scores attention: expected a model of type ltp, not roberta"):
        run(save_roberta(tmp_path / "roberta"), line_scores="attention")
    assert "torch" in sys.modules
