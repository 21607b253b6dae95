"""Learned Token Pruning on Longformer in plain code, with which tests compare the project's models.

It computes one sequence at a time with dense `[n, n]` attention, and deletes removed tokens from the tensors. It reads
a state dict and a config dict, does not import `transformer_revised`, and follows the definition step by step. Run it
in float64. Everything is differentiable except the scores, which are constants.

Shapes: `L` columns of the batch, `n` alive tokens, `D` hidden size, `H` heads.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

Weights = Mapping[str, Tensor]


@dataclass
class DenseTrace:
    """What the model did with one sequence. Lists have one entry for each layer."""

    hidden: Tensor | None = None  # [L, D]: for a removed token its last state, for padding zeros
    states: list[Tensor] = field(default_factory=list)  # [L, D], input of each layer, zeros where not alive
    first: int = 0  # column of the first real token, which classifiers read
    real: Tensor | None = None  # [L] bool
    entered: list[int] = field(default_factory=list)  # tokens in the layer's attention
    pairs: list[int] = field(default_factory=list)  # query-key pairs of its local attention
    globals: list[int] = field(default_factory=list)  # global tokens in it
    kept: list[Tensor] = field(default_factory=list)  # [L] bool, alive after the layer
    scores: list[Tensor | None] = field(default_factory=list)  # [L], NaN if not alive; None: the layer removes nothing
    masks: list[Tensor | None] = field(default_factory=list)  # [L], soft masks, NaN and None as in `scores`
    margins: list[float] = field(default_factory=list)  # smallest distance of a token to the other decision


def linear(weights: Weights, name: str, inputs: Tensor) -> Tensor:
    return functional.linear(inputs, weights[f"{name}.weight"], weights[f"{name}.bias"])


def layer_norm(weights: Weights, name: str, inputs: Tensor, config: dict) -> Tensor:
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    return functional.layer_norm(inputs, weight.shape, weight, bias, config["layer_norm_eps"])


def embed(weights: Weights, config: dict, ids: Tensor, token_types: Tensor) -> Tensor:
    """`[L]` ids -> `[L, D]`. As in RoBERTa, positions count the ids that are not padding, from the padding id + 1."""
    padding = config["pad_token_id"]
    positions, count = [], padding
    for i in ids.tolist():
        count += i != padding
        positions.append(padding if i == padding else count)
    # The padding rows of the first two tables are not trained.
    total = (
        functional.embedding(ids, weights["embeddings.word_embeddings.weight"], padding)
        + functional.embedding(torch.tensor(positions), weights["embeddings.position_embeddings.weight"], padding)
        + functional.embedding(token_types, weights["embeddings.token_type_embeddings.weight"])
    )
    return layer_norm(weights, "embeddings.LayerNorm", total, config)


def split_heads(states: Tensor, heads: int) -> Tensor:
    """`[n, D]` -> `[H, n, D / H]`."""
    return states.unflatten(-1, (heads, -1)).transpose(0, 1)


def attend(
    weights: Weights, name: str, hidden: Tensor, columns: Tensor, is_global: Tensor, window: int, heads: int
) -> tuple[Tensor, Tensor, int]:
    """Attention among the `n` alive tokens.

    Args:
        hidden: `[n, D]`.
        columns: `[n]`, the original position of each token.
        is_global: `[n]` bool.
        window: width of the attention window, both sides together.

    Returns:
        The context `[n, D]`, the importance `[n]`, and the number of pairs of the local attention.
    """

    def projected(kind: str) -> Tensor:
        return split_heads(linear(weights, f"{name}.{kind}", hidden), heads)

    scale = math.sqrt(hidden.shape[1] / heads)
    near = (columns[:, None] - columns[None, :]).abs() <= window // 2
    allowed = near | is_global[None, :]
    logits = projected("query") @ projected("key").transpose(1, 2) / scale
    local = logits.masked_fill(~allowed, -math.inf).softmax(-1)  # [H, n, n]
    context = local @ projected("value")
    logits = projected("query_global") @ projected("key_global").transpose(1, 2) / scale
    context = torch.where(is_global[None, :, None], logits.softmax(-1) @ projected("value_global"), context)
    importance = local.detach().sum(dim=(0, 1))
    return context.transpose(0, 1).flatten(1), importance, int(allowed.sum())


def feed_forward(weights: Weights, name: str, hidden: Tensor, config: dict) -> Tensor:
    activation = {"gelu": functional.gelu, "relu": functional.relu}[config["hidden_act"]]
    inner = activation(linear(weights, f"{name}.intermediate.dense", hidden))
    return layer_norm(
        weights, f"{name}.output.LayerNorm", linear(weights, f"{name}.output.dense", inner) + hidden, config
    )


def normalized(importance: Tensor, heads: int, normalization: str) -> Tensor:
    """Scores of the `n` alive tokens."""
    if not len(importance):
        return importance
    return importance / {"max": importance.max(), "mean": heads * len(importance), "rel": heads}[normalization]


def layer_threshold(weights: Weights, config: dict, layer: int) -> Tensor | float:
    """Threshold of layer `layer`; 0 if it removes nothing."""
    if config["prune_mode"] == "threshold":
        return config["token_threshold"]
    step = layer + 1 if config.get("prune_first_layer", False) else layer
    base = config["final_token_threshold"] * step / config["num_hidden_layers"]
    if config["prune_mode"] == "rising_threshold":
        return base
    return base + weights[f"encoder.layer.{layer}.attention.self.pruner.keep_threshold"].reshape(())


def topk_rate(config: dict, layer: int) -> float | None:
    """Share of the sequence's first number of tokens that layer `layer` keeps; None if it removes nothing."""
    layers = config["num_hidden_layers"]
    before = max(3, math.ceil(0.15 * layers))
    if layer < before:
        return None
    rate = max(0.01, 1 + (config["token_keep_rate"] - 1) * (layer - before + 1) / (layers - before))
    return rate if rate < 1 else None


