"""The column `rank_importance`: what the teacher of a ranking computes for each token, once, before training starts.

It is kept in the cache beside the tokens, so that another run with the same data and starting model reads it.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import DataCollatorWithPadding
from transformers.models.longformer.configuration_longformer import LongformerConfig

from ltp_pipeline.base.processes import barrier, is_main
from ltp_pipeline.base.progress import progress_bar
from ltp_pipeline.data.batches import sorted_batches
from ltp_pipeline.data.tokenization import cached
from ltp_pipeline.files.file_formats import shortened
from ltp_pipeline.training.lora import merged_weights
from ltp_pipeline.training.non_finite import NotFiniteError
from ltp_pipeline.view.line_results import SHARE
from transformer_revised.models.ltp.configuration_ltp import LTPConfig
from transformer_revised.models.ltp.pruning_ranks import RANK_IMPORTANCE, TEACHERS, unpruned

if TYPE_CHECKING:
    from datasets import Dataset

    from ltp_pipeline.task.tasks import Task
    from ltp_pipeline.training.trainer import ClassifierTrainer

VERSION = 3  # increase it when a change of this code changes the importance of the same tokens
# Rows that are taught: a random share of the training data, but not fewer than this number. The pass of the teacher is
# dear, and a quarter teaches nearly as well as all rows (experiments/taught_rankings).
TAUGHT_SHARE, MIN_TAUGHT = 0.25, 300
# Values of a configuration without effect on the unpruned model in evaluation: how it prunes, names, dropout
WITHOUT_EFFECT = (
    *(set(LTPConfig.__dataclass_fields__) - set(LongformerConfig.__dataclass_fields__)),
    *("model_type", "architectures", "transformers_version", "_name_or_path", "dtype", "truncation", "window_stride"),
    "auto_map",
    *("id2label", "label2id", "hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range"),
)


class PaddedWithImportance(DataCollatorWithPadding):
    """The library's collator. It also pads the column `rank_importance` to `[B, L]` float32, with 0 at padding."""

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        importance = [row[RANK_IMPORTANCE] for row in features if RANK_IMPORTANCE in row]
        batch = super().__call__([{k: v for k, v in row.items() if k != RANK_IMPORTANCE} for row in features])
        if importance:
            padded = torch.zeros(batch["attention_mask"].shape)
            padded[batch["attention_mask"] > 0] = torch.from_numpy(np.concatenate(importance).astype(np.float32))
            batch[RANK_IMPORTANCE] = padded
        return batch


def target_of(task: Task) -> str:
    """For what a token is relevant, see [`rank_teacher_relevance.relevance`].

    Of code, class 1 is the finding: the absence of evidence has no place in a text. In GLUE each class has evidence.
    """
    if task.is_regression:
        return "absolute"
    if task.multi_label:
        return "sum"
    return "class_1" if task.reads_functions and task.num_labels == 2 else "label"


def with_importance(trainer: ClassifierTrainer, teacher: str, target: str, overwrite: bool) -> Dataset:
    """The training data of `trainer` with the column `rank_importance`, a list of float32, one for each token.

    It is 0 in the rows that are not taught, see [`taught_rows`].

    The main process computes it and writes it to the cache. The others wait, then read it.

    Args:
        trainer: its model is the teacher, without its pruning.
        teacher: in `TEACHERS`. `target`: see `target_of`.
        overwrite: whether to compute it although it is in the cache.

    Raises NotFiniteError if the model computes NaN or infinity.
    """
    from datasets import concatenate_datasets

    if not is_main():
        barrier()
        overwrite = False
    dataset, computed = trainer.train_dataset, []

    def build(**map_options: Any) -> Dataset:
        if not computed:  # the second time, the cache could not be written
            began = time.monotonic()
            computed.append(compute_importance(trainer, teacher, target))
            taught = taught_rows(len(dataset))
            tokens = int(np.asarray(dataset["length"])[taught].sum())
            what = f"ranks of {len(taught)} of {len(dataset)} rows ({tokens} tokens) by {teacher}"
            print(f"{what}: computed in {time.monotonic() - began:.1f} s", flush=True)
        return _as_dataset(computed[0], map_options)

    key = _key(trainer, teacher, target)
    column = cached(key, build, overwrite, "ranks", "computes them again")
    if is_main():
        barrier()
    return concatenate_datasets([dataset, column], axis=1)


