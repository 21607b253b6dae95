"""Configuration of a Longformer that learns which tokens to remove (Learned Token Pruning)."""

from huggingface_hub.dataclasses import strict
from transformers.models.longformer.configuration_longformer import LongformerConfig

PRUNE_MODES = ("absolute_threshold", "rising_threshold", "threshold", "topk")
SCORE_NORMALIZATIONS = ("max", "mean", "rel")


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
        target_flops (`float`, *optional*):
            Budget: the relative FLOPs, above 0 and at most 1, to which [`LTPTrainer`] brings an
            `"absolute_threshold"` model in every stage.
        decision_threshold (`float`, *optional*):
            Probability of class 1 above which this project's scripts predict class 1; the model does not use it. With
            `None` they predict the more probable class.

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

    prune_mode: str | None = "absolute_threshold"
    final_token_threshold: float | int = 0.01
    token_threshold: float | int = 0.0
    token_keep_rate: float | int = 1.0
    score_normalization: str = "max"
    temperature: float | int = 1e-5
    target_flops: float | int | None = None
    decision_threshold: float | int | None = None

    def validate_pruning(self) -> None:
        """Called by `@strict`. Raises `ValueError` for a pruning setting that cannot work."""
        if self.prune_mode is not None and self.prune_mode not in PRUNE_MODES:
            modes = ", ".join(PRUNE_MODES)
            raise ValueError(f"`prune_mode` has to be None or one of {modes}, not {self.prune_mode!r}")
        if self.score_normalization not in SCORE_NORMALIZATIONS:
            raise ValueError(
                f"`score_normalization` has to be one of {', '.join(SCORE_NORMALIZATIONS)}, "
                f"not {self.score_normalization!r}"
            )
        if not self.temperature > 0:
            raise ValueError(f"`temperature` has to be positive, not {self.temperature}")
        if self.target_flops is not None and not 0 < self.target_flops <= 1:
            raise ValueError(f"`target_flops` has to be above 0 and at most 1, not {self.target_flops}")
        if self.token_keep_rate > 1:
            raise ValueError(f"`token_keep_rate` is a share of the tokens, at most 1, not {self.token_keep_rate}")

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path, **kwargs):
        """Reads the configuration of a Longformer as that of an LTP model."""
        values, kwargs = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
        if values.get("model_type") == LongformerConfig.model_type:
            values = {**values, "model_type": cls.model_type}
        return values, kwargs


__all__ = ["LTPConfig"]
