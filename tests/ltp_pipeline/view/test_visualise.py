import re
from html.parser import HTMLParser

import numpy as np
import pytest

from ltp_pipeline.view.visualise import FunctionTrace, TerminalView, html_page, printable, save_figure, source_lines

SOURCE = 'if (x < 1)\n\tputs("a");\n\nend();\n'
WORDS = ["if", "(", "x", "<", "1", ")", "\n", "\t", "puts", '("', "a", '");', "\n\n", "end", "();", "\n"]
# the layer each token of <s> WORDS </s> leaves in; 0: it stays
LEAVES = [0, 1, 1, 2, 3, 1, 1, 1, 1, 0, 2, 3, 1, 1, 2, 1, 1, 2]


def make_trace(source=SOURCE, words=WORDS, leaves=LEAVES, **changes) -> FunctionTrace:
    """Three layers; a token's score is 0.9 while it stays and 0.01 in the layer it leaves in."""
    spans, end = [(0, 0)], 0
    for word in words:
        begin = source.index(word, end)
        end = begin + len(word)
        spans.append((begin, end))
    left = np.array([layer or 4 for layer in leaves])
    layers = np.array([1, 2, 3])[:, None]
    scores = np.where(layers < left, 0.9, np.where(layers == left, 0.01, np.nan))
    fields = {
        "name": "test.csv row 7",
        "source": source,
        "tokens": ["<s>", *(f"Ġ{word}" for word in words), "</s>"],
        "offsets": np.array([*spans, (0, 0)]),
        "is_text": np.array([False, *[True] * len(words), False]),
        "kept": layers < left,
        "scores": scores,
        "thresholds": np.array([0.1, 0.2, 0.3]),
        "label": 1,
        "probabilities": [0.125, 0.875],
        "finding_lines": (2,),
    }
    return FunctionTrace(**{**fields, **changes})


def test_trace_counts_what_is_alive():
    trace = make_trace()
    assert trace.alive == [18, 8, 4, 2]
    assert trace.alive_until.tolist() == [(layer or 4) - 1 for layer in LEAVES]
    assert trace.token_lines.tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 4, 4, 4, 0]
    assert trace.specials() == "<s> stays, </s> leaves in layer 2"
    assert trace.findings() == "finding line 2: 1 of 6 tokens kept (16.7%), elsewhere 0 of 10 (0.0%)"
    assert trace.verdict() == "predicted 1 (probability 0.875), label 1: right"
    assert trace.score_range(1) == "0.01 / 0.46 / 0.9"


def test_many_finding_lines_are_not_all_named():
    source = "a\n" * 30
    trace = make_trace(source, ["a"] * 30, [0] * 32, finding_lines=tuple(range(1, 31)))
    assert trace.findings().startswith("finding lines 1, 2, 3, 4, 5, 6, 7, 8 and 22 more: 30 of 30 tokens kept")


def test_finding_lines_past_what_was_read():
    trace = make_trace("a;\nb;\n", ["a", ";"], [0, 0, 1, 0], finding_lines=(2,))
    assert trace.findings() == "finding line 2: beyond what the model read"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("\x9b31m\x7f\x00\r", "\\x9b31m\\x7f\\x00\\r"),
        ("\u202eab\u2066\u200b\ufeff", "\\u202eab\\u2066\\u200b\\ufeff"),
        ("\u2028\ud800", "\\u2028\\ud800"),
        ("a\n\té漢 $", "a\n\té漢 $"),
    ],
)
def test_printable_escapes_what_acts_on_a_terminal_or_hides(text, shown):
    assert printable(text) == shown


def test_source_lines_lay_the_source_out_as_written():
    lines = source_lines(make_trace())
    assert ["".join(text for text, _ in line).rstrip("\n") for line in lines] == [
        "if (x < 1)",
        '    puts("a");',
        "",
        "end();",
    ]
    assert lines[0][:4] == [("if", 1), (" ", None), ("(", 2), ("x", 3)]
    assert lines[0][-1] == ("\n", 7) and lines[1][0] == ("    ", 8) and lines[2] == [("\n", 13)]


def test_a_shared_character_goes_to_the_token_that_lived_longest():
    trace = make_trace("漢", ["漢"], [0, 1, 0])
    trace = make_trace(
        "漢",
        [],
        [0, 1, 3, 2, 0],
        offsets=np.array([(0, 0), (0, 1), (0, 1), (0, 1), (0, 0)]),
        is_text=np.array([False, True, True, True, False]),
        tokens=["<s>", "a", "b", "c", "</s>"],
    )
    assert source_lines(trace) == [[("漢", 2)]]


