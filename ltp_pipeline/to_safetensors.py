"""Writes the weights of a checkpoint that are a pickle (pytorch_model.bin) as safetensors, in a new folder.

    python -m ltp_pipeline.to_safetensors --model_name_or_path FOLDER_OR_HUB_NAME --output_dir NEW_FOLDER

All other commands read only safetensors and JSON. A pickle is a program that runs when it is loaded. This command
reads it with torch's reader for weights only, which executes nothing, and refuses a pickle that holds anything else.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers.hf_argparser import HfArg

from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.flags import parse_arguments
from ltp_pipeline.base.next_commands import fine_tuning_of, show_next

if TYPE_CHECKING:
    import torch

FLAG = "--model_name_or_path"
PICKLES = "pytorch_model*.bin"


@dataclass
class PickleArguments:
    """Which checkpoint is read, and where the result is written."""

    model_name_or_path: str = HfArg(help="Folder or hub name of a checkpoint whose weights are a pickle.")
    output_dir: Path = HfArg(help="New folder for model.safetensors, config.json and the files of the tokenizer.")


def to_safetensors(path: str | Path, output_dir: Path) -> int:
    """Writes the checkpoint at `path` to the new folder `output_dir`, and returns the number of its weights.

    Raises UserError if there is no such checkpoint, its pickle holds anything but weights, or `output_dir` is neither
    new nor empty.
    """
    from huggingface_hub import save_torch_state_dict

    from ltp_pipeline.base.result_folder import check_new_folder, new_folder
    from ltp_pipeline.model.checkpoint_files import CONFIG, TOKENIZER_FILES, WEIGHTS, read_json
    from ltp_pipeline.model.config_values import check_values

    check_new_folder(output_dir)
    folder, where = _folder(path), f"{FLAG} {path}"
    if not (folder / CONFIG).is_file():
        raise UserError(f"{where}: no {CONFIG} in this folder; expected a checkpoint")
    check_values(read_json(folder / CONFIG, where), where)
    if (folder / WEIGHTS).is_file():
        raise UserError(f"{where}: already holds {WEIGHTS}; expected a checkpoint that has only a pickle")
    pickles = sorted(folder.glob(PICKLES))
    if not pickles:
        raise UserError(f"{where}: no {PICKLES} in this folder; expected a checkpoint whose weights are a pickle")
    weights: dict[str, torch.Tensor] = {}
    for pickle in pickles:
        weights |= read_weights(pickle, where)
    with new_folder(output_dir) as result:
        save_torch_state_dict(weights, result, metadata={"format": "pt"}, max_shard_size="100GB")
        for pattern in (CONFIG, *TOKENIZER_FILES, "README.md"):
            for file in folder.glob(pattern):
                shutil.copyfile(file, result / file.name)
    return len(weights)


def read_weights(path: Path, where: str) -> "dict[str, torch.Tensor]":
    """Reads the weights in a pickle without executing anything from it.

    Raises UserError, which begins with `where`, if the file holds anything but weights, or is cut off.
    """
    import torch

    from ltp_pipeline.model.checkpoint_files import check_text

    check_text(path, where)
    try:
        weights: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise any error
        raise UserError(
            f"{where}: {path.name} is cut off, or holds more than weights; nothing in it was executed; expected the "
            "weights of a model as torch.save writes them"
        ) from error
    if isinstance(weights, dict) and isinstance(weights.get("state_dict"), dict):
        weights = weights["state_dict"]
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in weights.items()
    ):
        raise UserError(f"{where}: {path.name} holds more than weights; expected a tensor for each name")
    return weights


def _folder(path: str | Path) -> Path:
    """The folder at `path`, or the folder with the files of the model of that name on the hub."""
    from huggingface_hub import snapshot_download

    from ltp_pipeline.base.hub import as_user_error, is_offline
    from ltp_pipeline.model.checkpoint_files import TOKENIZER_FILES
    from ltp_pipeline.model.checkpoints import HUB_NAME

    if Path(path).is_dir():
        return Path(path)
    if Path(path).exists() or not HUB_NAME.match(str(path)):
        raise UserError(f"{FLAG} {path}: no such folder; expected a checkpoint with {PICKLES}")
    patterns = ["config.json", PICKLES, "model*.safetensors", *TOKENIZER_FILES, "README.md"]
    with as_user_error(path, FLAG, "files"):
        return Path(snapshot_download(str(path), allow_patterns=patterns, local_files_only=is_offline()))


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv` (None: that of this process)."""
    (args,) = parse_arguments((PickleArguments,), argv, __doc__, command="-m ltp_pipeline.to_safetensors")
    count = to_safetensors(args.model_name_or_path, args.output_dir)
    print(f"{count} weights: {args.output_dir}/model.safetensors")
    show_next(fine_tuning_of(args.output_dir))


if __name__ == "__main__":
    run_main(main)
