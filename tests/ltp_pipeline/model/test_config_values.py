"""Values of config.json that no model can have are refused when they are read, with name and value."""

import json
import shutil
from pathlib import Path

import pytest

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.model.config_values import check_values
from ltp_pipeline.task.tasks import TASKS
from tests.ltp_pipeline.model.refusals import load, refused


def edit(folder: Path, name: str = "config.json", **values) -> None:
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**content, **values}))


# Values, and what the message must say, for every model type
ANY = [
    ({"vocab_size": 0}, "vocab_size.* 0"),
    ({"vocab_size": -1}, "vocab_size.* -1"),
    ({"vocab_size": "400"}, "vocab_size.* '400'"),
    ({"vocab_size": 400.5}, "vocab_size.* 400.5"),
    ({"vocab_size": 10}, "vocab_size 10|10"),
    ({"hidden_size": 0}, "hidden_size.* 0"),
    ({"hidden_size": 33}, "hidden_size.* 33"),
    ({"hidden_size": -32}, "hidden_size.* -32"),
    ({"num_hidden_layers": 0}, "num_hidden_layers.* 0"),
    ({"num_hidden_layers": -3}, "num_hidden_layers.* -3"),
    ({"num_hidden_layers": 10**9}, "num_hidden_layers.* 1000000000"),
    ({"num_attention_heads": 0}, "num_attention_heads.* 0"),
    ({"num_attention_heads": 5}, "num_attention_heads.* 5"),
    ({"intermediate_size": 0}, "intermediate_size.* 0"),
    ({"max_position_embeddings": 0}, "max_position_embeddings.* 0"),
    ({"max_position_embeddings": -1}, "max_position_embeddings.* -1"),
    ({"max_position_embeddings": 4}, "max_position_embeddings.* 4"),
    ({"max_position_embeddings": "130"}, "max_position_embeddings.* '130'"),
    ({"type_vocab_size": -1}, "type_vocab_size.* -1"),
    ({"pad_token_id": None}, "pad_token_id.*(null|None)"),
    ({"pad_token_id": -1}, "pad_token_id.* -1"),
    ({"pad_token_id": 400}, "pad_token_id.* 400"),
    ({"pad_token_id": "1"}, "pad_token_id.* '1'"),
    ({"pad_token_id": True}, "pad_token_id.* True"),
    ({"eos_token_id": 5000}, "eos_token_id.* 5000"),
    ({"hidden_act": "swishy"}, "hidden_act.* 'swishy'"),
    ({"hidden_act": 1}, "hidden_act.* 1"),
    ({"hidden_dropout_prob": 1.5}, "hidden_dropout_prob.* 1.5"),
    ({"hidden_dropout_prob": -0.1}, "hidden_dropout_prob.* -0.1"),
    ({"attention_probs_dropout_prob": float("nan")}, "attention_probs_dropout_prob.* nan"),
    ({"layer_norm_eps": 0}, "layer_norm_eps.* 0"),
    ({"layer_norm_eps": "1e-5"}, "layer_norm_eps.* '1e-5'"),
    ({"initializer_range": -1}, "initializer_range.* -1"),
    ({"initializer_range": float("inf")}, "initializer_range.* inf"),
    ({"output_hidden_states": "1"}, "output_hidden_states.* '1'"),
    ({"chunk_size_feed_forward": 3}, "chunk_size_feed_forward.* 3"),
    ({"chunk_size_feed_forward": None}, "chunk_size_feed_forward.* (null|None)"),
    ({"dtype": "floatX"}, "dtype.* 'floatX'"),
    ({"dtype": "int8"}, "dtype.* 'int8'"),
    ({"dtype": 16}, "dtype.* 16"),
    ({"num_labels": 0}, "num_labels.* 0"),
    ({"num_labels": 3, "id2label": {"0": "a", "1": "b"}}, "num_labels.* 3"),
    ({"id2label": []}, "id2label"),
    ({"id2label": {}}, "id2label"),
    ({"id2label": ["a", "b"]}, "id2label"),
    ({"id2label": {"0": "a", "2": "b"}}, "id2label.*'2': 'b'"),
    ({"id2label": {"a": 0, "b": 1}}, "id2label.*'a': 0"),
    ({"label2id": [0, 1]}, "label2id"),
    ({"label2id": {"a": "x"}}, "label2id.*'x'"),
    ({"problem_type": "ranking"}, "problem_type.* 'ranking'"),
    ({"decision_threshold": float("nan")}, "decision_threshold.* nan"),
    ({"decision_threshold": 1.5}, "decision_threshold.* 1.5"),
    ({"decision_threshold": "0.5"}, "decision_threshold.* '0.5'"),
    ({"truncation": "middle"}, "truncation.* 'middle'"),
    ({"truncation": True}, "truncation.* True"),
    ({"truncation": "windows", "window_stride": 0}, "window_stride.* 0"),
    ({"truncation": "windows", "window_stride": "64"}, "window_stride.* '64'"),
    ({"model_type": None}, "model_type"),
    ({"model_type": ["longformer"]}, "model_type.*longformer"),
    ({"model_type": "nothing"}, "nothing"),
    ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}}, "quantization_config"),
    ({"transformers_weights": "adapter_model.bin"}, "transformers_weights.* 'adapter_model.bin'"),
    ({"attn_implementation": "someone/kernel"}, "attn_implementation.* 'someone/kernel'"),
]
LONGFORMER = [
    ({"attention_window": 33}, "attention_window.* 33"),
    ({"attention_window": 0}, "attention_window.* 0"),
    ({"attention_window": -8}, "attention_window.* -8"),
    ({"attention_window": "8"}, "attention_window.* '8'"),
    ({"attention_window": 8.0}, "attention_window.* 8.0"),
    ({"attention_window": [8, 8]}, r"attention_window.*3 layers.*\[8, 8\]"),
    ({"attention_window": []}, "attention_window"),
    ({"attention_window": [8, 7, 8]}, "attention_window.* 7"),
    ({"attention_window": [8, None, 8]}, "attention_window.*None"),
]
LTP = [
    ({"prune_mode": "best"}, "prune_mode.* 'best'"),
    ({"prune_mode": 1}, "prune_mode.* 1"),
    ({"temperature": 0}, "temperature.* 0"),
    ({"temperature": float("nan")}, "temperature.* nan"),
    ({"final_token_threshold": float("nan")}, "final_token_threshold.* nan"),
    ({"final_token_threshold": "0.1"}, "final_token_threshold.* '0.1'"),
    ({"token_keep_rate": -1}, "token_keep_rate.* -1"),
    ({"token_threshold": float("inf")}, "token_threshold.* inf"),
    ({"score_normalization": "sum"}, "score_normalization.* 'sum'"),
    ({"target_flops": 2}, "target_flops.* 2"),
]


