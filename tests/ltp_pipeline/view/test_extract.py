import numpy as np
import pytest
import torch

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.view import extract
from ltp_pipeline.view.extract import (
    Encoding,
    PrunedModelArguments,
    encode,
    joined,
    kept_text,
    kept_texts,
    load_pruned,
    prune,
)
from tests.pruned_checkpoint import FUNCTIONS, MAX_LENGTH, THRESHOLDS, make_tokenizer, save_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("checkpoint"))


def by_word(source: str, words: list[str]) -> Encoding:
    """One token for each of `words`, in order, between `<s>` and `</s>`."""
    spans, end = [(0, 0)], 0
    for word in words:
        begin = source.index(word, end)
        end = begin + len(word)
        spans.append((begin, end))
    spans.append((0, 0))
    is_text = np.array([False, *[True] * len(words), False])
    return Encoding(np.zeros(len(spans), dtype=np.int32), np.array(spans), is_text)


CALL = "strcpy(buf, argv[1]);"
CALL_WORDS = ["str", "cpy", "(", "buf", ",", "argv", "[", "1", "]", ")", ";"]


@pytest.mark.parametrize(
    ("dropped", "expected"),
    [
        ([], CALL),
        (["(", "[", "]"], "strcpy buf, argv 1 );"),
        (["str"], "cpy(buf, argv[1]);"),
        (["cpy", "(", "buf"], "str , argv[1]);"),
        ([",", "argv", "[", "1", "]", ")"], "strcpy(buf ;"),
        (CALL_WORDS, ""),
    ],
)
def test_kept_text_joins_neighbours_as_they_stood_and_gaps_with_one_space(dropped, expected):
    kept = np.array([True, *(word not in dropped for word in CALL_WORDS), True])
    assert kept_text(CALL, by_word(CALL, CALL_WORDS), kept) == expected


def test_kept_text_keeps_line_breaks_between_kept_tokens():
    source = "a;\r\n\t  b;\n"
    encoding = by_word(source, ["a", ";", "\r\n", "\t", "b", ";", "\n"])
    kept = np.array([False, True, True, True, True, True, False, True, False])
    assert kept_text(source, encoding, kept) == "a;\r\n\t  b \n"


@pytest.mark.parametrize("trim_offsets", [True, False])
@pytest.mark.parametrize("source", FUNCTIONS[:5])
def test_nothing_dropped_is_the_source_itself(source, trim_offsets):
    (encoding,) = encode([source], make_tokenizer(trim_offsets), 512)
    assert kept_text(source, encoding, np.ones(len(encoding), dtype=bool)) == source


@pytest.mark.parametrize("trim_offsets", [True, False])
def test_kept_text_does_not_depend_on_how_spans_treat_white_space(trim_offsets):
    source = "int  n = x;"
    (encoding,) = encode([source], make_tokenizer(trim_offsets), 512)
    tokens = [source[slice(*span)].strip() for span in encoding.offsets]
    kept = np.array([token != "=" for token in tokens])
    assert kept_text(source, encoding, kept) == "int  n x;"


def test_a_character_of_several_tokens_is_written_once():
    source = "a漢b"
    (encoding,) = encode([source], make_tokenizer(), 512)
    assert encoding.offsets.tolist() == [[0, 0], [0, 1], [1, 2], [1, 2], [1, 2], [2, 3], [0, 0]]
    for kept in ([0, 0, 1, 0, 1, 0, 0], [0, 0, 0, 0, 1, 0, 0], [0, 0, 1, 1, 1, 0, 0]):
        assert kept_text(source, encoding, np.array(kept, dtype=bool)) == "漢"


def test_text_that_looks_like_a_special_token_is_text():
    source = "vector<s> v;"
    (encoding,) = encode([source], make_tokenizer(), 512)
    assert encoding.is_text.tolist() == [False, *[True] * (len(encoding) - 2), False]
    assert kept_text(source, encoding, np.ones(len(encoding), dtype=bool)) == source


