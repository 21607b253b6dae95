from unittest.mock import Mock

import numpy as np
import pytest
import torch

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.model.precision import chosen_dtype
from ltp_pipeline.view import kept_tokens, token_batches
from ltp_pipeline.view.encode import encode
from ltp_pipeline.view.kept_tokens import PrunedModelArguments, load_pruned_model, prune_functions
from tests.pruned_checkpoint import FUNCTIONS, MAX_LENGTH, THRESHOLDS, save_checkpoint


def load(folder, **flags):
    flags = {"model_name_or_path": str(folder), "max_length": MAX_LENGTH, "use_cpu": True, "dtype": "float32", **flags}
    return load_pruned_model(PrunedModelArguments(**flags))


def test_batches_agree_with_one_function_at_a_time(pruned_model):
    model, tokenizer = pruned_model
    functions = encode(FUNCTIONS, tokenizer, MAX_LENGTH)
    results = dict(prune_functions(model, functions, batch_size=4))
    assert sorted(results) == list(range(len(FUNCTIONS)))
    for index, function in enumerate(functions):
        input_ids = torch.from_numpy(function.input_ids).long()[None]
        alone, result = model(input_ids=input_ids, output_pruning=True), results[index]
        assert result.kept.shape == result.scores.shape == (len(THRESHOLDS), len(function))
        assert np.array_equal(result.kept, torch.stack(alone.kept_tokens).squeeze(1).numpy())
        assert np.allclose(result.logits, alone.logits[0].detach(), atol=1e-5)
        rest = model.get_rest_token_indices(input_ids=input_ids)[0]
        assert np.array_equal(np.flatnonzero(result.kept[-1]), rest)
        entered = np.concatenate([np.ones((1, len(function)), dtype=bool), result.kept[:-1]])
        assert np.array_equal(~np.isnan(result.scores), entered)
    alive = np.mean([[1.0, *result.kept.mean(axis=1)] for result in results.values()], axis=0)
    assert (np.diff(alive)[:2] < -0.1).all(), alive


def test_too_little_memory_names_the_flags_to_lower(pruned_model, monkeypatch):
    model, tokenizer = pruned_model
    error = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 137438953472 bytes.")
    monkeypatch.setattr(kept_tokens, "_prune_batch", Mock(side_effect=error))
    with pytest.raises(UserError, match="^out of memory.*--per_device_eval_batch_size.*--max_length"):
        list(prune_functions(model, encode(FUNCTIONS, tokenizer, MAX_LENGTH)))


def test_processes_share_the_batches(pruned_model, monkeypatch):
    model, tokenizer = pruned_model
    functions = encode(FUNCTIONS * 2, tokenizer, MAX_LENGTH)
    alone, shares = dict(prune_functions(model, functions, batch_size=2)), []
    monkeypatch.setattr(token_batches, "process_count", lambda: 3)
    for process in range(3):
        monkeypatch.setattr(token_batches, "process_index", lambda process=process: process)
        shares.append(dict(prune_functions(model, functions, batch_size=2)))
    assert [len(share) for share in shares] == [2, 6, 4]  # of 192, 150 and 152 tokens
    assert sorted(index for share in shares for index in share) == sorted(alone)
    for index, result in (item for share in shares for item in share.items()):
        assert np.array_equal(result.kept, alone[index].kept)
        assert np.array_equal(result.logits, alone[index].logits)


def test_a_model_with_token_types_gets_those_of_pairs(tmp_path):
    model, tokenizer = load(save_checkpoint(tmp_path, type_vocab_size=2))
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    functions = encode([("int a;", "char b;"), ("a", "b")], tokenizer, MAX_LENGTH)
    for function in functions:
        function.token_type_ids = function.is_second.astype(int)  # as BERT's tokenizer gives them
    _, pruned = next(prune_functions(model, functions, 2))
    with torch.no_grad():
        batch = tokenizer("int a;", "char b;", return_tensors="pt")
        types = torch.tensor(functions[0].is_second.astype(int))[None]
        given, zeros = (model(**{**batch, "token_type_ids": t}).logits[0] for t in (types, torch.zeros_like(types)))
    assert np.allclose(pruned.logits, given, atol=1e-5)
    assert not np.allclose(given, zeros, atol=1e-3)


def test_a_layer_that_does_not_prune_has_no_scores(pruned_checkpoint):
    model, tokenizer = load(pruned_checkpoint)
    model.learned_thresholds()[0].data.zero_()
    ((_, result),) = prune_functions(model, encode(FUNCTIONS[:1], tokenizer, MAX_LENGTH), batch_size=1)
    assert np.isnan(result.scores[0]).all() and result.kept[0].all()
    assert not np.isnan(result.scores[1]).any() and not result.kept[1].all()


@pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16"])
def test_weights_have_the_chosen_dtype_and_thresholds_are_float32(pruned_checkpoint, dtype):
    model, tokenizer = load(pruned_checkpoint, dtype=dtype)
    assert model.longformer.encoder.layer[0].output.dense.weight.dtype == chosen_dtype(dtype, None, "cpu")
    assert {offset.dtype for offset in model.learned_thresholds()} == {torch.float32}
    ((_, result),) = prune_functions(model, encode(FUNCTIONS[:1], tokenizer, MAX_LENGTH))
    assert result.scores.dtype == result.logits.dtype == np.float32


def test_a_checkpoint_that_does_not_prune_is_refused(tmp_path):
    with pytest.raises(UserError, match='"prune_mode" is null'):
        load(save_checkpoint(tmp_path, prune_mode=None))


def test_notes_on_soft_masking_and_on_thresholds_that_were_not_learned(pruned_checkpoint, tmp_path, capsys):
    model, tokenizer = load(pruned_checkpoint, masking_mode="soft")
    notes = capsys.readouterr().err
    assert "note: --masking_mode soft" in notes and "learned" not in notes
    for offset in model.learned_thresholds():
        offset.data.zero_()
    model.config.final_token_threshold = 0.25
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    load(tmp_path)
    assert "learned no thresholds; it prunes only by final_token_threshold 0.25" in capsys.readouterr().err
