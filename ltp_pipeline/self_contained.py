"""Adds the model's code to an LTP checkpoint, so that it can be loaded where this project is not installed.

    python -m ltp_pipeline.self_contained --model_name_or_path hard --output_dir to_share

There AutoModelForSequenceClassification.from_pretrained("to_share", trust_remote_code=True) loads it. --output_dir
gets only what others need: configuration, weights, tokenizer, model card and code. Without it the code is added in
place. The training scripts have the flag --self_contained.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from transformers.hf_argparser import HfArg

from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.flags import parse_arguments

FLAG = "--model_name_or_path"
CARD = "README.md"


@dataclass
class SelfContainedArguments:
    """Which checkpoint is read, and where the result is written."""

    model_name_or_path: Path = HfArg(help="Folder of an LTP checkpoint.")
    output_dir: Path | None = HfArg(
        default=None,
        help="New folder for the checkpoint with its code (default: the code is added to the checkpoint).",
    )


def add_code(folder: Path, output_dir: Path | None = None) -> Path:
    """Adds the model's code to the checkpoint `folder`, or to a copy of it in the new folder `output_dir`.

    Code that it already holds is replaced. config.json changes last. Returns the folder of the result.
    Raises UserError if `folder` is no checkpoint of an LTP model, or `output_dir` is neither new nor empty.
    """
    from ltp_pipeline.base.folder_lock import locked
    from ltp_pipeline.base.result_folder import check_new_folder, new_folder, place_of
    from ltp_pipeline.model.checkpoint_files import CONFIG, INDEX, TOKENIZER_FILES, read_json
    from ltp_pipeline.model.checkpoints import check_checkpoint

    if not folder.exists():
        raise UserError(f"{FLAG} {folder}: no such folder; expected an LTP checkpoint")
    check_checkpoint(folder, FLAG)
    config = read_json(folder / CONFIG, f"{FLAG} {folder}")
    if config.get("model_type") != "ltp":
        raise UserError(
            f"{FLAG} {folder}: model type {config.get('model_type')!r}; expected an LTP checkpoint: the library has "
            "the code of its own model types"
        )
    try:
        if output_dir is None:
            with locked(place_of(folder), "self_contained", replaces=False):
                _write(config, folder, folder)
            return folder
        check_new_folder(output_dir)
        with new_folder(output_dir) as result:
            for pattern in ("*.safetensors", INDEX, *TOKENIZER_FILES, "LICENSE*"):
                for file in folder.glob(pattern):
                    shutil.copyfile(file, result / file.name)
            _write(config, folder, result)
        return output_dir
    except OSError as error:
        raise UserError(f"{output_dir or folder}: cannot be written: {error.strerror}") from error


def _write(config: dict, folder: Path, target: Path) -> None:
    """Writes code, card and configuration of the checkpoint `folder` to `target`, all or none."""
    from ltp_pipeline.base.files import replaced_together, write_json
    from ltp_pipeline.model.checkpoint_files import CONFIG
    from ltp_pipeline.model.self_contained import auto_map
    from ltp_pipeline.training.how_to_load import with_code
    from transformer_revised.models.ltp.model_code import copy_code

    with replaced_together(target) as staging:
        copy_code(staging)
        if (folder / CARD).is_file():
            card = (folder / CARD).read_bytes().decode("utf-8", "surrogateescape")  # keeps what is not UTF-8
            card = with_code(card, (config.get("architectures") or [""])[0])
            (staging / CARD).write_bytes(card.encode("utf-8", "surrogateescape"))
        write_json(staging / CONFIG, {**config, "auto_map": auto_map()})


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv` (None: that of this process)."""
    (args,) = parse_arguments((SelfContainedArguments,), argv, __doc__, command="-m ltp_pipeline.self_contained")
    print(f"loads by trust_remote_code=True: {add_code(args.model_name_or_path, args.output_dir)}")


if __name__ == "__main__":
    run_main(main)
