"""Which way of learning to prune keeps the most accuracy at equal compute, on a task where random pruning hurts.

    python -m experiments.rankings.rankings --output_dir rankings --seeds 0 1 2

For every seed an unpruned base is trained once on [`loop_bounds`] functions. Each variant starts from it: a soft stage
(unless it has none), one common shift of all thresholds to the wanted relative FLOPs on a calibration part of the
training set (bisection), a hard stage, the same shift again, evaluation on validation. `results.jsonl` gets a line
after every variant and `table.md` the differences from the baseline over the seeds, with a 95 % interval of a
bootstrap over the pooled validation functions. With `--final` the variants named are evaluated on the test functions
instead, into `final.jsonl` and `final.md`: once, for what was chosen.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import random
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from experiments.rankings.dense_ltp import DenseOutput, Masking, dense_forward
from experiments.rankings.loop_bounds import make_split
from ltp_pipeline.base.errors import UserError, run_main
from transformer_revised.models.ltp.attention_tile_plan import padded_size
from transformer_revised.models.ltp.flops_ltp import LayerCounts, executed_flops
from transformer_revised.models.ltp.pruning_ranks import rank_loss as distillation_loss

if TYPE_CHECKING:
    from transformer_revised import LTPForSequenceClassification

BOS, PAD, EOS = 0, 1, 2
# A size and a loop's bound are one token each: so the base learns in minutes.
TOKEN = re.compile(r"\[\d+\]|< \d+|\w+|\+\+|\+=|[^\w\s]")


@dataclass(frozen=True)
class Soft:
    """How thresholds are learned. `lambda_` is a fixed weight of the published regulariser; None: a budget."""

    normalization: str = "max"
    start: str = "ramp"  # or "quantile": where the hard model already spends the target
    mask: str = "output"  # or "keys"
    lambda_: float | None = None
    held_out: bool = False
    distill: bool = False
    rank_weight: float = 0.0
    threshold_schedule: str = "linear"  # or "constant"
    temperature: tuple[float, float] = (1.0, 1.0)  # at the start and at the end, times the default
    steps_factor: float = 1.0  # 0: no soft stage


@dataclass(frozen=True)
class Variant:
    """A recipe, or a control: "unpruned", "random" or "truncate". `distill`: in the hard stage."""

    soft: Soft = Soft()
    distill: bool = False
    control: str | None = None


_MAX, _REL, _MEAN = Soft(), Soft(normalization="rel"), Soft(normalization="mean")
VARIANTS = {
    "unpruned": Variant(control="unpruned"),
    "max": Variant(_MAX),
    "random": Variant(control="random"),
    "quantile-only": Variant(replace(_MAX, start="quantile", steps_factor=0.0)),
    "rel": Variant(_REL),
    "keys": Variant(replace(_MAX, mask="keys")),
    "distill-hard": Variant(_MAX, distill=True),
    "rank-distill": Variant(replace(_MAX, rank_weight=0.3)),
    "rel-rank-distill": Variant(replace(_REL, rank_weight=0.3)),
    "held-out": Variant(replace(_MAX, held_out=True)),
    "lambda": Variant(replace(_MAX, lambda_=0.1)),
    "truncate": Variant(control="truncate"),
    "mean": Variant(_MEAN),
    "quantile-start": Variant(replace(_MAX, start="quantile")),
    "rel-quantile-only": Variant(replace(_REL, start="quantile", steps_factor=0.0)),
    "distill-both": Variant(replace(_MAX, distill=True), distill=True),
    "anneal": Variant(replace(_MAX, temperature=(3.3, 0.33))),
    "constant-rate": Variant(replace(_MAX, threshold_schedule="constant")),
}
BASELINE = "max"
# (final_token_threshold, temperature) of each normalisation; a mean score is a relative one over some 100 tokens.
RAMPS = {"max": (0.05, 0.03), "rel": (0.6, 0.1), "mean": (0.006, 0.001)}


# --- data ---


@dataclass
class Examples:
    """Token ids and labels of a split."""

    ids: list[list[int]]
    labels: list[int]

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, start: int, end: int | None) -> Examples:
        return Examples(self.ids[start:end], self.labels[start:end])

    def truncated(self, length: int) -> Examples:
        return Examples([row[:length] for row in self.ids], self.labels)


@dataclass
class Data:
    """`train` for weights, `held_out` for thresholds only, `calibration` to measure FLOPs and quantiles."""

    train: Examples
    held_out: Examples
    calibration: Examples
    validation: Examples
    test: Examples
    vocabulary_size: int


def make_data(train: int = 20000, evaluation: int = 3000, calibration: int = 200, seed: int = 0) -> Data:
    """The splits of [`loop_bounds`], encoded; the vocabulary is that of the training functions."""
    rows = {name: make_split(n, f"{seed} {name}") for name, n in _split_sizes(train, evaluation).items()}
    words = sorted({word for text, _ in rows["train"] for word in TOKEN.findall(text)})
    index = {word: i + 3 for i, word in enumerate(words)}

    def encode(name):
        ids = [[BOS, *(index[word] for word in TOKEN.findall(text)), EOS] for text, _ in rows[name]]
        return Examples(ids, [label for _, label in rows[name]])

    everything = encode("train")
    return Data(
        everything.part(0, train),
        everything.part(train, train + 1000),
        everything.part(train + 1000, train + 1000 + calibration),
        encode("validation"),
        encode("test"),
        len(words) + 3,
    )


def _split_sizes(train: int, evaluation: int) -> dict[str, int]:
    return {"train": train + 1200, "validation": evaluation, "test": evaluation}


def batches(examples: Examples, size: int, rng: random.Random | None = None) -> Iterator[tuple[torch.Tensor, ...]]:
    """`(input_ids [B, L], real [B, L] bool, labels [B])` of like length; shuffled, and without end, with an `rng`."""
    while True:
        order = list(range(len(examples)))
        if rng:
            rng.shuffle(order)
        groups = []
        for i in range(0, len(order), 32 * size):
            chunk = sorted(order[i : i + 32 * size], key=lambda j: len(examples.ids[j]))
            groups += [chunk[j : j + size] for j in range(0, len(chunk), size)]
        if rng:
            rng.shuffle(groups)
        for group in groups:
            yield (*pad([examples.ids[j] for j in group]), torch.tensor([examples.labels[j] for j in group]))
        if rng is None:
            return


def pad(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids to `[B, L]` and where they are real, `[B, L]` bool."""
    length = max(map(len, rows))
    ids = torch.tensor([row + [PAD] * (length - len(row)) for row in rows])
    return ids, ids != PAD