@pytest.mark.parametrize("trim_offsets", [True, False])
def test_a_pair_of_texts(trim_offsets):
    tokenizer = make_tokenizer(trim_offsets)
    pairs = [("int a = 漢;", " char b ;"), ("a", "b")]
    encoding, _ = encode(pairs, tokenizer, 512)
    source = joined(pairs[0])
    assert source == "int a = 漢;\n char b ;"
    assert encoding.input_ids.tolist() == tokenizer(*pairs[0])["input_ids"]
    spans = [
        "".join(source[slice(*span)] for span in encoding.offsets[own & encoding.is_text])
        for own in (~encoding.is_second, encoding.is_second)
    ]
    assert [span.replace(" ", "").replace("漢漢漢", "漢") for span in spans] == ["inta=漢;", "charb;"]
    assert kept_texts(pairs[0], encoding, np.ones(len(encoding), dtype=bool)) == list(pairs[0])
    words = [source[slice(*span)].strip() for span in encoding.offsets]
    kept = np.array([word not in ("a", "b") for word in words])
    assert kept_texts(pairs[0], encoding, kept) == ["int = 漢;", " char ;"]
    assert kept_texts(pairs[0], encoding, ~encoding.is_second) == ["int a = 漢;", ""]
    (alone,) = encode(["int a;"], tokenizer, 512)
    assert kept_texts(("int a;",), alone, np.ones(len(alone), dtype=bool)) == ["int a;"]


def test_a_model_of_pairs_is_told_which_text_a_token_is_of(tmp_path):
    model, tokenizer = load_pruned(
        PrunedModelArguments(str(save_checkpoint(tmp_path, type_vocab_size=2)), max_length=MAX_LENGTH, use_cpu=True)
    )
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    encodings = encode([("int a;", "char b;"), ("a", "b")], tokenizer, MAX_LENGTH)
    for encoding in encodings:
        encoding.token_type_ids = encoding.is_second.astype(int)  # as BERT's tokenizer has it
    _, pruned = next(prune(model, encodings, 2))
    with torch.no_grad():
        batch = tokenizer("int a;", "char b;", return_tensors="pt")
        types = torch.tensor(encodings[0].is_second.astype(int))[None]
        told, untold = (model(**{**batch, "token_type_ids": t}).logits[0] for t in (types, torch.zeros_like(types)))
    assert np.allclose(pruned.logits, told, atol=1e-5)
    assert not np.allclose(told, untold, atol=1e-3)


def test_encode_cuts_after_max_length():
    (encoding,) = encode([FUNCTIONS[5]], make_tokenizer(), 20)
    assert len(encoding) == 20
    text = kept_text(FUNCTIONS[5], encoding, np.ones(20, dtype=bool))
    assert FUNCTIONS[5].startswith(text) and text.startswith("int f(int x) {")


def test_prune_agrees_with_the_model_one_function_at_a_time(checkpoint):
    model, tokenizer = load_pruned(PrunedModelArguments(str(checkpoint), max_length=MAX_LENGTH, use_cpu=True))
    encodings = encode(FUNCTIONS, tokenizer, MAX_LENGTH)
    results = dict(prune(model, encodings, batch_size=4))
    assert sorted(results) == list(range(len(FUNCTIONS)))
    for index, encoding in enumerate(encodings):
        input_ids = torch.from_numpy(encoding.input_ids).long()[None]
        alone = model(input_ids=input_ids, output_pruning=True)
        result = results[index]
        assert result.kept.shape == result.scores.shape == (len(THRESHOLDS), len(encoding))
        assert np.array_equal(result.kept, torch.stack(alone.kept_tokens).squeeze(1).numpy())
        assert np.allclose(result.logits, alone.logits[0].detach(), atol=1e-5)
        rest = model.get_rest_token_indices(input_ids=input_ids)[0]
        assert np.array_equal(np.flatnonzero(result.kept[-1]), rest)
        entered = np.concatenate([np.ones((1, len(encoding)), dtype=bool), result.kept[:-1]])
        assert np.array_equal(~np.isnan(result.scores), entered)
    alive = np.mean([[1.0, *result.kept.mean(axis=1)] for result in results.values()], axis=0)
    assert (np.diff(alive)[:2] < -0.1).all(), alive


