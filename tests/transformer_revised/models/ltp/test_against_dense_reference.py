"""The models against `tests/dense_reference.py`, on about 2,900 drawn cases, which are the same in every run."""

import functools

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transformer_revised import (
    LTPForMaskedLM,
    LTPForMultipleChoice,
    LTPForQuestionAnswering,
    LTPForSequenceClassification,
    LTPForTokenClassification,
)
from transformer_revised.models.ltp.attention_tile_plan import QUERY_BLOCK

from .... import dense_reference as dense
from .drawn_cases import MAX_LENGTH, PAD, SEPARATOR, TOLERANCES, Drawn, cases

THRESHOLD_MODES = ["absolute_threshold", "rising_threshold", "threshold"]
MODES = [None, *THRESHOLD_MODES, "topk"]
DTYPES = st.sampled_from(list(TOLERANCES))
CASES = cases(range(1, MAX_LENGTH + 1))
# More than one of the model's own blocks of queries.
LONG = 3 * QUERY_BLOCK
LONG_CASES = cases(range(QUERY_BLOCK + 1, LONG + 1), block=st.just(QUERY_BLOCK), short=st.just(0))
TIED_CASES = cases([1, 2, 4, 8, 16, 32, 64], layers=st.just(2), masks=st.just("none"))


def drawn(examples: int):
    """Fixed cases: the same in every run."""
    return settings(
        max_examples=examples, derandomize=True, database=None, deadline=None, print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip


def check_hidden(it: Drawn, output) -> None:
    it.close(output.last_hidden_state, torch.stack([trace.hidden for trace in it.traces]), "hidden")


def check_hidden_states(it: Drawn, output) -> None:
    """The input of every layer; zeros for tokens removed before it."""
    assert len(output.hidden_states) == it.layers + 1
    for layer, states in enumerate(output.hidden_states[:-1]):
        it.close(states, torch.stack([trace.states[layer] for trace in it.traces]), f"input of layer {layer}")


def check_at_tokens(it: Drawn, actual: torch.Tensor, expected: torch.Tensor) -> None:
    real = torch.stack([trace.real for trace in it.traces])
    it.close(actual[real], expected[real], "logits")


def check_pruning(it: Drawn, output) -> None:
    """Scores, tokens alive and lengths of each layer."""
    for layer in range(it.layers):
        masks = output.soft_masks[layer] if output.soft_masks else None
        for name, actual, expected in (
            ("score", output.pruning_scores[layer], [trace.scores[layer] for trace in it.traces]),
            ("mask", masks, [trace.masks[layer] for trace in it.traces]),
        ):
            assert (actual is None) == (expected[0] is None), f"{name} of layer {layer}"
            if actual is not None:
                it.close(actual, torch.stack(expected), f"{name} of layer {layer}")
        kept = torch.stack([trace.kept[layer] for trace in it.traces])
        assert torch.equal(output.kept_tokens[layer], kept), f"alive after layer {layer}"
        entered = [trace.entered[layer] for trace in it.traces]
        assert output.attention_sentence_lengths[layer].tolist() == entered
        assert output.ffn_sentence_lengths[layer].tolist() == kept.sum(1).tolist()
        assert output.global_lengths[layer].tolist() == [trace.globals[layer] for trace in it.traces]
        computed, needed = output.attention_pairs[layer].tolist(), [trace.pairs[layer] for trace in it.traces]
        assert computed == needed if it.case.is_exact else all(c >= n for c, n in zip(computed, needed))


def check_encoder(it: Drawn):
    """Runs the model, checks its last states and what it removed, and returns its output."""
    output = it.run(output_pruning=True)
    check_hidden(it, output)
    check_pruning(it, output)
    return output


def check_gradients(it: Drawn, output) -> None:
    """Gradients by every parameter, of a loss that reads every state and of the regularizer."""
    hidden, expected_hidden = output.last_hidden_state, torch.stack([trace.hidden for trace in it.traces])
    by = torch.randn(hidden.shape, generator=it.generator).to(it.dtype)
    loss, expected_loss = (hidden * by).sum(), (expected_hidden * by).sum()
    if it.soft:
        expected = dense.regularizer(it.traces)
        assert (output.pruning_regularizer is None) == all(mask is None for mask in it.traces[0].masks)
        if output.pruning_regularizer is not None:
            it.close(output.pruning_regularizer, expected, "regulariser")
            loss, expected_loss = loss + 3 * output.pruning_regularizer, expected_loss + 3 * expected
    names, parameters = zip(*it.model.named_parameters())
    ours = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    leaves = [it.weights[name] for name in names]
    theirs = torch.autograd.grad(expected_loss, leaves, allow_unused=True, materialize_grads=True)
    for name, a, b in zip(names, ours, theirs):
        scale = float(b.abs().max().clamp(min=1))
        it.close(a / scale, b / scale, f"gradient of {name}")


@pytest.mark.parametrize("mode", MODES)
@given(case=CASES)
@drawn(250)
def test_evaluation(case, mode):
    it = Drawn(case, mode)
    output = it.run(output_pruning=True, output_hidden_states=True)
    check_hidden(it, output)
    check_hidden_states(it, output)
    it.close(output.pooler_output, dense.pooled(it.weights, it.traces), "pooled")
    check_pruning(it, output)
    rest = it.model.get_rest_token_indices(**it.batch)
    assert [r.tolist() for r in rest] == [trace.kept[-1].nonzero().flatten().tolist() for trace in it.traces]


@given(case=LONG_CASES, mode=st.sampled_from(MODES))
@drawn(30)
def test_evaluation_of_long_texts(case, mode):
    it = Drawn(case, mode, max_position_embeddings=LONG + PAD + 1)
    check_encoder(it)


@given(case=TIED_CASES)
@drawn(50)
def test_of_equal_tokens_the_earlier_is_kept(case):
    """Uniform attention over the whole text gives every token the same importance, bit for bit if their number is a
    power of two. Of four layers only the last removes tokens.
    """
    it = Drawn(case, "topk", ties=True, blind=True, attention_window=[2 * MAX_LENGTH] * 4)
    check_encoder(it)


@given(case=CASES)
@drawn(50)
def test_a_score_equal_to_the_threshold_is_kept(case):
    """The largest score of a sequence is exactly 1."""
    it = Drawn(case, "threshold", ties=True, token_threshold=1.0)
    check_encoder(it)


@pytest.mark.parametrize("mode", MODES)
@given(case=CASES)
@drawn(60)
def test_evaluation_in_float32(case, mode):
    it = Drawn(case, mode, torch.float32)
    check_encoder(it)


@pytest.mark.parametrize("mode", THRESHOLD_MODES)
@given(case=CASES)
@drawn(120)
def test_soft_training(case, mode):
    it = Drawn(case, mode, soft=True)
    check_gradients(it, check_encoder(it))


@pytest.mark.parametrize("mode", THRESHOLD_MODES)
@given(case=CASES)
@drawn(40)
def test_soft_training_in_float32(case, mode):
    it = Drawn(case, mode, torch.float32, soft=True)
    check_encoder(it)


@pytest.mark.parametrize("mode", MODES)
@given(case=CASES)
@drawn(60)
def test_hard_training(case, mode):
    it = Drawn(case, mode, training=True)
    output = it.run(output_pruning=True)
    check_hidden(it, output)
    check_gradients(it, output)


@pytest.mark.parametrize("soft", [False, True])
@given(case=CASES, mode=st.sampled_from(MODES), dtype=DTYPES)
@drawn(120)
def test_sequence_classification(case, mode, dtype, soft):
    """Also without further outputs, so that the last layer computes only the first token."""
    it = Drawn(case, mode, dtype, head=LTPForSequenceClassification, soft=soft and mode in THRESHOLD_MODES)
    expected = dense.sequence_logits(it.weights, it.traces)
    it.close(it.run().logits, expected, "logits")
    output = it.run(output_pruning=True)
    it.close(output.logits, expected, "logits with details")
    check_pruning(it, output)


@pytest.mark.parametrize("head", [LTPForMaskedLM, LTPForTokenClassification])
@given(case=CASES, mode=st.sampled_from(MODES), dtype=DTYPES)
@drawn(100)
def test_masked_language_modelling_and_token_classification(case, mode, dtype, head):
    it = Drawn(case, mode, dtype, head=head, default_globals=torch.zeros_like)
    logits = dense.masked_lm_logits if head is LTPForMaskedLM else dense.token_logits
    check_at_tokens(it, it.run().logits, logits(it.weights, it.traces, it.config))


@given(case=CASES, mode=st.sampled_from(MODES), dtype=DTYPES)
@drawn(100)
def test_question_answering(case, mode, dtype):
    question = functools.partial(dense.question_tokens, separator=SEPARATOR)
    it = Drawn(case, mode, dtype, head=LTPForQuestionAnswering, default_globals=question, num_labels=2)
    output = it.run()
    start, end = dense.answer_logits(it.weights, it.traces)
    check_at_tokens(it, output.start_logits, start)
    check_at_tokens(it, output.end_logits, end)


@given(case=CASES, mode=st.sampled_from(MODES), dtype=DTYPES)
@drawn(100)
def test_multiple_choice(case, mode, dtype):
    """The sequences of the batch are the choices of one question, or of two."""
    choice = functools.partial(dense.choice_tokens, separator=SEPARATOR)
    it = Drawn(case, mode, dtype, head=LTPForMultipleChoice, default_globals=choice)
    choices = case.batch // 2 if case.batch % 2 == 0 and case.seed % 2 else case.batch
    it.batch = {k: v if v is None else v.unflatten(0, (-1, choices)) for k, v in it.batch.items()}
    it.close(it.run().logits, dense.choice_logits(it.weights, it.traces, choices), "logits")