# --- compute ---


def soft_relative_flops(config, output: DenseOutput, real: torch.Tensor) -> torch.Tensor:
    """
    Expected relative FLOPs of a batch, `[]`, differentiable in the soft masks: products of the masks so far as the
    shares of a token that are still computed.
    """
    D, inner = config.hidden_size, config.intermediate_size
    n = real.sum(1).float()
    spent = whole = 0.0
    for alive, mask in zip(output.alive, output.masks):
        entered, stayed = alive.float().sum(1), (alive.float() * mask.float()).sum(1)
        spent = spent + _layer_cost(entered, stayed, D, inner)
        whole = whole + _layer_cost(n, n, D, inner)
    return (spent / whole).mean()


def _layer_cost(entered, stayed, D, inner):
    return 6 * entered * D * D + 4 * entered**2 * D + stayed * (2 * D * D + 4 * D * inner)


def one_block_pairs(lengths: np.ndarray) -> np.ndarray:
    """Query-key pairs computed for texts of one attention block, `[B]` int64."""
    return np.array([math.prod(padded_size(n, n)) for n in lengths.tolist()], dtype=np.int64)


def hard_counts(model, output: DenseOutput, real: torch.Tensor) -> list[LayerCounts]:
    """What a hard pass executed, per sequence, as [`FlopsMeter`] would count it for texts of one attention block."""
    entered = [alive.sum(1).numpy() for alive in output.alive]
    stayed = [(alive & mask).sum(1).numpy() for alive, mask in zip(output.alive, output.masks)]
    one = np.ones(len(real), dtype=np.int64)
    layers = [LayerCounts(n, m, one_block_pairs(n), one) for n, m in zip(entered, stayed)]
    return [*layers, LayerCounts(stayed[-1], one, 0 * one, one)]


