"""Scans of small trees with a tiny checkpoint."""

import numpy as np
import pytest

from ltp_pipeline.scan import scan
from ltp_pipeline.task.metrics import positive_scores
from ltp_pipeline.view.line_scores import line_scores
from tests.pruned_checkpoint import MAX_LENGTH

SHORT = "int add(int a, int b)\n{\n    return a + b;\n}"
COPY = "static int copy(char *dst, const char *src)\n{\n\tchar buf[64];\n\n\tstrcpy(buf, s);\n\treturn 0;\n}"
LONG = "int f(int x)\n{\n" + "  x = x * 31 + sizeof(struct node);\n" * 12 + "  return x;\n}"


@pytest.fixture
def tree(tmp_path):
    folder = tmp_path / "src"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.c").write_text(f"/* a */\n\n{SHORT}\n\n{COPY}\n")
    (folder / "inner" / "b.c").write_text(f"{LONG}\n")
    return folder


def test_findings_agree_with_the_model(tree, pruned_checkpoint, pruned_model, monkeypatch):
    monkeypatch.chdir(tree.parent)
    settings = {"threshold": 0, "truncation": "head", "dtype": "float32", "device": "cpu", "quiet": True}
    report = scan(["src"], pruned_checkpoint, **settings)
    assert (report.files, report.units, len(report.findings)) == (2, 3, 3)
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
        offsets = tokenizer(finding.unit.text, return_offsets_mapping=True)["offset_mapping"]
        survived = sum(kept[0].long() for kept in output.kept_tokens).tolist()
        expected = {(b, e): layers for (b, e), layers in zip(offsets[: MAX_LENGTH - 1], survived) if e > b}
        kept = finding.kept
        assert dict(zip(zip(kept.begins, kept.ends), kept.layers_survived)) == expected and kept.num_layers == 4
