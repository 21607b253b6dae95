"""Exports a classifier that prunes nothing as ONNX, and compares it with the model.

    python -m ltp_pipeline.export_onnx --model_name_or_path code_test --output_dir code_test_onnx

The folder gets model.onnx, config.json and the tokenizer. Inputs are input_ids and attention_mask, `[batch, length]`
int64 with any batch and any length of two or more up to the model's; the output is logits, `[batch, classes]` float32.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers.hf_argparser import HfArg

from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.extras import check_installed
from ltp_pipeline.base.flags import parse_arguments
from ltp_pipeline.base.result_folder import check_new_folder, new_folder
from ltp_pipeline.model.checkpoints import (
    check_checkpoint,
    check_tokenizer_fits,
    load_config,
    load_pruning_model,
    load_tokenizer,
    position_limit,
)

if TYPE_CHECKING:
    import torch

    from transformer_revised import LTPForSequenceClassification

FLAG = "--model_name_or_path"
TOLERANCE = 1e-4  # largest difference between a logit of the graph and of the model, relative to the largest logit
SHAPES = ((1, 7), (3, 33), (2, 128))  # functions and columns of the batches that are compared


@dataclass
class ExportArguments:
    """Which checkpoint is exported, and where to."""

    model_name_or_path: str = HfArg(help="Checkpoint of a classifier that prunes nothing: a folder or a hub name.")
    output_dir: str = HfArg(help="New folder for model.onnx, config.json and the tokenizer.")


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv` (None: that of this process)."""
    (args,) = parse_arguments((ExportArguments,), argv, __doc__, command="-m ltp_pipeline.export_onnx")
    difference = export_checkpoint(args.model_name_or_path, Path(args.output_dir))
    print(f"{args.output_dir}: in ONNX Runtime, logits differ from those of the model by at most {difference:.1e}")


def export_checkpoint(path: str | Path, output_dir: Path) -> float:
    """Exports the checkpoint at `path` (folder or hub name) into `output_dir`, a new folder.

    Returns the largest difference of a logit that was found.
    Raises UserError if the checkpoint prunes or cannot be loaded, a package is missing, or the graph computes
    something else.
    """
    check_installed("The export to ONNX", "onnx", "onnx", "onnxscript", "onnxruntime")
    check_new_folder(output_dir)
    check_checkpoint(path, FLAG)
    mode = getattr(load_config(path, flag=FLAG), "prune_mode", None)
    if mode is not None:
        raise UserError(
            f"{FLAG} {path}: prunes (prune_mode {mode}), so that the number of tokens in a layer depends on the text, "
            "which an exported graph cannot do; expected a checkpoint that prunes nothing, such as the result of "
            "fine-tuning"
        )
    model = load_pruning_model(path, flag=FLAG, prune_mode=None).eval()
    tokenizer = load_tokenizer(path, flag=FLAG)
    check_tokenizer_fits(tokenizer, model.config, flag=f"{FLAG} {path}")
    if getattr(model.config, "auto_map", None):  # of a self-contained checkpoint; a graph needs no code of the model
        del model.config.auto_map
    with new_folder(output_dir) as folder:
        write_onnx(model, folder / "model.onnx")
        difference = compare(model, folder / "model.onnx", path)
        model.config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return difference


def write_onnx(model: "LTPForSequenceClassification", file: Path) -> None:
    """Writes the graph of `model`, which prunes nothing, with dynamic batch and length."""
    import torch

    from ltp_pipeline.model.dense_classifier import DenseClassifier

    inputs = example_inputs(model, 2, 16)
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", min=2, max=position_limit(model.config))
    program = torch.onnx.export(
        DenseClassifier(model),
        tuple(inputs.values()),
        input_names=list(inputs),
        output_names=["logits"],
        dynamic_shapes=tuple({0: batch, 1: length} for _ in inputs),
        dynamo=True,
        verbose=False,
        external_data=False,
    )
    program.save(file)


def example_inputs(model: "LTPForSequenceClassification", batch: int, length: int) -> dict[str, "torch.Tensor"]:
    """Random tokens, `[batch, length]` int64; each row but the first has two columns of padding, if it is longer."""
    import torch

    generator, config = torch.Generator().manual_seed(0), model.config
    mask = torch.ones(batch, length, dtype=torch.long)
    mask[1:, max(1, length - 2) :] = 0
    first = config.pad_token_id + 1
    ids = torch.randint(first, config.vocab_size, (batch, length), generator=generator)
    inputs = {"input_ids": ids.where(mask > 0, config.pad_token_id), "attention_mask": mask}
    if config.type_vocab_size > 1:
        inputs["token_type_ids"] = torch.zeros_like(mask)
    return inputs


def compare(model: "LTPForSequenceClassification", file: Path, path: str | Path) -> float:
    """The largest difference between a logit of the graph in ONNX Runtime and of `model`. Raises UserError if it is
    above TOLERANCE.
    """
    import onnxruntime
    import torch

    session, largest = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"]), 0.0
    for batch, length in SHAPES:
        inputs: dict[str, Any] = example_inputs(model, batch, min(length, position_limit(model.config)))
        with torch.no_grad():
            expected = model(**inputs).logits
        (logits,) = session.run(["logits"], {name: tensor.numpy() for name, tensor in inputs.items()})
        difference = (torch.from_numpy(logits) - expected).abs().max().item()
        if not difference <= TOLERANCE * max(1.0, expected.abs().max().item()):
            raise UserError(f"{FLAG} {path}: the exported graph computes other logits (difference {difference:.1e})")
        largest = max(largest, difference)
    return largest


if __name__ == "__main__":
    run_main(main)