def _ids(cases: list) -> list[str]:
    return [json.dumps(values)[:60] for values, _ in cases]


@pytest.mark.parametrize("values, pattern", ANY, ids=_ids(ANY))
@pytest.mark.parametrize("kind", ["checkpoint", "roberta"])
def test_values_that_no_model_has(kind, values, pattern, request):
    folder = request.getfixturevalue(kind)
    edit(folder, **values)
    refused(folder, pattern)


@pytest.mark.parametrize("values, pattern", LONGFORMER, ids=_ids(LONGFORMER))
@pytest.mark.parametrize("model_type", ["longformer", "ltp"])
def test_windows_that_no_longformer_has(checkpoint, model_type, values, pattern):
    edit(checkpoint, model_type=model_type, **values)
    refused(checkpoint, pattern)


@pytest.mark.parametrize("values, pattern", LTP, ids=_ids(LTP))
def test_settings_that_cannot_prune(checkpoint, values, pattern):
    edit(checkpoint, model_type="ltp", **values)
    refused(checkpoint, pattern)


@pytest.mark.parametrize("values", [
    {"pad_token_id": 1, "decision_threshold": 0.25, "truncation": "windows", "window_stride": 30},
    {"torch_dtype": "float32"}, {"dtype": "bfloat16"}, {"id2label": {"1": "b", "0": "a"}},
    {"label2id": {"a": 0, "b": 1, "c": 2}}, {"hidden_act": "gelu_new"}, {"classifier_dropout": None},
])  # fmt: skip
def test_unusual_values_that_are_right(checkpoint, roberta, values):
    for folder in (checkpoint, roberta):
        edit(folder, **values)
        load(folder)


@pytest.mark.parametrize(
    "values, pattern",
    [
        ({"model_max_length": 2}, "model_max_length 2"),
        ({"model_max_length": 0}, "model_max_length 0"),
        ({"model_max_length": -5}, "model_max_length -5"),
        ({"model_max_length": "96"}, "model_max_length '96'"),
        ({"model_max_length": 96.5}, "model_max_length 96.5"),
        ({"pad_token": None}, "no padding token"),
        ({"pad_token": "<mask>"}, "padding token has id 4, the model's 1"),
        ({"cls_token": None}, "tokenizer"),
    ],
)
def test_tokenizers_that_do_not_fit(checkpoint, values, pattern):
    edit(checkpoint, "tokenizer_config.json", **values)
    refused(checkpoint, pattern)


def test_a_tokenizer_without_a_first_token(pruned_checkpoint, tmp_path):
    folder = shutil.copytree(pruned_checkpoint, tmp_path / "pruned")
    edit(folder, "tokenizer_config.json", cls_token=None)
    refused(folder, "no cls_token")


def test_a_huge_maximum_length_of_the_tokenizer_is_right(checkpoint):
    edit(checkpoint, "tokenizer_config.json", model_max_length=10**30)
    load(checkpoint)


def test_a_tokenizer_with_more_tokens_than_the_model(checkpoint):
    content = json.loads((checkpoint / "tokenizer.json").read_text())
    content["model"]["vocab"]["zzz"] = 2000
    (checkpoint / "tokenizer.json").write_text(json.dumps(content))
    refused(checkpoint, "tokenizer has 2001 tokens and the model only 400")


@pytest.mark.parametrize("content", ['{"version": "1.0"}', '{"model": {"type": "BPE"}}', '{"model": null}', "{}"])
def test_a_tokenizer_json_that_is_none(checkpoint, content):
    (checkpoint / "tokenizer.json").write_text(content)
    refused(checkpoint, "tokenizer")


def test_values_of_every_task_are_right(checkpoint):
    for task in TASKS.values():
        load(checkpoint, task, trains=True)


@pytest.mark.parametrize("name", ["layer_norm_eps", "initializer_range", "hidden_dropout_prob", "decision_threshold"])
def test_a_number_too_large_for_a_float_is_refused(name):
    with pytest.raises(UserError, match=f"{name}.*expected a number"):
        check_values({"model_type": "ltp", name: 10**400}, "--restore x")