@dataclass
class Measured:
    """A hard evaluation: logits `[n, 2]`, labels `[n]`, and FLOPs relative to no pruning and no truncation."""

    logits: np.ndarray
    labels: np.ndarray
    relative_flops: float
    kept: list[float]

    @property
    def correct(self) -> np.ndarray:
        return self.logits.argmax(1) == self.labels


@torch.no_grad()
def evaluate(model, examples: Examples, masking: Masking, whole: Examples | None = None) -> Measured:
    """`whole`: the texts before truncation, whose unpruned FLOPs are the base."""
    model.eval()
    logits, labels, spent, kept = [], [], 0, 0
    for ids, real, y in batches(examples, 100):
        with torch.autocast("cpu", torch.bfloat16, enabled=model.bf16):
            output = dense_forward(model, ids, real, masking)
        logits.append(output.logits.float().numpy())
        labels.append(y.numpy())
        spent += executed_flops(model.config, hard_counts(model, output, real)).sum()
        kept += np.array([mask.logical_and(a).sum().item() for a, mask in zip(output.alive, output.masks)])
    base = _unpruned([len(row) for row in (whole or examples).ids], model.config)
    return Measured(np.concatenate(logits), np.concatenate(labels), spent / base, (kept / len(examples)).tolist())


def _unpruned(lengths: list[int], config) -> int:
    n, one = np.array(lengths), np.ones(len(lengths), dtype=np.int64)
    layers = [LayerCounts(n, n, one_block_pairs(n), one)] * (config.num_hidden_layers - 1)
    return executed_flops(config, [*layers, LayerCounts(n, one, 0 * n, one)]).sum()


def pruners(model) -> list:
    """Of the layers that prune: all but the last, of which the first token is all that is read."""
    return model.pruners()[:-1]


def shift_to(model, target: float, examples: Examples, masking: Masking, tolerance: float = 0.003) -> float:
    """
    Adds one number to all thresholds such that the relative FLOPs on `examples` are within `tolerance` of `target`;
    returns it. Bracketed by doubling; then four interpolations, then bisection.

    Raises:
        UserError: fewer FLOPs than the first layer alone takes are wanted.
    """
    learned = [p.keep_threshold for p in pruners(model)]
    start = [k.item() for k in learned]

    def excess(shift):
        for k, s in zip(learned, start):
            k.data.fill_(s + shift)
        return evaluate(model, examples, masking).relative_flops - target

    width = 0.1 if masking.mode == "random" else RAMPS[pruners(model)[0].normalization][1]
    ends = {0.0: excess(0.0)}  # shift: FLOPs above the target
    shift = 0.0
    while len({e > 0 for e in ends.values()}) == 1:
        shift, width = shift + (width if ends[shift] > 0 else -width), 2 * width
        ends[shift] = excess(shift)
        if len(ends) > 30:
            raise UserError(f"--targets {target}: no thresholds give that; the first layer always reads every token")
    low = max(s for s, e in ends.items() if e > 0)
    high = min(s for s, e in ends.items() if e <= 0)
    for i in range(16):
        if abs(ends[shift]) <= tolerance:
            break
        part = min(0.8, max(0.2, ends[low] / (ends[low] - ends[high]))) if i < 4 else 0.5
        shift = low + part * (high - low)
        ends[shift] = excess(shift)
        low, high = (shift, high) if ends[shift] > 0 else (low, shift)
    return shift


@torch.no_grad()
def set_quantiles(model, target: float, examples: Examples) -> None:
    """
    Thresholds at which every layer drops the same share of the tokens that enter it, and the model spends `target`:
    layer by layer quantiles of the calibration scores, the share by bisection.
    """
    low, high = 0.0, 1.0
    for _ in range(7):
        share = (low + high) / 2
        for p in pruners(model):
            p.keep_threshold.fill_(-p.base_threshold)
        for i, p in enumerate(pruners(model)):
            p.keep_threshold.fill_(quantile_of_alive(model, examples, i, share) - p.base_threshold)
        spent = evaluate(model, examples, Masking("hard")).relative_flops
        low, high = (share, high) if spent > target else (low, share)