def test_windows_line_ends_are_no_noise_and_a_lone_carriage_return_shows():
    trace = make_trace("a;\r\nb\rc", ["a", ";", "\r\n", "b", "\r", "c"], [0] * 8)
    assert ["".join(text for text, _ in line).rstrip() for line in source_lines(trace)] == ["a;", "b\\rc"]


def test_plain_terminal_text_shows_gaps_layer_by_layer():
    text = TerminalView(color=False).function(make_trace())
    assert "\x1b" not in text
    views = text.split("  after layer ")[1:]
    assert [view.splitlines()[0] for view in views] == [
        f"{layer}: {alive} of 18 tokens alive" for layer, alive in [(1, 8), (2, 4), (3, 2)]
    ]
    source = [view.splitlines()[1:] for view in views]
    assert source[0] == ["    1 | ·· ·x < ··", '>   2 |     puts("a···', "    3 | ", "    4 | end···"]
    assert source[1] == ["    1 | ·· ·· < ··", ">   2 |     puts··a···", "       (lines 3-4: nothing alive)"]
    assert source[2] == ["    1 | ·· ·· · ··", ">   2 |     puts······", "       (lines 3-4: nothing alive)"]


def test_table_has_a_line_a_layer():
    lines = TerminalView(color=False).table(make_trace()).splitlines()
    assert len(lines) == 4
    assert [re.split(r"\s{1,}", re.sub("[█░]", "", line).strip()) for line in lines[1:]] == [
        ["1", "8", "10", "0.1", "0.01", "/", "0.01", "/", "0.9"],
        ["2", "4", "4", "0.2", "0.01", "/", "0.46", "/", "0.9"],
        ["3", "2", "2", "0.3", "0.01", "/", "0.46", "/", "0.9"],
    ]
    assert [line.count("█") for line in lines[1:]] == [11, 5, 3]


def test_a_layer_in_which_nothing_leaves_has_no_view_of_its_own():
    text = TerminalView(color=False).function(make_trace(leaves=[layer and 2 for layer in LEAVES]))
    assert [line for line in text.splitlines() if "after layer" in line] == ["  after layer 2: 2 of 18 tokens alive"]


def test_coloured_text_marks_every_token_by_the_layer_it_survived_to():
    view = TerminalView(color=True)
    overview = view.overview(make_trace())
    assert "\x1b[1;38;5;16;48;5;220mputs\x1b[0m" in overview
    assert "\x1b[38;5;245mif\x1b[0m \x1b[38;5;245m(\x1b[0m\x1b[38;5;71mx\x1b[0m" in overview
    assert "\x1b[38;5;161m<\x1b[0m" in overview
    second = view.layer(make_trace(), 1)
    assert "\x1b[2;9mif\x1b[0m \x1b[2;9m(\x1b[0m\x1b[31;9mx\x1b[0m < " in second
    assert TerminalView(color=False).overview(make_trace()) == ""


def test_terminal_text_emits_no_control_character_of_the_source():
    source = "a\x1b[2J\u202eb\x07"
    trace = make_trace(source, ["a", "\x1b[2J", "\u202eb", "\x07"], [0, 0, 1, 2, 0, 1], name="x\x1b]0;t\x07.csv row 1")
    text = TerminalView(color=True).function(trace)
    assert "a\x1b[31;9m\\x1b[2J\x1b[0m\\u202eb" in text and "x\\x1b]0;t\\x07.csv row 1" in text
    left = re.sub(r"\x1b\[[\d;]*m", "", text)
    assert printable(left) == left


def test_max_lines_bounds_each_view_and_the_cut_is_told():
    source = "".join(f"a{i};\n" for i in range(50))
    words = [word for i in range(50) for word in (f"a{i}", ";\n")]
    trace = make_trace(source + "unread", words, [0] + [0, 1] * 50 + [0], finding_lines=())
    text = TerminalView(color=False, max_lines=10).layer(trace, 0)
    lines = text.splitlines()
    assert len(lines) == 1 + 10 + 2
    assert lines[1:3] == ["    1 | a0·", "    2 | a1·"]
    assert lines[-2] == "       (40 more; --max_lines 0 prints all)"
    assert lines[-1] == "       (the model did not read the last 6 characters)"
    assert len(TerminalView(color=False).layer(trace, 0).splitlines()) == 1 + 50 + 1


