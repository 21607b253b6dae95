"""Which configuration values are refused, when, and with which message."""

import json
import math

import pytest
from transformers import AutoConfig, LongformerConfig

from transformer_revised import LTPConfig, LTPForSequenceClassification, LTPModel
from transformer_revised.models.ltp.configuration_ltp import PRUNE_MODES, SCORE_NORMALIZATIONS

from .tiny import TINY, tiny_config, tiny_model

NAN, INF = math.nan, math.inf
SIZES = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "max_position_embeddings", "type_vocab_size",
)  # fmt: skip
WRONG = {
    "attention_window": [33, 0, -2, [16, 16], [], [16, 16, 16, 15], [16, 16, 16, 0], "16", 16.0, True, None,
                         [16.0] * 4, [True] * 4, {}],
    "pad_token_id": [None, -1, 64, "1", 1.0, True],
    "sep_token_id": ["2", 2.0],
    **dict.fromkeys(SIZES, [0, -1, "12", 12.0, True, None, [1], NAN]),
    "hidden_size": [30, 0, "32"],
    "num_attention_heads": [5, 0],
    "max_position_embeddings": [2, 0],
    **dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), [-0.1, 1.1, NAN, INF, "0.1", True, None]),
    **dict.fromkeys(("initializer_range", "layer_norm_eps"), [-0.1, NAN, INF, "0.1", True, None]),
    "hidden_act": ["gelo", 3, None],
    "prune_mode": ["random", "", 1, True, ["topk"]],
    "score_normalization": ["sum", None, 1],
    "final_token_threshold": [-0.1, 4.1, NAN, INF, "0.1", True, None, [0.1]],
    "prune_first_layer": ["yes", 1, None],
    "token_threshold": [-0.1, 1.1, NAN, INF, "0.1", True, None],
    "token_keep_rate": [-0.1, 1.1, NAN, -INF, "0.1", True, None],
    "temperature": [0, -0.1, NAN, INF, "0.1", True, None],
    "rank_teacher": ["gradient", "", 1, True],
    "target_flops": [0, -0.1, 1.5, NAN, INF, "0.1", True],
    "decision_threshold": [-0.1, 1.1, NAN, INF, "0.1", True],
    "num_labels": [0, -1, "2", 2.0, True],
    "id2label": [{}, {"a": "b"}, ["a", "b"]],
    "problem_type": ["multi", 1],
    "dtype": ["float99", "int64", "abs"],
    "output_hidden_states": ["yes", 1],
    "tie_word_embeddings": ["yes", 1],
}  # fmt: skip
CASES = [(name, value) for name, values in WRONG.items() for value in values]


def check_message(error, name, value):
    message = str(error.value)
    assert "\n" not in message and name in message, message
    assert repr(value)[:40] in message and "has to be" in message, message


@pytest.mark.parametrize("name, value", CASES, ids=str)
def test_a_wrong_value_is_refused_when_a_configuration_is_made(name, value):
    with pytest.raises(ValueError) as error:
        tiny_config(**{name: value})
    check_message(error, name, value)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    tiny_model().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("reader", [LTPConfig, AutoConfig])
@pytest.mark.parametrize(
    "name, value", [("attention_window", 33), ("pad_token_id", None), ("temperature", NAN), ("vocab_size", "64")]
)
def test_a_wrong_value_is_refused_when_a_configuration_is_read(saved, tmp_path, reader, name, value):
    stored = json.loads((saved / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**stored, name: value}))
    with pytest.raises(ValueError) as error:
        reader.from_pretrained(tmp_path)
    check_message(error, name, value)
    right = {"attention_window": 32, "pad_token_id": 1, "temperature": 0.1, "vocab_size": 64}[name]
    assert getattr(reader.from_pretrained(tmp_path, **{name: right}), name) == right


@pytest.mark.parametrize("name, value", [("num_hidden_layers", 2), ("token_keep_rate", NAN), ("prune_mode", "random")])
def test_a_wrong_argument_of_from_pretrained_is_refused(saved, name, value):
    with pytest.raises(ValueError, match="attention_window|token_keep_rate|prune_mode"):
        LTPConfig.from_pretrained(saved, **{name: value})
    with pytest.raises(ValueError, match="attention_window|token_keep_rate|prune_mode"):
        LTPForSequenceClassification.from_pretrained(saved, **{name: value})


def test_a_value_that_became_wrong_is_refused_by_the_model_and_when_saved(tmp_path):
    config = tiny_config()
    config.token_threshold = NAN
    with pytest.raises(ValueError, match="`token_threshold` .* not nan"):
        LTPModel(config)
    with pytest.raises(ValueError, match="`token_threshold` .* not nan"):
        config.save_pretrained(tmp_path)
    assert not (tmp_path / "config.json").exists()
    with pytest.raises(ValueError, match="`vocab_size` has to be a whole number, not 'many'"):
        config.vocab_size = "many"


@pytest.mark.parametrize("mode", [None, *PRUNE_MODES])
@pytest.mark.parametrize("normalization", SCORE_NORMALIZATIONS)
def test_what_is_right_is_saved_and_read(mode, normalization, tmp_path):
    config = tiny_config(
        prune_mode=mode, score_normalization=normalization, token_keep_rate=0, token_threshold=1, target_flops=1,
        final_token_threshold=4, decision_threshold=1.0, attention_window=[2, 16, 16, 512], hidden_dropout_prob=1,
        num_labels=3, problem_type="multi_label_classification", dtype="bfloat16", rank_teacher="relevance",
    )  # fmt: skip
    config.save_pretrained(tmp_path)
    loaded, unused = LTPConfig.from_pretrained(tmp_path, return_unused_kwargs=True, temperature=1, unknown=2)
    assert unused == {"unknown": 2} and loaded.temperature == 1
    loaded.temperature = config.temperature
    assert {**loaded.to_dict(), "_name_or_path": ""} == {**config.to_dict(), "_name_or_path": ""}
    assert loaded.to_diff_dict() == config.to_diff_dict()


def test_the_defaults_and_a_longformers_configuration(tmp_path):
    assert LTPConfig().to_dict()["attention_window"] == 512
    LongformerConfig(**{k: v for k, v in TINY.items() if k != "final_token_threshold"}).save_pretrained(tmp_path)
    loaded = LTPConfig.from_pretrained(tmp_path, dtype="auto", num_labels=5)
    assert (loaded.model_type, loaded.vocab_size, loaded.num_labels) == ("ltp", 64, 5)
