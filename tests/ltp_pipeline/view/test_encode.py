import numpy as np

from ltp_pipeline.view.encode import encode, joined, second_text_begins
from tests.pruned_checkpoint import FUNCTIONS, make_tokenizer


def test_longer_functions_are_cut():
    whole, cut = (encode([FUNCTIONS[5]], make_tokenizer(), length)[0] for length in (512, 20))
    assert len(cut) == 20 and cut.full_length == len(whole) > 20
    assert np.array_equal(cut.input_ids[:19], whole.input_ids[:19]) and cut.input_ids[19] == whole.input_ids[-1]
    assert np.flatnonzero(cut.after_gap).tolist() == [19]


def test_the_offsets_of_a_pair_are_those_in_the_joined_text():
    tokenizer = make_tokenizer()
    pairs = [("int a = 漢;", " char b ;"), ("a", "b")]
    function, _ = encode(pairs, tokenizer, 512)
    source = joined(pairs[0])
    assert source == "int a = 漢;\n char b ;" and source[second_text_begins(pairs[0][0]) :] == pairs[0][1]
    assert function.input_ids.tolist() == tokenizer(*pairs[0])["input_ids"]
    spans = [
        "".join(source[slice(*span)] for span in function.offsets[own & function.is_text])
        for own in (~function.is_second, function.is_second)
    ]
    assert [span.replace("漢漢漢", "漢") for span in spans] == ["inta=漢;", "charb;"]