class Page(HTMLParser):
    """What a browser would make of the page: tags with attributes, and the text inside `.code`."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.code, self.open = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "br"):
            self.open.append((tag, dict(attributes).get("class", "")))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if any(kind.startswith("line") for _, kind in self.open):
            self.code.append(data)

    def tokens(self) -> list[dict]:
        return [attributes for tag, attributes in self.tags if tag == "span" and "data-a" in attributes]


def test_html_is_self_contained_and_well_formed():
    text = html_page([make_trace(), make_trace(name="two")], "ck")
    page = Page(text)
    assert page.open == []
    assert not re.search(r"(src|href)=\"(?!#)|url\(|@import|https?:", text)
    assert {"script", "style"} <= {tag for tag, _ in page.tags} and "link" not in {tag for tag, _ in page.tags}
    assert [a["data-step"] for tag, a in page.tags if tag == "button"] == ["-1", "0", "1", "2", "3"]
    assert "prefers-color-scheme: dark" in text
    assert [a["id"] for tag, a in page.tags if tag == "section"] == ["f0", "f1"]
    assert "$" not in text


def test_html_tokens_carry_fate_and_scores():
    page = Page(html_page([make_trace()], "t"))
    tokens = page.tokens()
    by_title = {attributes["title"].split("  ")[0]: attributes for attributes in tokens}
    puts = by_title["puts"]
    assert puts["data-a"] == "3" and "data-left" not in puts and puts["data-s"] == "0.9 0.9 0.9"
    assert puts["title"].splitlines() == [
        "puts  (token 9): stays",
        "layer 1: score 0.9, threshold 0.1",
        "layer 2: score 0.9, threshold 0.2",
        "layer 3: score 0.9, threshold 0.3",
    ]
    x = by_title["x"]
    assert (x["data-a"], x["data-left"], x["data-s"]) == ("1", "2", "0.9 0.01")
    assert x["title"].splitlines()[0] == "x  (token 3): leaves in layer 2" and len(x["title"].splitlines()) == 3
    assert by_title["<s>"]["class"] == "t a3 special" and by_title["</s>"]["data-left"] == "2"
    assert len(tokens) == 18 + 1  # the blank line's token "\n\n" shows on two lines
    lines = [attributes for tag, attributes in page.tags if attributes.get("class", "").startswith("line")]
    assert [(line["data-n"], line["class"]) for line in lines] == [
        ("1", "line"),
        ("2", "line finding"),
        ("3", "line"),
        ("4", "line"),
    ]


def test_html_escapes_the_code():
    source = "a</script><b title=\"x\" y='z'>&amp;\u202e\x1b"
    words = ["a", "</script>", "<b", 'title="x"', "y='z'", ">&amp;", "\u202e\x1b"]
    trace = make_trace(source, words, [0] * 9, name='<img src="x">')
    text = html_page([trace], "<i>")
    page = Page(text)
    assert "".join(page.code) == source.replace("\u202e\x1b", "\\u202e\\x1b")
    assert not {"img", "b", "i"} & {tag for tag, attributes in page.tags if "style" not in attributes}
    assert text.count("</script>") == 1
    assert "<title>&lt;i&gt;</title>" in text
    assert any(attributes["title"].startswith('title="x"  (token 4)') for attributes in page.tokens())


def test_html_says_what_was_not_read():
    page = html_page([make_trace("ab", ["a"], [0, 0, 0])], "t")
    assert "the model did not read the last 1 characters" in page
    assert "not read" not in html_page([make_trace()], "t").split("<section")[1]


def read_png(path) -> np.ndarray:
    from matplotlib import image

    return (image.imread(path)[..., :3] * 255).round().astype(int)


@pytest.mark.parametrize("words", [WORDS, WORDS * 8], ids=["tokens named", "lines named"])
def test_figure_shows_gone_tokens_grey_and_leaving_ones_crossed(tmp_path, words):
    times = len(words) // len(WORDS)
    leaves = [0, *(LEAVES[1:-1] * times), 2]
    trace = make_trace(SOURCE * times + "$x^", words, leaves, name="$a_{b}$ row 1\x07")
    alive = np.array([[1, 0.5, 0.2, 0.1], [1, 0.9, 0.5, 0.3]])
    save_figure(tmp_path / "figure.png", alive, trace)
    pixels = read_png(tmp_path / "figure.png")
    assert pixels.shape == (750, 2250, 3)
    right = pixels[:, 750:]
    grey = (right == 224).all(-1).sum()
    save_figure(tmp_path / "all.png", alive, make_trace(leaves=[0] * 18))
    assert grey > 50_000 and (read_png(tmp_path / "all.png")[:, 750:] == 224).all(-1).sum() < 1000
    assert (right == (255, 0, 0)).all(-1).sum() > 100


def test_figure_of_a_model_in_which_no_layer_prunes(tmp_path):
    trace = make_trace(leaves=[0] * 18, scores=np.full((3, 18), np.nan))
    save_figure(tmp_path / "figure.png", np.ones((1, 4)), trace)
    assert read_png(tmp_path / "figure.png").shape == (750, 2250, 3)