def taught_rows(rows: int) -> np.ndarray:
    """The positions of the rows whose ranking is taught, ascending, the same for the same number of `rows`."""
    count = min(rows, max(MIN_TAUGHT, math.ceil(TAUGHT_SHARE * rows)))
    return np.sort(np.random.default_rng(0).permutation(rows)[:count])


def compute_importance(trainer: ClassifierTrainer, teacher: str, target: str) -> list[np.ndarray]:
    """The importance of the tokens of each row, `[n]` float32, computed in batches, the longest rows first."""
    dataset, args = trainer.train_dataset, trainer.args
    taught = taught_rows(len(dataset))
    lengths = np.asarray(dataset["length"])
    share = 1 if teacher == "attention" else SHARE  # gradients need the activations of all layers
    limits = args.max_eval_tokens_per_batch, args.per_device_eval_batch_size
    max_tokens, size = (limit and max(1, limit // share) for limit in limits)
    names = {"input_ids", "attention_mask", "token_type_ids", "labels"}
    rows = dataset.select_columns([name for name in dataset.column_names if name in names])
    importance = [np.zeros(length, np.float32) for length in lengths]
    options = {"total": int(lengths[taught].sum()), "unit": "tok", "unit_scale": True, "disable": not is_main()}
    with progress_bar(desc=f"ranks by {teacher}", **options) as bar, unpruned(trainer.model):
        for batch in (taught[part] for part in sorted_batches(lengths[taught], max_tokens=max_tokens, size=size)):
            inputs = trainer._prepare_inputs(trainer.data_collator([rows[i] for i in batch]))
            with trainer.accelerator.autocast():
                values = TEACHERS[teacher](trainer.model, inputs, target)
            real = (inputs["attention_mask"] > 0).cpu().numpy()
            for i, row, mask in zip(batch, values.cpu().numpy(), real, strict=True):
                importance[i] = row[mask]
            bar.update(int(lengths[batch].sum()))
    _check_finite(importance, dataset)
    return importance


def _check_finite(importance: list[np.ndarray], dataset: Dataset) -> None:
    bad = sorted({dataset[i]["row"] + 1 for i, values in enumerate(importance) if not np.isfinite(values).all()})
    if bad:
        raise NotFiniteError(
            f"--rank_distillation: the starting model computes NaN or infinity for rows {shortened(bad)} of the "
            "training data; use --dtype float32, or correct these rows"
        )


def _as_dataset(importance: list[np.ndarray], map_options: dict[str, Any]) -> Dataset:
    from datasets import Dataset, Features, List, Value

    return Dataset.from_dict({"row": range(len(importance))}).map(
        lambda batch: {RANK_IMPORTANCE: [importance[i] for i in batch["row"]]},
        batched=True,
        remove_columns=["row"],
        features=Features({RANK_IMPORTANCE: List(Value("float32"))}),
        desc="writing ranks",
        **{"new_fingerprint": "ranks", **map_options},  # otherwise the library would hash `importance`
    )


def _key(trainer: ClassifierTrainer, teacher: str, target: str) -> str:
    """A name, 32 hexadecimal digits, for the column: a hash of all that determines it."""
    config = {k: v for k, v in trainer.model.config.to_dict().items() if k not in WITHOUT_EFFECT}
    about = [VERSION, teacher, target, trainer.args.dtype, trainer.args.device.type, config]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode())
    for name, weight in sorted(merged_weights(trainer.model).items()):
        if ".pruner." not in name:
            digest.update(name.encode())
            digest.update(weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    for part in _parts(trainer.train_dataset, target):
        digest.update(part)
    return digest.hexdigest()[:32]


def _parts(dataset: Dataset, target: str) -> Iterator[bytes]:
    """The tokens of the rows and, if the target depends on them, their labels, as bytes."""
    import pyarrow

    names = ["input_ids", *(["token_type_ids"] if "token_type_ids" in dataset.column_names else [])]
    for name in [*names, *(["labels"] if target == "label" else [])]:
        for table in dataset.select_columns([name]).with_format("arrow").iter(1000):
            values = table[name].combine_chunks()
            if isinstance(values, pyarrow.ListArray):
                yield values.value_lengths().to_numpy().tobytes()
                values = values.flatten()
            yield values.to_numpy(zero_copy_only=False).tobytes()
