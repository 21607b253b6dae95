"""Small random models and batches for tests."""

import torch
from transformers import LongformerConfig, LongformerForSequenceClassification

from transformer_revised import LTPConfig, LTPForSequenceClassification

TINY = {
    "vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 64,
    "max_position_embeddings": 300, "type_vocab_size": 1, "attention_window": 16, "initializer_range": 0.3,
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "final_token_threshold": 0.3,
    "layer_norm_eps": 1e-5,
}  # fmt: skip


def tiny_config(**settings) -> LTPConfig:
    return LTPConfig(**{**TINY, **settings})


def tiny_model(seed=0, **settings) -> LTPForSequenceClassification:
    torch.manual_seed(seed)
    return LTPForSequenceClassification(tiny_config(**settings)).eval()


def longformer_twin(model, head=LongformerForSequenceClassification):
    """The library's Longformer with the same weights."""
    settings = {k: v for k, v in model.config.to_dict().items() if k in TINY and k != "final_token_threshold"}
    twin = head(LongformerConfig(**settings, num_labels=model.config.num_labels)).eval()
    twin.load_state_dict({k: v for k, v in model.state_dict().items() if "pruner" not in k})
    return twin


def random_batch(lengths, seed=0) -> dict[str, torch.Tensor]:
    """Right-padded ids of these lengths, no special token in the middle."""
    torch.manual_seed(seed)
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    ids = torch.randint(4, 64, mask.shape)
    ids[:, 0] = 0
    return {"input_ids": ids.masked_fill(~mask, 1), "attention_mask": mask.long()}
