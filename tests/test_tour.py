"""docs/tour.ipynb runs from a checkout, and is stored as it ran."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
TOUR = ROOT / "docs" / "tour.ipynb"
MACHINE = re.compile(r"/(root|home|tmp|work|usr|Users|var|mnt|opt)/|[A-Z]:\\\\")  # begins of paths


def outputs(notebook) -> list[str]:
    """What each output shows: HTML if it has some, else text."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error" and output.get("name") != "stderr", output
            data = output.get("data", {})
            found.append(data.get("text/html") or data.get("text/plain") or output.get("text"))
    return found


def check(shown: list[str]) -> None:
    """The functions, the model, thresholds, kept tokens, the comparison and the scan are there."""
    assert len(shown) == 9
    code, model, thresholds, taught, trace, kept, compared, found, lines = shown
    assert code.startswith("int work_") and "prune_mode None" in model and thresholds.startswith("tensor([0.0000, ")
    assert trace.count("<span title=") > 50 and "<script" not in trace and "predicted 1 (probability " in trace
    assert taught.startswith("Ranking taught by relevance: ")
    counts = [int(number) for number in kept.strip("[]").split(",")]
    assert len(counts) == 6 and counts == sorted(counts, reverse=True) and counts[-1] < counts[0] / 2
    relative = [float(number) for number in re.findall(r"<td>([01]\.\d+)</td>", compared)]
    assert len(relative) == 8  # accuracy, F1, AUC and relative FLOPs of both checkpoints
    assert relative[2] > 0.9 and relative[6] > 0.9 and relative[3] == 1 and 0.5 < relative[7] < 0.7
    assert "probability" in found and found.count("work_") == 4
    assert "strcpy" in lines  # a line of the function that was found first


def test_the_stored_notebook_shows_what_it_did():
    text = TOUR.read_text("utf-8")
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert not MACHINE.search(text)
    assert [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"] == list(range(1, 12))
    check(outputs(notebook))


@pytest.mark.slow
def test_the_tour_runs(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    notebook = nbformat.read(TOUR, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(TOUR.parent)}}).execute()
    check(outputs(notebook))