@torch.no_grad()
def quantile_of_alive(model, examples: Examples, layer: int, share: float) -> float:
    """Quantile of the scores of the tokens that enter layer `layer` of the hard model."""
    model.eval()
    scores = []
    for ids, real, _ in batches(examples, 100):
        with torch.autocast("cpu", torch.bfloat16, enabled=model.bf16):
            output = dense_forward(model, ids, real, Masking("hard"))
        scores.append(output.scores[layer][output.alive[layer]])
    return torch.quantile(torch.cat(scores), share).item()


# --- training ---


@dataclass
class Budget:
    """Sizes of everything, so that a test can run it in seconds."""

    train: int = 20000
    evaluation: int = 3000
    calibration: int = 200
    hidden_size: int = 64
    base_steps: int = 3000
    soft_steps: int = 160
    hard_steps: int = 100
    batch_size: int = 32
    base_learning_rate: float = 1e-3
    learning_rate: float = 3e-4


def new_model(data: Data, budget: Budget, seed: int) -> LTPForSequenceClassification:
    """4 layers, 4 heads, a window that reaches every token of these texts."""
    from transformer_revised import LTPConfig, LTPForSequenceClassification  # when --help has been shown

    torch.manual_seed(seed)
    config = LTPConfig(
        vocab_size=data.vocabulary_size,
        hidden_size=budget.hidden_size,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=4 * budget.hidden_size,
        attention_window=256,
        max_position_embeddings=200,
        type_vocab_size=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        bos_token_id=BOS,
        pad_token_id=PAD,
        eos_token_id=EOS,
        sep_token_id=EOS,
    )
    model = LTPForSequenceClassification(config)
    # bfloat16 where the machine multiplies it fast
    model.bf16 = any(getattr(torch.cpu, f"_is_{name}_supported", bool)() for name in ("avx512_bf16", "amx_tile"))
    return model


def optimizer_of(model, learning_rate: float, threshold_rate: float) -> torch.optim.Optimizer:
    thresholds = [p.keep_threshold for p in pruners(model)]
    own = {id(t) for t in thresholds}
    weights = [p for p in model.parameters() if id(p) not in own]
    groups = [
        {"params": weights, "lr": learning_rate, "weight_decay": 0.01},
        {"params": thresholds, "lr": threshold_rate, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups)


def train(model, examples: Examples, steps: int, rate: float, masking: Masking, budget: Budget, seed: int,
          teacher=None, warmup: float = 0.1) -> None:  # fmt: skip
    """Trains the weights alone, hard or unpruned, with [`task_loss`]."""
    for p in pruners(model):
        p.keep_threshold.requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate, weight_decay=0.01)
    stream = batches(examples, budget.batch_size, random.Random(seed))
    model.train()
    for step, (ids, real, labels) in zip(range(steps), stream):
        _set_rate(optimizer.param_groups[0], rate, step, steps, warmup)
        with torch.autocast("cpu", torch.bfloat16, enabled=model.bf16):
            output = dense_forward(model, ids, real, masking)
        _step(model, optimizer, task_loss(output.logits, labels, teacher, ids, real))


def task_loss(logits, labels, teacher, ids, real) -> torch.Tensor:
    """Cross-entropy; with a teacher its mean with the KL divergence at temperature 2 (Hinton et al. 2015), times 4."""
    loss = F.cross_entropy(logits.float(), labels)
    if teacher is None:
        return loss
    wanted = F.log_softmax(teach(teacher, ids, real).logits.float() / 2, dim=-1)
    given = F.log_softmax(logits.float() / 2, dim=-1)
    return (loss + 4 * F.kl_div(given, wanted, log_target=True, reduction="batchmean")) / 2


@torch.no_grad()
def teach(teacher, ids, real) -> DenseOutput:
    with torch.autocast("cpu", torch.bfloat16, enabled=teacher.bf16):
        return dense_forward(teacher, ids, real, Masking())


def _set_rate(group, rate, step, steps, warmup=0.1):
    group["lr"] = rate * min((step + 1) / max(warmup * steps, 1), (steps - step) / max((1 - warmup) * steps, 1))


def _step(model, optimizer, loss):
    loss.backward()
    torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.grad is not None], 1.0)
    optimizer.step()
    optimizer.zero_grad()


