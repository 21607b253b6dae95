"""`pipeline("long-text-classification")`: texts in windows, with LTP and with other models."""

import sys
from functools import cache

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, RobertaConfig, RobertaForSequenceClassification
from transformers import pipeline as make_pipeline

from ltp_pipeline.data.truncation import Truncation
from ltp_pipeline.long_texts import TASK, LongTextClassificationPipeline
from tests.pruned_checkpoint import FUNCTIONS, MAX_LENGTH, make_tokenizer, save_checkpoint
from transformer_revised import LTPConfig, LTPForSequenceClassification

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
LONG = "".join(f"int f{i}(int x) {{ return x * {i}; }} // </s> é\n" for i in range(9))
TEXTS = [FUNCTIONS[0], LONG, "", FUNCTIONS[3], LONG[:150]]


@cache
def model_of(kind: str, labels: int = 2, **config):
    """A random model with names of classes."""
    torch.manual_seed(0)
    names = {"id2label": {i: f"class {i}" for i in range(labels)}, "num_labels": labels}
    settings = {**SIZES, **names, "vocab_size": 300, "initializer_range": 0.3, "pad_token_id": 1, **config}
    if kind == "ltp":
        settings |= {"attention_window": 16, "bos_token_id": 0, "eos_token_id": 2}
        return LTPForSequenceClassification(LTPConfig(max_position_embeddings=MAX_LENGTH + 2, **settings)).eval()
    if kind == "roberta":
        return RobertaForSequenceClassification(RobertaConfig(max_position_embeddings=66, **settings)).eval()
    return BertForSequenceClassification(BertConfig(max_position_embeddings=64, **settings)).eval()


def classifier(model, **options):
    return make_pipeline(TASK, model=model, tokenizer=make_tokenizer(), device="cpu", **options)


def window_logits(model, text: str, max_length: int, stride: int | None = None) -> np.ndarray:
    """The logits of each window, `[W, C]`, one pass for each."""
    encoded = make_tokenizer()(text, split_special_tokens=True, return_special_tokens_mask=True)
    ids = np.array(encoded.input_ids)
    special = np.array(encoded.special_tokens_mask, dtype=bool)
    rows = [ids[read][None] for read in Truncation("windows", stride).readings(special, max_length)]
    with torch.inference_mode():
        return np.concatenate([model(torch.from_numpy(row)).logits.numpy() for row in rows])


def scores(results: list[dict]) -> list[float]:
    """The scores in the order of the classes."""
    return [each["score"] for each in sorted(results, key=lambda each: each["label"])]


@pytest.mark.parametrize(
    "kind, config, limit",
    [
        ("ltp", {"prune_mode": "absolute_threshold", "final_token_threshold": 0.3}, MAX_LENGTH),
        ("ltp", {"prune_mode": None}, MAX_LENGTH),
        ("roberta", {}, 64),
        ("bert", {}, 64),
    ],
)
def test_the_window_with_the_highest_probability_of_class_1_counts(kind, config, limit):
    model = model_of(kind, **config)
    found = classifier(model)(TEXTS, top_k=None, batch_size=3)
    for text, result in zip(TEXTS, found, strict=True):
        logits = window_logits(model, text, limit)
        assert len(logits) > 5 or text != LONG
        best = logits[(logits[:, 1] - logits[:, 0]).argmax()]
        np.testing.assert_allclose(scores(result), torch.tensor(best).softmax(0), atol=1e-5)
    one_by_one = [classifier(model)(text, top_k=None) for text in TEXTS]
    np.testing.assert_allclose([scores(own) for own in one_by_one], [scores(own) for own in found], atol=1e-5)


def test_short_texts_have_the_results_of_the_librarys_pipeline():
    model, short = model_of("roberta"), ["int x;", "return 0;"]
    plain = make_pipeline("text-classification", model=model, tokenizer=make_tokenizer(), device="cpu")
    for given in ("int x;", short, {"text": "int x;"}):
        assert classifier(model)(given) == plain(given)
    assert list(classifier(model)(text for text in short)) == plain(short)
    assert plain(short, top_k=1, function_to_apply="none") == classifier(model, top_k=1)(
        short, function_to_apply="none"
    )
    with pytest.raises((IndexError, RuntimeError)):
        plain(LONG)  # has no windows


