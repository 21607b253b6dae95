import numpy as np
import pytest
from matplotlib.colors import to_hex

from ltp_pipeline.model.ranking_note import ranking_note
from ltp_pipeline.task.tasks import CODE
from ltp_pipeline.view.figures import draw_figure, save_figure
from tests.ltp_pipeline.view.traces import REMOVED_IN, SOURCE, WORDS, make_trace
from transformer_revised import LTPConfig

ALIVE = np.array([[1, 0.5, 0.2, 0.1], [1, 0.9, 0.5, 0.3]])


@pytest.mark.parametrize("times", [1, 8], ids=["tokens named", "lines named"])
def test_the_heat_map_shows_scores_crosses_and_grey(times):
    removed_in = [0, *(REMOVED_IN[1:-1] * times), 2]
    trace = make_trace(SOURCE * times, WORDS * times, removed_in, name="$a_{b}$ row 1\x07漢")
    left, right, bar = draw_figure(ALIVE, trace).axes
    (image,) = right.images
    assert np.array_equal(image.get_array().mask, np.isnan(trace.scores))  # where grey shows through
    assert np.allclose(image.get_array().compressed(), trace.scores[~np.isnan(trace.scores)])
    assert right.get_facecolor()[:3] == (0.88,) * 3
    (crosses,) = right.collections
    assert to_hex(crosses.get_edgecolor()[0]) == "#ff0000"
    assert sorted(crosses.get_offsets().tolist()) == [[i, n - 1] for i, n in enumerate(removed_in) if n]
    assert right.get_title().startswith("Score of each token in $a_{b}$ row 1\\x07\\u6f22\n")
    labels = [label.get_text() for label in right.get_xticklabels()]
    named = ["<s>", "if", "(", "x"] if times == 1 else ["1", "2", "4", "5"]
    assert labels[:4] == named and (len(labels) == 18 if times == 1 else labels[-1] == "32")


def test_the_other_panel_shows_medians_and_quartiles():
    left, *_ = draw_figure(ALIVE, make_trace()).axes
    assert left.get_title() == "Tokens alive, 2 functions"
    assert np.allclose(left.lines[0].get_ydata(), [100, 70, 35, 20])
    assert [text.get_text() for text in left.texts] == ["100", "70", "35", "20"]
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["quartiles", "median"]


def test_the_note_stands_below_the_panels_in_lines_that_fit():
    note = ranking_note(LTPConfig(), CODE)
    figure = draw_figure(ALIVE, make_trace(), note)
    (text,) = figure.texts
    assert text.get_text().replace("\n", " ") == note
    figure.draw_without_rendering()
    assert text.get_window_extent().x1 < figure.bbox.x1
    assert text.get_window_extent().y1 < min(axes.get_tightbbox().y0 for axes in figure.axes)
    assert not draw_figure(ALIVE, make_trace()).texts


def test_a_model_in_which_no_layer_prunes(tmp_path):
    trace = make_trace(removed_in=[0] * 18, scores=np.full((3, 18), np.nan))
    _, right = draw_figure(np.ones((1, 4)), trace).axes
    assert [text.get_text() for text in right.texts] == ["no layer prunes"] and not right.images
    save_figure(tmp_path / "figure.png", np.ones((1, 4)), trace)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_scores_of_zero_can_be_drawn(tmp_path):
    trace = make_trace(scores=np.zeros((3, 18)))
    save_figure(tmp_path / "a.png", np.ones((1, 4)), trace)
    assert (tmp_path / "a.png").stat().st_size > 1000