def score_range(model, examples: Examples) -> float:
    """Between the 10 % and the 90 % quantile of the layers' scores, mean over layers."""
    layers = range(len(pruners(model)))
    few = examples.part(0, 100)
    return float(
        np.mean([quantile_of_alive(model, few, i, 0.9) - quantile_of_alive(model, few, i, 0.1) for i in layers])
    )


def soft_stage(model, data: Data, recipe: Soft, target: float, budget: Budget, teacher, seed: int) -> None:
    """Learns weights and thresholds with soft masks, towards `target` (a ramp over the first 60 % of the steps)."""
    steps = round(budget.soft_steps * recipe.steps_factor)
    temperature = RAMPS[recipe.normalization][1]
    threshold_rate = 2 * score_range(model, data.calibration) / max(steps, 1)
    for p in pruners(model):
        p.keep_threshold.requires_grad_(True)
    optimizer = optimizer_of(model, budget.learning_rate, threshold_rate)
    weights, thresholds = optimizer.param_groups
    stream = batches(data.train, budget.batch_size, random.Random(seed))
    held_out = batches(data.held_out, budget.batch_size, random.Random(seed + 1))
    running = 1.0
    model.train()
    for step, (ids, real, labels) in zip(range(steps), stream):
        _set_rate(weights, budget.learning_rate, step, steps)
        left = (steps - step) / steps if recipe.threshold_schedule == "linear" else 0.5  # the same way in all
        thresholds["lr"] = threshold_rate * left
        first, final = recipe.temperature
        masking = Masking(recipe.mask, temperature * first * (final / first) ** (step / steps))
        wanted = target if recipe.start == "quantile" else 1 - (1 - target) * min(1, step / (0.6 * steps))
        output, loss = _soft_loss(model, recipe, masking, ids, real, labels, teacher)
        if recipe.held_out:
            _step_only(model, optimizer, loss, thresholds["params"], freeze=True)
            ids, real, labels = next(held_out)
            output, loss = _soft_loss(model, replace(recipe, rank_weight=0.0), masking, ids, real, labels, teacher)
        if recipe.lambda_ is not None:
            loss = loss + recipe.lambda_ * sum((m.sum() / real.sum()) for m in output.masks)
        else:
            running = 0.9 * running + 0.1 * _hard_share(model, output, real)
            weight = min(20.0, max(-2.0, 20 * (running - wanted)))
            loss = loss + weight * soft_relative_flops(model.config, output, real)
        if recipe.held_out:
            _step_only(model, optimizer, loss, thresholds["params"], freeze=False)
        else:
            _step(model, optimizer, loss)


def _soft_loss(model, recipe, masking, ids, real, labels, teacher):
    with torch.autocast("cpu", torch.bfloat16, enabled=model.bf16):
        output = dense_forward(model, ids, real, masking)
    loss = task_loss(output.logits, labels, teacher if recipe.distill else None, ids, real)
    if recipe.rank_weight:
        loss = loss + recipe.rank_weight * rank_loss(output, teach(teacher, ids, real), real)
    return output, loss


def _step_only(model, optimizer, loss, thresholds, freeze: bool) -> None:
    """A step of the weights alone (`freeze`), or of the thresholds alone."""
    loss.backward()
    own = {id(t) for t in thresholds}
    for p in model.parameters():
        if (id(p) in own) == freeze:
            p.grad = None
    torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.grad is not None], 1.0)
    optimizer.step()
    optimizer.zero_grad()


def rank_loss(output: DenseOutput, teacher: DenseOutput, real: torch.Tensor) -> torch.Tensor:
    """Ranking distillation as `--rank_distillation` has it, `[]`."""
    return distillation_loss((*output.scores, None), teacher.importance, real).mean()


def _hard_share(model, output: DenseOutput, real: torch.Tensor) -> float:
    """Relative FLOPs if every layer dropped the tokens below its threshold."""
    alive, hard = real, DenseOutput(output.logits)
    for p, scores in zip(pruners(model), output.scores):
        mask = scores >= p.threshold
        mask[:, 0] = True
        hard.alive.append(alive)
        hard.masks.append(mask)
        alive = alive & mask
    return soft_relative_flops(model.config, hard, real).item()


# --- variants ---