def test_several_labels_classes_and_numbers():
    labels = model_of("ltp", 3, problem_type="multi_label_classification", prune_mode=None)
    logits = torch.tensor(window_logits(labels, LONG, MAX_LENGTH))
    highest = logits.amax(0)
    assert len(set(logits.argmax(0).tolist())) > 1  # of different windows
    np.testing.assert_allclose(scores(classifier(labels)(LONG, top_k=None)), highest.sigmoid(), atol=1e-5)
    classes = model_of("roberta", 3)
    mean = torch.tensor(window_logits(classes, LONG, 64)).mean(0)
    np.testing.assert_allclose(scores(classifier(classes)(LONG, top_k=None)), mean.softmax(0), atol=1e-5)
    number = model_of("roberta", 1, problem_type="regression")
    mean = window_logits(number, LONG, 64).mean()
    assert classifier(number)(LONG)[0]["score"] == pytest.approx(mean, abs=1e-5)
    for model in (classes, number):
        with pytest.raises(ValueError, match="combine_windows='max': expected 'mean'"):
            classifier(model)(LONG, combine_windows="max")


def test_arguments_of_windows():
    model = model_of("roberta")
    classify = classifier(model, max_length=20, window_stride=7, combine_windows="mean")
    mean = torch.tensor(window_logits(model, LONG, 20, 7)).mean(0)
    np.testing.assert_allclose(scores(classify(LONG, top_k=None)), mean.softmax(0), atol=1e-5)
    logits = window_logits(model, LONG, 30, 7)
    best = logits[(logits[:, 1] - logits[:, 0]).argmax()]
    found = classify(LONG, top_k=None, max_length=30, combine_windows="max")  # a call comes before the pipeline
    np.testing.assert_allclose(scores(found), torch.tensor(best).softmax(0), atol=1e-5)
    assert len(classify(LONG, top_k=1)) == 1


def test_the_stride_of_training_is_used():
    model = model_of("ltp", prune_mode=None, truncation="windows", window_stride=21)
    for length, stride in ((None, 21), (10, 8)):  # at most what a window holds, so that no token is skipped
        logits = window_logits(model, LONG, length or MAX_LENGTH, stride)
        best = logits[(logits[:, 1] - logits[:, 0]).argmax()]
        found = classifier(model)(LONG, top_k=None, **({"max_length": length} if length else {}))
        np.testing.assert_allclose(scores(found), torch.tensor(best).softmax(0), atol=1e-5)


def test_a_checkpoint_has_the_probability_of_a_scan(pruned_checkpoint, tmp_path):
    from ltp_pipeline.scan import scan

    (tmp_path / "long.c").write_text(LONG.replace("é", "e"))
    settings = {"granularity": "file", "threshold": 0.0, "num_workers": 0, "no_cache": True, "dtype": "float32"}
    report = scan([tmp_path], pruned_checkpoint, **settings, line_scores="none", quiet=True)
    classify = make_pipeline(TASK, model=str(pruned_checkpoint), device="cpu", dtype=torch.float32)
    found = classify(report.findings[0].unit.text, top_k=None)
    assert scores(found)[1] == pytest.approx(report.findings[0].probability, abs=1e-5)


@pytest.mark.parametrize(
    "options, named",
    [
        ({"truncation": True}, "truncation"),
        ({"padding": "max_length", "max_length": 20}, "padding"),
        ({"stride": 4}, "stride"),
        ({"max_length": 2}, "max_length=2: expected 3 to 64"),
        ({"max_length": 65}, "max_length=65: expected 3 to 64"),
        ({"window_stride": 0}, "window_stride=0"),
        ({"window_stride": 63}, "window_stride=63: expected at most 62"),
        ({"max_length": 10, "window_stride": 9}, "window_stride=9: expected at most 8"),
        ({"combine_windows": "sum"}, "combine_windows='sum': expected 'max' or 'mean'"),
    ],
    ids=str,
)
def test_arguments_out_of_range(options, named):
    with pytest.raises(ValueError, match=named):
        classifier(model_of("roberta"))("int x;", **options)


@pytest.mark.parametrize("given", [None, 3, [None], {"text": "a", "text_pair": "b"}, [["a", "b"]], {}], ids=str)
def test_what_is_no_text(given):
    with pytest.raises(ValueError, match="expected a text"):
        classifier(model_of("roberta"))(given)


def test_the_plain_task_with_this_class_and_a_saved_pipeline(tmp_path):
    checkpoint = str(save_checkpoint(tmp_path / "checkpoint"))
    classify = make_pipeline(
        "text-classification", model=checkpoint, pipeline_class=LongTextClassificationPipeline, device="cpu"
    )
    expected = classify(LONG)
    assert expected == make_pipeline(TASK, model=checkpoint, device="cpu")(LONG)
    classify.save_pretrained(tmp_path / "saved")
    assert not list((tmp_path / "saved").glob("*.py"))
    saved = str(tmp_path / "saved")
    assert make_pipeline(TASK, model=saved, device="cpu")(LONG) == expected
    make_pipeline("text-classification", model=saved, device="cpu")  # needs no `trust_remote_code`
    assert "ltp_pipeline.long_texts" in sys.modules
