"""Features that users expect of any model of the library: lower precision, compilation, adapters."""

import copy

import pytest
import torch
from peft import LoraConfig, TaskType, get_peft_model

from .tiny import random_batch, tiny_model


@pytest.fixture(scope="module")
def model_and_batch():
    """A model whose scores differ as much as a trained model's, and 4,000 tokens."""
    return tiny_model(initializer_range=0.15, final_token_threshold=0.2), random_batch([290, 250, 280, 180] * 4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_lower_precision(model_and_batch, dtype):
    """The logits' relative error (in norm) is below 2e-2; fewer than 0.5 % of the tokens are decided differently."""
    model, batch = model_and_batch
    low = copy.deepcopy(model).to(dtype)
    exact, rough = model(**batch, output_pruning=True), low(**batch, output_pruning=True)
    assert rough.logits.dtype == dtype
    assert (rough.logits.float() - exact.logits).norm() < 2e-2 * exact.logits.norm()
    tokens = int(batch["attention_mask"].sum())
    for layer, (a, b) in enumerate(zip(exact.kept_tokens, rough.kept_tokens)):
        assert int((a ^ b).sum()) < 0.005 * tokens, layer
    assert exact.kept_tokens[1].sum() < 0.9 * tokens


@pytest.mark.parametrize("settings", [{"prune_mode": None}, {"final_token_threshold": 0.1}])
def test_compiled_outputs_are_equal(settings, recwarn):
    """The backend that needs no C++ compiler; batches of several shapes."""
    torch._dynamo.reset()
    model = tiny_model(**settings)
    compiled = torch.compile(model, backend="aot_eager")
    with torch.no_grad():
        for lengths in ([60, 33], [50, 20, 44]):
            batch = random_batch(lengths)
            torch.testing.assert_close(compiled(**batch).logits, model(**batch).logits)
    assert not [warning.message for warning in recwarn if "lru_cache" in str(warning.message)]


def test_lora_trains_adapters_alone():
    model = tiny_model().train()
    adapted = get_peft_model(
        model, LoraConfig(task_type=TaskType.SEQ_CLS, r=4, target_modules=["query", "value", "query_global"])
    )
    before = {name: p.detach().clone() for name, p in adapted.named_parameters()}
    optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=1e-2)
    batch = random_batch([40, 30])
    losses = []
    for _ in range(6):
        loss = adapted(**batch, labels=torch.tensor([0, 1])).loss
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    changed = {name for name, p in adapted.named_parameters() if not torch.equal(p, before[name])}
    assert losses[-1] < losses[0]
    assert any("lora_B" in name and "query_global" in name for name in changed)
    assert all("lora_" in name or "classifier" in name for name in changed)


def test_positions_are_read():
    model = tiny_model()
    batch = random_batch([30])
    plain = model(**batch).logits
    positions = torch.arange(2, 32)[None]
    assert torch.equal(model(**batch, position_ids=positions).logits, plain)
    assert not torch.equal(model(**batch, position_ids=positions + 1).logits, plain)


@pytest.mark.parametrize("lengths", [[1], [2], [1, 2, 1]])
def test_sequences_of_one_or_two_tokens(lengths):
    output = tiny_model()(**random_batch(lengths), output_attentions=True, output_hidden_states=True)
    assert output.logits.isfinite().all()
    assert output.attentions[0].shape == (len(lengths), 4, max(lengths), 1 + 16 + 1)
