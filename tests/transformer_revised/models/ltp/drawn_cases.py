"""Random models and batches from a seed and a few integers, with the results of `tests/dense_reference.py` for them.

`Case(...)`, which hypothesis prints on a failure, is enough to build them again. Rounding errors may decide about a
score that is very near the threshold, or very near the next score at the cut of `topk`. So cases with a relative
distance below `MARGINS` are rejected by `assume` (about 1 % in float32, almost none in float64) and replaced.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from unittest import mock

import torch
from hypothesis import assume
from hypothesis import strategies as st

from transformer_revised import LTPConfig, LTPModel
from transformer_revised.models.ltp import attention_tile_plan

from .... import dense_reference as dense

TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-4}
MARGINS = {torch.float64: 1e-7, torch.float32: 1e-4}
PAD, SEPARATOR, VOCABULARY, MAX_LENGTH = 1, 2, 24, 80


@dataclass(frozen=True)
class Case:
    seed: int
    batch: int  # sequences
    length: int  # columns
    layers: int
    heads: int
    masks: str
    globals: str
    block: int  # size of a block of queries: the model's, or smaller, so that there are more borders
    short: int  # length up to which a sequence is one block: the model's, shorter, or none

    @property
    def is_exact(self) -> bool:
        """Whether every query is a block without padding, so that only necessary pairs are computed."""
        return self.block == 1 and self.short == 0


def cases(lengths, **fields) -> st.SearchStrategy[Case]:
    # `sampled_from`, because `integers` mostly draws small numbers.
    drawn_fields = {
        "seed": st.integers(0, 2**32 - 1),
        "batch": st.sampled_from(range(1, 5)),
        "length": st.sampled_from(lengths),
        "layers": st.sampled_from(range(2, 6)),
        "heads": st.sampled_from(range(1, 5)),
        "masks": st.sampled_from(["none", "right", "left", "holes", "mixed"]),
        "globals": st.sampled_from(["default", "one", "few", "many", "none"]),
        "block": st.sampled_from([attention_tile_plan.QUERY_BLOCK, 1, 5, 32]),
        "short": st.sampled_from([attention_tile_plan.SHORT_SEQUENCE, 0, 20]),
    }
    return st.builds(Case, **{**drawn_fields, **fields})


class Drawn:
    """A model and a batch of a case, and the dense reference's results for them."""

    def __init__(
        self,
        case: Case,
        mode: str | None,
        dtype: torch.dtype = torch.float64,
        *,
        head: type = LTPModel,
        soft: bool = False,
        training: bool = False,
        default_globals: Callable[[torch.Tensor], torch.Tensor] | None = None,
        ties: bool = False,
        blind: bool = False,
        **config,
    ):
        """
        Args:
            default_globals: the head's default global tokens from the ids of a sequence, if not the first real token.
            ties: scores may be equal; do not reject the case.
            blind: the query weights are 0, so that local attention is uniform.
        """
        self.case, self.mode, self.dtype, self.soft, self.training = case, mode, dtype, soft, soft or training
        self.layers = case.layers + 2 * (mode == "topk")  # its first three layers remove nothing
        self.rng = random.Random(f"{case} {mode}")
        self.generator = torch.Generator().manual_seed(self.rng.getrandbits(63))
        self.model = self.draw_model(head, config)
        if blind:
            for name, parameter in self.model.named_parameters():
                parameter.data *= ".query." not in name
        self.batch = self.draw_batch()
        self.weights = {k: v.detach().double() for k, v in self.model.state_dict().items()}
        for weight in self.weights.values():
            weight.requires_grad_(self.training)
        self.config = self.model.config.to_dict()
        self.traces = [self.reference(i, default_globals) for i in range(case.batch)]
        if not ties:
            assume(min(min(trace.margins) for trace in self.traces) > MARGINS[dtype])

    def reference(self, i: int, default_globals: Callable | None) -> dense.DenseTrace:
        names = ("input_ids", "attention_mask", "global_attention_mask", "token_type_ids")
        ids, mask, global_mask, types = (None if self.batch.get(n) is None else self.batch[n][i] for n in names)
        if global_mask is None and default_globals is not None:
            global_mask = default_globals(ids)
        return dense.run_sequence(self.weights, self.config, ids, mask, global_mask, types, soft=self.soft)

    def draw_config(self, settings: dict) -> LTPConfig:
        case, rng = self.case, self.rng
        normalization = rng.choice(["max", "mean", "rel"])
        modes = {
            "absolute_threshold": {"final_token_threshold": rng.choice([0, 0.5, 1]) * self.draw_score(normalization)},
            "rising_threshold": {"final_token_threshold": 1.5 * self.draw_score("max")},
            "threshold": {"token_threshold": rng.choice([0, 1, 1, 1, 1]) * self.draw_score("max")},
            "topk": {"token_keep_rate": rng.choice([0, 0.5, rng.random()])},
            None: {},
        }
        temperatures = [1e-5, 1e-3, 0.03, 1.0] if self.dtype == torch.float64 else [0.1, 1.0]
        return LTPConfig(**{
            "vocab_size": VOCABULARY, "hidden_size": {1: 8, 2: 8, 3: 12, 4: 16}[case.heads], "intermediate_size": 16,
            "num_hidden_layers": self.layers, "num_attention_heads": case.heads,
            "attention_window": [rng.choice([2, 4, 6, 8, 16, 32, 200]) for _ in range(self.layers)],
            "max_position_embeddings": MAX_LENGTH + PAD + 1, "type_vocab_size": 2,
            "pad_token_id": PAD, "sep_token_id": SEPARATOR,
            "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "layer_norm_eps": 1e-5, "num_labels": 3,
            "prune_mode": self.mode, "score_normalization": normalization, "temperature": rng.choice(temperatures),
            "mask_global_tokens": rng.random() < 0.5, "prune_first_layer": self.case.seed % 3 == 1,
            **modes[self.mode], **settings,
        })  # fmt: skip

    def draw_model(self, head, settings: dict):
        config = self.draw_config(settings)
        model = head(config).to(self.dtype).train(self.training)
        model.set_hard_masking(not self.soft)
        # Sharp attention gives scores below the minimum of 1e-5. In float32 it would cost precision.
        sharpness = self.rng.choice([1, 1, 8]) if self.dtype == torch.float64 else 1
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                noise = torch.randn(parameter.shape, generator=self.generator)
                if name.endswith("keep_threshold"):
                    parameter.fill_(self.draw_threshold(config, int(name.split("layer.")[1].split(".")[0])))
                elif "LayerNorm.weight" in name or "layer_norm.weight" in name:
                    parameter.copy_(1 + 0.2 * noise)
                else:
                    parameter.copy_(0.4 * noise * (sharpness if ".query." in name else 1))
        return model

    def draw_score(self, normalization: str) -> float:
        """A typical score: "rel" about 1, "mean" about 1 / tokens, "max" anywhere below 1."""
        relative = self.rng.uniform(0.1, 1.3)
        if normalization == "max":
            return math.exp(self.rng.uniform(math.log(0.02), 0))
        return relative if normalization == "rel" else relative / (0.7 * self.case.length + 1)

    def draw_threshold(self, config: LTPConfig, layer: int) -> float:
        """A learned offset: 0, positive, or negative such that the threshold is positive, exactly 0 or negative."""
        step = layer + 1 if config.prune_first_layer else layer
        base = config.final_token_threshold * step / config.num_hidden_layers
        positive = self.draw_score(config.score_normalization)
        opposite = -base if self.dtype == torch.float64 else 0.0  # rounded to float32, the sum would not be 0
        return self.rng.choice([0.0, positive, positive, opposite * self.rng.random(), opposite, -base - 0.1])

    def draw_mask(self, kind: str) -> torch.Tensor:
        """`[L]`, at least one token."""
        rng, length = self.rng, self.case.length
        if kind == "mixed":
            kind = rng.choice(["none", "right", "left", "holes"])
        tokens = rng.randint(1, length)
        if kind in ("right", "left"):
            mask = torch.arange(length) < tokens
            return mask if kind == "right" else mask.flip(0)
        if kind == "holes":
            columns = torch.tensor(rng.sample(range(length), tokens))
            return torch.zeros(length, dtype=torch.bool).index_fill(0, columns, True)
        return torch.ones(length, dtype=torch.bool)

    def draw_globals(self) -> torch.Tensor | None:
        """`[B, L]`; also at columns that are not real, which the model must not treat as global."""
        shape = self.case.batch, self.case.length
        if self.case.globals == "default":
            return None
        mask = torch.zeros(shape, dtype=torch.long)
        for row in mask:
            if self.case.globals == "one":
                row[self.rng.randrange(len(row))] = 1
            elif self.case.globals in ("few", "many"):
                share = {"few": 0.1, "many": 0.6}[self.case.globals]
                row[torch.rand(len(row), generator=self.generator) < share] = 1
        return mask

    def draw_batch(self) -> dict:
        case, rng = self.case, self.rng
        shape = case.batch, case.length
        mask = torch.stack([self.draw_mask(case.masks) for _ in range(case.batch)])
        ids = torch.randint(VOCABULARY, shape, generator=self.generator)
        if rng.random() < 0.8:  # else padding columns hold other ids, which positions count
            ids = ids.masked_fill(~mask, PAD)
        for row, real in zip(ids, mask):  # one separator, between tokens
            row[row == SEPARATOR] = SEPARATOR + 1
            row[rng.choice(real.nonzero().flatten().tolist())] = SEPARATOR
        batch = {"input_ids": ids, "attention_mask": mask.long(), "global_attention_mask": self.draw_globals()}
        if case.masks == "none":
            del batch["attention_mask"]
        if rng.random() < 0.5:
            batch["token_type_ids"] = torch.randint(2, shape, generator=self.generator)
        return batch

    def run(self, **settings):
        sizes = {"QUERY_BLOCK": self.case.block, "SHORT_SEQUENCE": self.case.short}
        if self.case.is_exact:
            sizes |= {"QUERY_STEP": 1, "KEY_STEP": 1}
        plan = mock.patch.multiple(attention_tile_plan, **sizes)
        with plan, torch.set_grad_enabled(self.training):
            return self.model(**self.batch, **settings)

    def close(self, actual: torch.Tensor, expected: torch.Tensor, what: str = "") -> None:
        torch.testing.assert_close(
            actual.double(),
            expected.detach(),
            rtol=TOLERANCES[self.dtype],
            atol=TOLERANCES[self.dtype],
            equal_nan=True,
            msg=lambda text: f"{what}: {text}",
        )