def keep_topk(importance: Tensor, is_global: Tensor, count: int) -> tuple[Tensor, float]:
    """Keeps the `count` tokens of highest rank and all global ones; also returns the relative gap at the cut."""
    count = min(len(importance), max(count, int(is_global.sum())))
    values = importance.tolist()
    order = sorted(range(len(values)), key=lambda j: (not is_global[j], -values[j], j))
    keep = torch.zeros(len(values), dtype=torch.bool)
    keep[order[:count]] = True
    if count in (0, len(values)) or is_global[order[count - 1]]:
        return keep, math.inf
    last, next_one = values[order[count - 1]], values[order[count]]
    return keep, (last - next_one) / last if last > 0 else 0.0


def keep_above(scores: Tensor, is_global: Tensor, threshold: float) -> tuple[Tensor, float]:
    """Keeps scores from the threshold on and all global tokens; also returns the relative distance of the closest."""
    undecided = scores[~is_global]
    gap = float(((undecided - threshold).abs() / max(abs(threshold), 1e-5)).min()) if len(undecided) else math.inf
    return (scores >= threshold) | is_global, gap


def prune(
    weights: Weights, config: dict, layer: int, importance: Tensor, is_global: Tensor, started_with: int, soft: bool
) -> tuple[Tensor, Tensor | None, Tensor | None, float]:
    """Which of the `n` alive tokens are kept, their scores, their soft mask (or None), the margin of the decision."""
    mode, heads = config["prune_mode"], config["num_attention_heads"]
    everyone = torch.ones(len(importance), dtype=torch.bool)
    nothing = everyone, None, None, math.inf
    if mode is None:
        return nothing
    if mode == "topk":
        rate = topk_rate(config, layer)
        if rate is None:
            return nothing
        keep, gap = keep_topk(importance, is_global, round(rate * started_with))
        return keep, normalized(importance, heads, "max"), None, gap
    threshold = layer_threshold(weights, config, layer)
    value = torch.as_tensor(threshold).item()
    if value == 0:
        return nothing
    learned = mode == "absolute_threshold"
    scores = normalized(importance, heads, config["score_normalization"] if learned else "max")
    if soft:
        mask = torch.sigmoid((scores - threshold) / config["temperature"])
        if not config.get("mask_global_tokens", True):
            mask = mask.where(~is_global, 1.0)
        return everyone, scores, mask, math.inf
    keep, gap = keep_above(scores, is_global, max(1e-5, value) if learned else value)
    return keep, scores, None, gap


def spread(values: Tensor, columns: Tensor, length: int) -> Tensor:
    """`[n]` -> `[L]`, NaN elsewhere."""
    return values.new_full((length,), math.nan).index_put((columns,), values)


