"""Registers `pipeline("long-text-classification")`: the library's text classification, with long texts in windows.

```python
>>> import ltp_pipeline.long_texts
>>> from transformers import pipeline
>>> classify = pipeline("long-text-classification", model="checkpoint")
>>> classify(open("long.c").read())
[{'label': 'defective', 'score': 0.97}]
```
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, TextClassificationPipeline
from transformers.pipelines import PIPELINE_REGISTRY
from transformers.pipelines.base import ChunkPipeline

import transformer_revised  # noqa: F401  makes "ltp" known
from ltp_pipeline.data.truncation import WINDOWS, Truncation, sequence_length, trained_stride
from ltp_pipeline.model.checkpoints import position_limit
from ltp_pipeline.model.window_logits import best_windows

TASK = "long-text-classification"
MAX, MEAN = "max", "mean"
NOT_TAKEN = ("padding", "stride", "truncation")  # arguments of the tokenizer that windows stand in for


class LongTextClassificationPipeline(TextClassificationPipeline, ChunkPipeline):
    """The library's pipeline, in which a text of more than `max_length` tokens is read in overlapping windows.

    It takes the same arguments, and returns the same results. `batch_size` counts windows, of one or several texts.
    Text that looks like a special token, such as `</s>` in a string, is read as text. In addition, it takes:

        max_length (`int`, *optional*): tokens that the model reads at once, with special tokens. Default: the limit of
            model and tokenizer, at most 1024.
        window_stride (`int`, *optional*): tokens between the starts of two windows. Default: that of the checkpoint's
            training, else half a window.
        combine_windows (`str`, *optional*): how the logits of windows become those of the text. `"max"`: of two
            classes, those of the window with the highest probability of class 1; of several labels, the highest logit
            of each. `"mean"`: their mean. Default: `"max"`; for more than two classes, and for numbers, `"mean"`.

    Raises ValueError for an argument out of range, and for a pair of texts.
    """

    def _sanitize_parameters(
        self,
        max_length: int | None = None,
        window_stride: int | None = None,
        combine_windows: str | None = None,
        **others: Any,
    ) -> tuple[dict, dict, dict]:
        for name in NOT_TAKEN:
            if others.pop(name, None):
                raise ValueError(
                    f"{name}: not for {TASK}, which reads all tokens of a text; expected max_length alone"
                )
        preprocessing, forward, postprocessing = super()._sanitize_parameters(**others)
        if max_length is not None:
            preprocessing["max_length"] = self._checked_length(max_length)
        if window_stride is not None:
            if window_stride < 1:
                raise ValueError(f"window_stride={window_stride}: expected 1 or more tokens")
            preprocessing["window_stride"] = window_stride
        if combine_windows is not None:
            postprocessing["combine_windows"] = self._checked_combination(combine_windows)
        return preprocessing, forward, postprocessing

    def preprocess(
        self,
        inputs: str | dict[str, str],
        max_length: int | None = None,
        window_stride: int | None = None,
        **tokenizer_kwargs: Any,
    ) -> Iterator[dict[str, Any]]:
        """Yields the inputs of the model for each window of a text, `[1, n]`, and whether it `is_last`."""
        text = inputs.get("text") if isinstance(inputs, dict) and not inputs.get("text_pair") else inputs
        if not isinstance(text, str):
            raise ValueError(f"{TASK}: expected a text, not {type(text).__name__}; pairs are for text-classification")
        options = {"split_special_tokens": True, "verbose": False, **tokenizer_kwargs}
        encoded = self.tokenizer(text, return_special_tokens_mask=True, **options)
        special = np.asarray(encoded.pop("special_tokens_mask"), dtype=bool)
        tokens = {name: np.asarray(values) for name, values in encoded.items()}
        if max_length is None:
            max_length = self._checked_length(sequence_length(None, self.model.config, self.tokenizer))
        truncation = Truncation(WINDOWS, self._stride(window_stride, max_length))
        following = truncation.readings(special, max_length)
        reading = next(following)
        while reading is not None:  # one window is made ahead: it shows whether this one is the last
            window = {name: torch.from_numpy(values[reading])[None] for name, values in tokens.items()}
            reading = next(following, None)
            yield {**window, "is_last": reading is None}

    def _forward(self, model_inputs: dict[str, Any]) -> dict[str, Any]:
        is_last = model_inputs.pop("is_last")
        return {"logits": super()._forward(model_inputs).logits, "is_last": is_last}

    def postprocess(
        self, model_outputs: Sequence[dict[str, Any]], combine_windows: str | None = None, **options: Any
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """The result for a text from the outputs for its windows, with names of the model's `id2label`."""
        logits = torch.cat([output["logits"] for output in model_outputs]).float()
        combine = combine_windows or (MAX if self._detects else MEAN)
        if combine == MEAN:
            combined = logits.mean(0)
        elif self._has_several_labels:
            combined = logits.amax(0)
        else:
            combined = logits[best_windows(logits.numpy(), np.zeros(len(logits), dtype=int))[0]]
        return super().postprocess({"logits": combined[None]}, **options)

    @property
    def _has_several_labels(self) -> bool:
        return self.model.config.problem_type == "multi_label_classification"

    @property
    def _detects(self) -> bool:
        """Whether the model looks for something that one window may show."""
        config = self.model.config
        return self._has_several_labels or (config.num_labels == 2 and config.problem_type != "regression")

    def _checked_combination(self, combine: str) -> str:
        choices = (MAX, MEAN) if self._detects else (MEAN,)
        if combine not in choices:
            reason = "" if self._detects else f"; {MAX!r} is for two classes or several labels"
            raise ValueError(f"combine_windows={combine!r}: expected {' or '.join(map(repr, choices))}{reason}")
        return combine

    def _checked_length(self, max_length: int) -> int:
        least = self.tokenizer.num_special_tokens_to_add() + 1
        most = position_limit(self.model.config)
        if max_length < least or (most is not None and max_length > most):
            expected = f"{least} or more" if most is None else f"{least} to {most}"
            raise ValueError(f"max_length={max_length}: expected {expected} tokens")
        return max_length

    def _stride(self, window_stride: int | None, max_length: int) -> int | None:
        """Tokens between the starts of two windows; None: half a window. A larger stride would skip tokens."""
        room = max_length - self.tokenizer.num_special_tokens_to_add()
        if window_stride is not None and window_stride > room:
            raise ValueError(f"window_stride={window_stride}: expected at most {room}, the tokens of a window")
        return trained_stride(self.model.config) if window_stride is None else window_stride


PIPELINE_REGISTRY.register_pipeline(
    TASK, pipeline_class=LongTextClassificationPipeline, pt_model=AutoModelForSequenceClassification, type="text"
)
# With this attribute, `save_pretrained` would copy this file into the checkpoint, and the library would then refuse to
# load the checkpoint without `trust_remote_code`, even for other tasks.
del LongTextClassificationPipeline._registered_impl