def test_processes_share_the_batches_of_one(checkpoint, monkeypatch):
    model, tokenizer = load_pruned(PrunedModelArguments(str(checkpoint), max_length=MAX_LENGTH, use_cpu=True))
    encodings = encode(FUNCTIONS * 2, tokenizer, MAX_LENGTH)
    alone, shares = dict(prune(model, encodings, batch_size=2)), []
    monkeypatch.setattr(extract, "process_count", lambda: 3)
    for process in range(3):
        monkeypatch.setattr(extract, "process_index", lambda process=process: process)
        shares.append(dict(prune(model, encodings, batch_size=2)))
    assert [len(share) for share in shares] == [2, 6, 4]  # of 192, 150 and 152 tokens
    for index, result in (item for share in shares for item in share.items()):
        assert np.array_equal(result.kept, alone[index].kept)
        assert np.array_equal(result.logits, alone[index].logits)
    assert sorted(index for share in shares for index in share) == sorted(alone)


def test_prune_gives_nan_scores_for_a_layer_that_does_not_prune(checkpoint):
    model, tokenizer = load_pruned(PrunedModelArguments(str(checkpoint), max_length=MAX_LENGTH, use_cpu=True))
    model.longformer.encoder.layer[0].attention.self.pruner.keep_threshold.data.zero_()
    ((_, result),) = prune(model, encode(FUNCTIONS[:1], tokenizer, MAX_LENGTH), batch_size=1)
    assert np.isnan(result.scores[0]).all() and result.kept[0].all()
    assert not np.isnan(result.scores[1]).any() and not result.kept[1].all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_length": MAX_LENGTH + 1}, f"--max_length {MAX_LENGTH + 1}: expected 3 to {MAX_LENGTH}"),
        ({"max_length": 2}, "--max_length 2: expected 3 to"),
        ({"per_device_eval_batch_size": 0}, "--per_device_eval_batch_size 0: expected 1 or more"),
        ({"use_cpu": False, "device": "nonsense"}, "--device nonsense: "),
        ({"model_name_or_path": "no/such/folder"}, "--model_name_or_path no/such/folder: no such folder"),
    ],
)
def test_load_pruned_refuses(checkpoint, change, message):
    args = {"model_name_or_path": str(checkpoint), "max_length": MAX_LENGTH, "use_cpu": True, **change}
    with pytest.raises(UserError) as error:
        load_pruned(PrunedModelArguments(**args))
    assert message in str(error.value)


def test_load_pruned_refuses_a_checkpoint_that_does_not_prune(tmp_path):
    save_checkpoint(tmp_path, prune_mode=None)
    with pytest.raises(UserError, match='this checkpoint does not prune \\("prune_mode" is null'):
        load_pruned(PrunedModelArguments(str(tmp_path), max_length=MAX_LENGTH, use_cpu=True))


def test_load_pruned_notes_soft_masking_and_unlearned_thresholds(checkpoint, tmp_path, capsys):
    load_pruned(PrunedModelArguments(str(checkpoint), max_length=MAX_LENGTH, use_cpu=True, masking_mode="soft"))
    notes = capsys.readouterr().err
    assert "note: --masking_mode soft is for training; here pruning is hard" in notes
    assert "never learned" not in notes
    model, tokenizer = load_pruned(PrunedModelArguments(str(checkpoint), max_length=MAX_LENGTH, use_cpu=True))
    for layer in model.longformer.encoder.layer:
        layer.attention.self.pruner.keep_threshold.data.zero_()
    model.config.final_token_threshold = 0.25
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    load_pruned(PrunedModelArguments(str(tmp_path), max_length=MAX_LENGTH, use_cpu=True))
    assert "were never learned: only final_token_threshold 0.25 prunes" in capsys.readouterr().err
