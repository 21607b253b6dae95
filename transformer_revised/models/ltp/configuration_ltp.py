"""Configuration of a Longformer that learns which tokens to remove (Learned Token Pruning)."""

import math

from huggingface_hub.dataclasses import strict
from transformers.models.longformer.configuration_longformer import LongformerConfig

from .configuration_checks import (
    check_activation,
    check_attention_window,
    check_dtype,
    check_general_fields,
    check_ranges,
    check_value,
    one_line_errors,
)
from .model_code import copy_code

PRUNE_MODES = ("absolute_threshold", "rising_threshold", "threshold", "topk")
SCORE_NORMALIZATIONS = ("max", "mean", "rel")
RANK_TEACHERS = ("attention", "relevance", "magnitude")


@one_line_errors
@strict
class LTPConfig(LongformerConfig):
    r"""Configuration of [`LTPModel`] and its heads: the fields of [`LongformerConfig`], and how tokens are pruned.

    Args:
        prune_mode (`str`, *optional*, defaults to `"absolute_threshold"`):
            How each layer chooses the tokens it removes; `prune_modules.py` defines the modes.
            `"absolute_threshold"` learns one threshold per layer (Learned Token Pruning, Kim et al., KDD 2022).
            `"rising_threshold"` and `"threshold"` remove tokens whose importance is below a fixed fraction of the
            largest in the sequence; the fraction rises with the layer or is the same in all. `"topk"` keeps a share of
            the tokens that falls with the layer (SpAtten, Wang et al., HPCA 2021). `None` removes nothing: the model
            is a plain Longformer.
        final_token_threshold (`float`, *optional*, defaults to 0.01):
            `"absolute_threshold"` and `"rising_threshold"`: the threshold of layer `l` of `L` is
            `final_token_threshold * l / L`; `"absolute_threshold"` adds the learned offset `keep_threshold`.
        prune_first_layer (`bool`, *optional*, defaults to `False`):
            `"absolute_threshold"` and `"rising_threshold"`: whether the first layer removes tokens, too. The threshold
            is then `final_token_threshold * (l + 1) / L`. The first layer's attention still computes every token. Only
            its feed-forward part gets fewer.
        token_threshold (`float`, *optional*, defaults to 0.0):
            `"threshold"`: the threshold of every layer.
        token_keep_rate (`float`, *optional*, defaults to 1.0):
            `"topk"`: the share of a sequence's tokens that is alive after the last layer.
        score_normalization (`str`, *optional*, defaults to `"max"`):
            `"absolute_threshold"` divides a token's importance (the attention it receives, summed) by a number to get
            its score. `"max"`: the largest importance in its sequence. `"mean"`: the number of heads times the number
            of alive tokens (the LTP paper). `"rel"`: the number of heads, so that uniform attention gives scores of 1.
        temperature (`float`, *optional*, defaults to 1e-5):
            Width of the soft mask `sigmoid((score - threshold) / temperature)`, in units of the score. It is used only
            by soft masking in training mode.
        mask_global_tokens (`bool`, *optional*, defaults to `True`):
            Whether soft masking also multiplies the outputs of global tokens by their mask, as the published code
            does. Hard pruning never removes a global token. With `False` their mask is 1, as in hard pruning.
        target_flops (`float`, *optional*):
            Budget: the relative FLOPs, above 0 and at most 1, to which [`LTPTrainer`] brings an
            `"absolute_threshold"` model in every stage.
        rank_teacher (`str`, *optional*):
            How the model was taught to rank tokens (ranking distillation): by the `"attention"`, the `"relevance"` or
            the `"magnitude"` of the relevance that they have in the unpruned model. `None`: it was not taught.
            [`LTPTrainer`] sets it; the model does not use it.
        decision_threshold (`float`, *optional*):
            Probability of class 1 above which this project's scripts predict class 1; the model does not use it. With
            `None` they predict the more probable class.

    Raises `ValueError`, with name, value and what would be right, for a value of the wrong type or out of range: when
    the configuration is made, read or saved, and when a model is made from it.

    Example:

    ```python
    >>> from transformer_revised import LTPConfig, LTPForSequenceClassification

    >>> config = LTPConfig(attention_window=128, final_token_threshold=0.01)
    >>> model = LTPForSequenceClassification(config)
    ```
    """

    model_type = "ltp"
    keys_to_ignore_at_inference = [
        "attention_sentence_lengths",
        "ffn_sentence_lengths",
        "attention_pairs",
        "global_lengths",
        "pruning_regularizer",
    ]

    pad_token_id: int = 1
    prune_mode: str | None = "absolute_threshold"
    final_token_threshold: float | int = 0.01
    prune_first_layer: bool = False
    token_threshold: float | int = 0.0
    token_keep_rate: float | int = 1.0
    score_normalization: str = "max"
    temperature: float | int = 1e-5
    mask_global_tokens: bool = True
    target_flops: float | int | None = None
    rank_teacher: str | None = None
    decision_threshold: float | int | None = None

    def __post_init__(self, **kwargs):
        check_general_fields(self, kwargs.get("num_labels"))
        check_dtype(self.dtype if self.dtype is not None else kwargs.get("torch_dtype"))
        super().__post_init__(**kwargs)

    def validate_numbers(self) -> None:
        """Called by `@strict`, as all `validate_` methods. Raises ValueError for a value that no model can have."""
        check_ranges(self)
        check_attention_window(self)
        check_activation(self)

    def validate_pruning(self) -> None:
        """Raises ValueError for a pruning setting that cannot work."""
        mode, normalization = self.prune_mode, self.score_normalization
        check_value(
            mode is None or mode in PRUNE_MODES, "prune_mode", f"None or one of {', '.join(PRUNE_MODES)}", mode
        )
        check_value(
            normalization in SCORE_NORMALIZATIONS,
            "score_normalization", f"one of {', '.join(SCORE_NORMALIZATIONS)}", normalization,
        )  # fmt: skip
        check_value(
            self.rank_teacher is None or self.rank_teacher in RANK_TEACHERS,
            "rank_teacher", f"None or one of {', '.join(RANK_TEACHERS)}", self.rank_teacher,
        )  # fmt: skip
        largest = self.num_hidden_layers if normalization == "max" or mode == "rising_threshold" else math.inf
        check_value(
            self.final_token_threshold <= largest,
            "final_token_threshold", f"at most {largest} (`num_hidden_layers`), because scores are at most 1",
            self.final_token_threshold,
        )  # fmt: skip

    def save_pretrained(self, save_directory, push_to_hub: bool = False, **kwargs):
        """As the library's. If `auto_map` names the model's code, the code is saved, too.

        A model saves its configuration before it uploads its files to a hub, so that the code is uploaded with them.
        """
        super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)
        if getattr(self, "auto_map", None):
            copy_code(save_directory)

    @classmethod
    def from_dict(cls, config_dict, **kwargs):
        """As the library's. Values in `kwargs` replace those of `config_dict` before they are checked."""
        replaced = {n: v for n, v in kwargs.items() if n in cls.__dataclass_fields__ and n != "dtype"}
        result = super().from_dict({**config_dict, **replaced}, **kwargs)
        config = result[0] if isinstance(result, tuple) else result
        config.validate()
        return result

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path, **kwargs):
        """Reads the configuration of a Longformer as that of an LTP model."""
        values, kwargs = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
        if values.get("model_type") == LongformerConfig.model_type:
            values = {**values, "model_type": cls.model_type}
        return values, kwargs


__all__ = ["LTPConfig"]