def run_sequence(
    weights: Weights,
    config: dict,
    ids: Tensor,
    attention_mask: Tensor | None = None,
    global_attention_mask: Tensor | None = None,
    token_types: Tensor | None = None,
    soft: bool = False,
) -> DenseTrace:
    """The encoder on one sequence.

    Args:
        weights: those of the encoder, with or without the prefix "longformer.".
        config: `LTPConfig(...).to_dict()`; `attention_window` is a list.
        ids, attention_mask, global_attention_mask, token_types: `[L]`. Without masks every token is real and the first
            real one is global. A token that is not real cannot be global.
        soft: multiply by soft masks instead of removing tokens.
    """
    weights = {name.removeprefix("longformer."): tensor for name, tensor in weights.items()}
    length = len(ids)
    real = torch.ones(length, dtype=torch.bool) if attention_mask is None else attention_mask > 0
    columns = real.nonzero().flatten()
    first = int(columns[0])
    global_columns = torch.arange(length) == first if global_attention_mask is None else global_attention_mask > 0
    trace = DenseTrace(first=first, real=real)
    hidden = embed(weights, config, ids, torch.zeros_like(ids) if token_types is None else token_types)[columns]
    states = hidden.new_zeros(length, hidden.shape[1])
    for layer in range(config["num_hidden_layers"]):
        name, is_global = f"encoder.layer.{layer}", global_columns[columns]
        states = states.index_put((columns,), hidden)
        trace.states.append(torch.zeros_like(states).index_put((columns,), hidden))
        trace.entered.append(len(columns))
        trace.globals.append(int(is_global.sum()))
        context, importance, pairs = attend(
            weights,
            f"{name}.attention.self",
            hidden,
            columns,
            is_global,
            config["attention_window"][layer],
            config["num_attention_heads"],
        )
        keep, scores, mask, margin = prune(weights, config, layer, importance, is_global, trace.entered[0], soft)
        trace.pairs.append(pairs)
        trace.margins.append(margin)
        trace.scores.append(None if scores is None else spread(scores, columns, length))
        trace.masks.append(None if mask is None else spread(mask, columns, length))
        context, hidden, columns = context[keep], hidden[keep], columns[keep]
        trace.kept.append(torch.zeros(length, dtype=torch.bool).index_fill(0, columns, True))
        attended = linear(weights, f"{name}.attention.output.dense", context) + hidden
        attended = layer_norm(weights, f"{name}.attention.output.LayerNorm", attended, config)
        hidden = feed_forward(weights, name, attended, config)
        if mask is not None:
            hidden = hidden * mask[:, None]
    trace.hidden = states.index_put((columns,), hidden)
    return trace


def regularizer(traces: list[DenseTrace]) -> Tensor:
    """Sum over layers of the soft mask's mean over the real tokens of the batch, `[]`."""
    tokens = sum(int(trace.real.sum()) for trace in traces)
    masks = [mask[trace.real].sum() for trace in traces for mask in trace.masks if mask is not None]
    return sum(masks) / tokens if masks else torch.zeros((), dtype=traces[0].hidden.dtype)


# The default global tokens of the heads for which it is not the first real one.


def question_tokens(ids: Tensor, separator: int) -> Tensor:
    """Question answering, `[L]`: all before the first separator."""
    return (torch.arange(len(ids)) < ids.tolist().index(separator)).long()


def choice_tokens(ids: Tensor, separator: int) -> Tensor:
    """Multiple choice, `[L]`: all after the first separator and the one that follows it."""
    return (torch.arange(len(ids)) > ids.tolist().index(separator) + 1).long()


# Heads: from the traces of a batch to logits. A classifier reads the first real token of each sequence.


def first_states(traces: list[DenseTrace]) -> Tensor:
    return torch.stack([trace.hidden[trace.first] for trace in traces])


def pooled(weights: Weights, traces: list[DenseTrace]) -> Tensor:
    """`[B, D]`."""
    prefix = "longformer." if "longformer.pooler.dense.weight" in weights else ""
    return torch.tanh(linear(weights, f"{prefix}pooler.dense", first_states(traces)))


def sequence_logits(weights: Weights, traces: list[DenseTrace]) -> Tensor:
    """`[B, C]`."""
    return linear(
        weights, "classifier.out_proj", torch.tanh(linear(weights, "classifier.dense", first_states(traces)))
    )


def masked_lm_logits(weights: Weights, traces: list[DenseTrace], config: dict) -> Tensor:
    """`[B, L, V]`; the output embedding is the input embedding."""
    hidden = torch.stack([trace.hidden for trace in traces])
    hidden = functional.gelu(linear(weights, "lm_head.dense", hidden))
    hidden = layer_norm(weights, "lm_head.layer_norm", hidden, config)
    return functional.linear(hidden, weights["longformer.embeddings.word_embeddings.weight"], weights["lm_head.bias"])


def token_logits(weights: Weights, traces: list[DenseTrace], config: dict) -> Tensor:
    """`[B, L, C]`."""
    return linear(weights, "classifier", torch.stack([trace.hidden for trace in traces]))


def answer_logits(weights: Weights, traces: list[DenseTrace]) -> tuple[Tensor, Tensor]:
    """Where the answer starts and ends, `[B, L]` each."""
    start, end = linear(weights, "qa_outputs", torch.stack([trace.hidden for trace in traces])).unbind(-1)
    return start, end


def choice_logits(weights: Weights, traces: list[DenseTrace], choices: int) -> Tensor:
    """`[B, choices]`. `traces` holds all choices of the first question, then those of the next."""
    return linear(weights, "classifier", pooled(weights, traces)).view(-1, choices)