def prepare_pruners(model, normalization: str, final: float | None = None) -> None:
    """Ramp start: `final_token_threshold * layer / num_layers`, as a checkpoint before its soft stage has it."""
    final = RAMPS[normalization][0] if final is None else final
    for i, pruner in enumerate(model.pruners()):
        pruner.normalization = normalization
        pruner.base_threshold = final * i / model.config.num_hidden_layers
        pruner.keep_threshold.data.zero_()


def run_variant(base, name: str, data: Data, target: float, budget: Budget, seed: int, soft_models: dict) -> tuple:
    """Trains a variant; returns the model, the masking it is evaluated with, and the texts' greatest length."""
    variant = VARIANTS[name]
    steps = budget.soft_steps + budget.hard_steps
    model = copy.deepcopy(base)
    if variant.control == "unpruned":
        train(model, data.train, steps, budget.learning_rate, Masking(), budget, seed)
        return model, Masking(), None
    if variant.control == "truncate":
        length = truncation_length(model, data.calibration, target)
        train(model, data.train.truncated(length), steps, budget.learning_rate, Masking(), budget, seed)
        return model, Masking(), length
    masking = Masking("random" if variant.control == "random" else "hard")
    if variant.control == "random":
        prepare_pruners(model, "rel", final=0.0)  # the same share of tokens in every layer
        shift_to(model, target, data.calibration, masking)
        train(model, data.train, steps, budget.learning_rate, masking, budget, seed)
        shift_to(model, target, data.calibration, masking)
        return model, masking, None
    recipe, hard_steps = variant.soft, budget.hard_steps
    if recipe not in soft_models:
        prepare_pruners(model, recipe.normalization)
        if recipe.start == "quantile":
            set_quantiles(model, target, data.calibration.part(0, 100))
        soft_stage(model, data, recipe, target, budget, base, seed)
        soft_models[recipe] = model
    model = copy.deepcopy(soft_models[recipe])
    if recipe.steps_factor == 0:
        hard_steps = steps
    shift_to(model, target, data.calibration, masking, tolerance=0.01)
    teacher = base if variant.distill else None
    train(model, data.train, hard_steps, budget.learning_rate, masking, budget, seed + 1, teacher)
    shift_to(model, target, data.calibration, masking)
    return model, masking, None


def truncation_length(model, examples: Examples, target: float) -> int:
    """The length after which texts are cut to spend `target`."""
    whole = _unpruned([len(row) for row in examples.ids], model.config)
    lengths = range(2, 200)
    spent = [_unpruned([min(len(row), n) for row in examples.ids], model.config) / whole for n in lengths]
    return lengths[int(np.argmin(np.abs(np.array(spent) - target)))]


def run_one(
    base, name: str, data: Data, target: float, budget: Budget, seed: int, soft_models: dict, split: str = "validation"
) -> dict:
    """A line of `results.jsonl`."""
    start = time.monotonic()
    random.seed(seed)
    torch.manual_seed(seed)
    model, masking, length = run_variant(base, name, data, target, budget, seed, soft_models)
    measured = evaluate_variant(model, getattr(data, split), masking, length)
    return {
        "variant": name,
        "seed": seed,
        "target": target,
        "accuracy": float(measured.correct.mean()),
        "relative_flops": measured.relative_flops,
        "kept": [round(k, 1) for k in measured.kept],
        "thresholds": [round(p.threshold.item(), 5) for p in pruners(model)],
        "seconds": round(time.monotonic() - start, 1),
        "correct": "".join(map(str, measured.correct.astype(int))),
    }


def evaluate_variant(model, examples: Examples, masking: Masking, length: int | None) -> Measured:
    """`length`: where texts are cut, if they are."""
    return evaluate(model, examples.truncated(length) if length else examples, masking, examples)


def base_model(data: Data, budget: Budget, seed: int, folder: Path):
    """The unpruned model every variant of `seed` starts from; kept in `folder`."""
    model = new_model(data, budget, seed)
    prepare_pruners(model, "rel")
    path = folder / f"base_{seed}.pt"
    if path.exists():
        model.load_state_dict(torch.load(path))
    else:
        train(model, data.train, budget.base_steps, budget.base_learning_rate, Masking(), budget, seed)
        torch.save(model.state_dict(), path)
    accuracy = evaluate(model, data.validation, Masking()).correct.mean()
    print(f"base of seed {seed}: accuracy {100 * accuracy:.1f}", flush=True)
    return model


