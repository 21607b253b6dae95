"""The model that fine-tuning starts from: a checkpoint or random weights, a Longformer always in LTP's form."""

from typing import TYPE_CHECKING

from ltp_pipeline.checkpoints import PRUNABLE, as_ltp_config, load_config, load_weights, random_weights
from ltp_pipeline.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

    from ltp_pipeline.arguments import ModelArguments


def load_classifier(args: "ModelArguments", new_head: bool) -> "PreTrainedModel":
    """Sequence classifier of two classes for `args`.

    A Longformer becomes an LTP model that prunes nothing; an LTP model keeps its own pruning; any other is what the
    Auto class makes of it.

    Args:
        new_head: whether the classification head may start at random.

    Raises:
        UserError: no such checkpoint or configuration, one that does not fit, or a bad `--window_size`.
    """
    from transformers import AutoModelForSequenceClassification

    config = classifier_config(args)
    if args.model_name_or_path is None:
        return random_weights(config, path=args.config_name, flag="--config_name")
    return load_weights(
        AutoModelForSequenceClassification,
        args.model_name_or_path,
        flag="--model_name_or_path",
        new_head=new_head,
        config=config,
    )


def classifier_config(args: "ModelArguments") -> "PreTrainedConfig":
    """Configuration for `load_classifier`, from `--config_name` or the checkpoint. Raises UserError as that does."""
    flag = "--config_name" if args.config_name is not None else "--model_name_or_path"
    config = load_config(args.config_name or args.model_name_or_path, flag=flag)
    if config.model_type == "longformer":
        config = as_ltp_config(config, prune_mode=None)
    config.num_labels = 2
    if args.window_size is not None:
        if config.model_type not in PRUNABLE:
            raise UserError(f"--window_size: model type {config.model_type!r} has no attention window")
        if args.window_size < 2 or args.window_size % 2:
            raise UserError(f"--window_size {args.window_size}: expected an even number of tokens, half to each side")
        config.attention_window = [args.window_size] * config.num_hidden_layers
    return config