def paired_difference(rows: list[dict], baseline: list[dict], draws: int = 2000) -> tuple[float, float, float]:
    """
    Mean difference in accuracy from the baseline of the same seeds, in points, and its 95 % interval: bootstrap over
    the functions, each with its mean over the seeds.
    """
    reference = {row["seed"]: row for row in baseline}
    pairs = [(row, reference[row["seed"]]) for row in rows if row["seed"] in reference]
    per_function = np.mean([_right(a) - _right(b) for a, b in pairs], axis=0)
    drawn = np.random.default_rng(0).integers(0, len(per_function), (draws, len(per_function)))
    low, high = np.percentile(per_function[drawn].mean(1), (2.5, 97.5))
    return 100 * per_function.mean(), 100 * low, 100 * high


def _right(row: dict) -> np.ndarray:
    return np.frombuffer(row["correct"].encode(), dtype=np.uint8).astype(float) - ord("0")


def table(rows: list[dict], target: float) -> str:
    """Markdown table of the variants at one target, best first."""
    rows = [row for row in rows if row["target"] == target]
    by_name: dict[str, list[dict]] = {}
    for row in rows:
        by_name.setdefault(row["variant"], []).append(row)
    lines = [
        f"| variant | seeds | relative FLOPs | accuracy | minus {BASELINE!r} | 95 % interval | by seed |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, own in sorted(by_name.items(), key=lambda item: -np.mean([row["accuracy"] for row in item[1]])):
        flops, accuracy = (np.mean([row[key] for row in own]) for key in ("relative_flops", "accuracy"))
        difference = interval = seeds = ""
        reference = {row["seed"]: row["accuracy"] for row in by_name.get(BASELINE, [])}
        if any(row["seed"] in reference for row in own):
            mean, low, high = paired_difference(own, by_name[BASELINE])
            difference, interval = f"{mean:+.2f}", f"{low:+.2f} to {high:+.2f}"
            shared = [row for row in own if row["seed"] in reference]
            seeds = " ".join(f"{100 * (row['accuracy'] - reference[row['seed']]):+.1f}" for row in shared)
        lines.append(
            f"| {name} | {len(own)} | {flops:.3f} | {100 * accuracy:.1f} | {difference} | {interval} | {seeds} |"
        )
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`; None: the process's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", required=True, help="results, bases, table; what is there is not redone")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), help=f"of {', '.join(VARIANTS)}")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="(default: 0 1 2)")
    parser.add_argument("--targets", nargs="+", type=float, default=[0.3], help="relative FLOPs (default: 0.3)")
    parser.add_argument("--final", action="store_true", help="evaluate on the test functions, once")
    budget = Budget()
    for name, value in asdict(budget).items():
        parser.add_argument(f"--{name}", type=type(value), default=value, help=f"(default: {value})")
    arguments = parser.parse_args(argv)
    for name in arguments.variants:
        if name not in VARIANTS:
            raise UserError(f"--variants {name}: expected one of {', '.join(VARIANTS)}")
    run(arguments, Budget(**{name: getattr(arguments, name) for name in asdict(budget)}))


def run(arguments: argparse.Namespace, budget: Budget) -> None:
    folder = Path(arguments.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    stem, split = ("final", "test") if arguments.final else ("results", "validation")
    path = folder / f"{stem}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {(row["variant"], row["seed"], row["target"]) for row in rows}
    data = make_data(budget.train, budget.evaluation, budget.calibration)
    for seed in arguments.seeds:
        base = base_model(data, budget, seed, folder)
        for target in arguments.targets:
            soft_models: dict = {}
            for name in arguments.variants:
                if (name, seed, target) in done:
                    continue
                rows.append(run_one(base, name, data, target, budget, seed, soft_models, split))
                with path.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
                shown = {key: value for key, value in rows[-1].items() if key != "correct"}
                print(json.dumps(shown), flush=True)
    text = "\n".join(f"At {t} of the FLOPs:\n\n{table(rows, t)}" for t in sorted({row["target"] for row in rows}))
    (folder / ("final.md" if arguments.final else "table.md")).write_text(text)
    print(text)


if __name__ == "__main__":
    run_main(main)
