"""Looks at the files of a checkpoint folder before anything is loaded from them.

Only safetensors and JSON (and the text files of tokenizers) are read. A pickle, such as pytorch_model.bin, is a
program that runs when it is loaded; here its first bytes are read at most.
"""

from pathlib import Path
from typing import Any

from ltp_pipeline.base.errors import UserError, printable
from ltp_pipeline.base.files import parse_json
from ltp_pipeline.base.stand_ins import stand_in

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER = "adapter_config.json"
TOKENIZER_JSON = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
)
TOKENIZER_FILES = (
    "tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.model",
)  # fmt: skip
TOKENIZER_TEXT = ("vocab.txt", "merges.txt", "spiece.model", "sentencepiece.bpe.model")
# dtypes in a safetensors file that hold weights as numbers; others belong to quantized checkpoints
DTYPES = ("F64", "F32", "F16", "BF16")
NOT_WEIGHTS = ("position_ids", "token_type_ids", "num_batches_tracked")  # buffers of integers
TO_SAFETENSORS = "python -m ltp_pipeline.to_safetensors --model_name_or_path {path} --output_dir NEW_FOLDER"
# Files by which a folder without safetensors is recognised: pattern, what they are, and what to do
FOREIGN = (
    ("adapter_*", "a PEFT adapter (LoRA)", "expected a whole model: merge the adapter and save the result"),
    ("pytorch_model*.bin", "a pickle", f"only safetensors are read: run {TO_SAFETENSORS}"),
    ("*.gguf", "a GGUF file", "expected model.safetensors"),
    ("tf_model*.h5", "weights for TensorFlow", "expected model.safetensors"),
    ("*.ckpt*", "weights for TensorFlow", "expected model.safetensors"),
    ("flax_model*.msgpack", "weights for Flax", "expected model.safetensors"),
    ("**/*.onnx", "an ONNX model", "expected model.safetensors"),
    ("rust_model.ot", "weights for Rust", "expected model.safetensors"),
    ("model-*.safetensors", "a part of a model", f"{INDEX}, which lists the parts, is missing"),
    ("*.safetensors", "a file of another name", "expected model.safetensors"),
    ("optimizer.pt", "the state of an optimizer", "model.safetensors is missing: expected a complete checkpoint"),
    ("*.pt*", "a pickle", "expected model.safetensors"),
    ("*.bin", "a pickle", "expected model.safetensors"),
    ("*.pkl", "a pickle", "expected model.safetensors"),
    ("tokenizer*", "a file of a tokenizer", "expected a model, with config.json and model.safetensors"),
)


def check_model_files(folder: Path, where: str) -> None:
    """Raises UserError, which begins with `where`, unless `folder` holds a model that can be loaded.

    Reads config.json, the index of the parts, and the header of each part, not the weights themselves.
    """
    check_text(folder / CONFIG, where)
    if (folder / ADAPTER).is_file():
        raise UserError(
            f"{where}: {ADAPTER} makes this a PEFT adapter (LoRA); expected a whole model: merge the adapter "
            "(merge_and_unload) and save the result"
        )
    if any(folder.glob("shard-*-model-*.safetensors")):
        raise UserError(f"{where}: holds the parts of a distributed training; expected one {WEIGHTS}")
    if (folder / WEIGHTS).is_file():
        check_weights(folder / WEIGHTS, where)
    elif (folder / INDEX).is_file():
        _check_parts(folder, where)
    else:
        raise UserError(f"{where}: no weights in this folder; {_what_there_is(folder, where)}")


def describe_folder(folder: Path, where: str) -> str:
    """The end of a message about a folder without config.json: what it holds instead, and what to do."""
    steps = [path.parent for path in folder.glob(f"checkpoint-*/{CONFIG}") if path.parent.name[11:].isdigit()]
    if steps:
        return f"did you mean {max(steps, key=lambda step: int(step.name[11:]))}?"
    inner = next(iter(sorted(folder.glob(f"**/{CONFIG}"))), None)
    if inner is not None:
        return f"did you mean {inner.parent}?"
    return _what_there_is(folder, where)


def check_tokenizer_files(folder: Path, where: str) -> None:
    """Raises UserError, which begins with `where`, if a file of a tokenizer is none, such as a Git LFS pointer."""
    for name in TOKENIZER_JSON:
        if (folder / name).is_file():
            read_json(folder / name, where)
    for name in TOKENIZER_TEXT:
        if (folder / name).is_file():
            check_text(folder / name, where)


def read_json(path: Path, where: str) -> dict[str, Any]:
    """Returns the object in a JSON file. Raises UserError, which begins with `where`, if it holds none."""
    check_text(path, where)
    try:
        values = parse_json(path.read_bytes().decode("utf-8"))
    except UnicodeDecodeError as error:
        encoding = "UTF-16" if path.read_bytes()[:2] in (b"\xff\xfe", b"\xfe\xff") else "another encoding"
        raise UserError(f"{where}: {path.name} is in {encoding}; expected JSON in UTF-8") from error
    except ValueError as error:
        raise UserError(f"{where}: {path.name} is not well-formed JSON: {error}") from error
    if not isinstance(values, dict):
        kind = type(values).__name__
        raise UserError(f"{where}: {path.name} holds a JSON {kind}; expected one JSON object")
    return values


def check_text(path: Path, where: str) -> None:
    """Raises UserError, which begins with `where`, if a file is missing, empty, a Git LFS pointer or a web page."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise UserError(f"{where}: {path.name} cannot be read: {error.strerror}") from error
    wrong = _placeholder(start)
    if wrong:
        raise UserError(f"{where}: {path.name} {wrong}")


def check_weights(path: Path, where: str) -> set[str]:
    """Checks the header of a safetensors file and returns the names of its weights. Its weights are not read.

    Raises UserError, which begins with `where`, if it is cut off or not in this format, or holds no floating-point
    numbers.
    """
    from safetensors import SafetensorError, safe_open

    check_text(path, where)
    try:
        with safe_open(path, framework="pt") as file:  # compares the length of the file with the header
            dtypes = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118  not a dict
    except (SafetensorError, OSError, ValueError) as error:
        if _is_pickle(path):
            raise UserError(
                f"{where}: {path.name} is a pickle, not safetensors; name it pytorch_model.bin and run "
                + TO_SAFETENSORS.format(path=path.parent)
            ) from error
        raise UserError(
            f"{where}: {path.name} is cut off or damaged ({path.stat().st_size} bytes; {printable(str(error))}); "
            "expected a whole "
            "safetensors file: copy or download it again"
        ) from error
    for name, dtype in dtypes.items():
        if dtype not in DTYPES and not name.endswith(NOT_WEIGHTS):
            raise UserError(
                f"{where}: {path.name}: {printable(name)} has dtype {dtype}, as in a quantized checkpoint; expected "
                f"{', '.join(DTYPES)}"
            )
    if not dtypes:
        raise UserError(f"{where}: {path.name} holds no weights; expected those of a whole model")
    return set(dtypes)


def _is_pickle(path: Path) -> bool:
    """Whether a file begins as torch.save or pickle writes it: a zip archive, or a pickle of protocol 2 to 5."""
    with path.open("rb") as file:
        start = file.read(4)
    return start == b"PK\x03\x04" or (start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05")


def _check_parts(folder: Path, where: str) -> None:
    """Checks the index of a model in several parts, and the header of each part."""
    index = read_json(folder / INDEX, where)
    parts = index.get("weight_map")
    if not isinstance(parts, dict) or not parts or not all(isinstance(name, str) for name in parts.values()):
        raise UserError(f'{where}: {INDEX} has no "weight_map"; expected the file name of each weight')
    for name in sorted(set(parts.values())):
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise UserError(
                f"{where}: {INDEX} names {printable(name)!r}; expected safetensors files in the same folder"
            )
        if not (folder / name).is_file():
            raise UserError(f"{where}: {printable(name)} is missing, which {INDEX} names; copy or download it")
        stored = check_weights(folder / name, where)
        lost = sorted(weight for weight, part in parts.items() if part == name and weight not in stored)
        if lost:
            raise UserError(
                f"{where}: {name} lacks {len(lost)} weights that {INDEX} expects there ({printable(lost[0])}, ...); "
                "expected the parts of one model"
            )


def _what_there_is(folder: Path, where: str) -> str:
    """What a folder holds in place of a model, and what to do."""
    broken = _broken_link(folder)
    if broken:
        return broken
    path = where.partition(" ")[2]
    for pattern, what, advice in FOREIGN:
        found = next(iter(sorted(folder.glob(pattern))), None)
        if found is not None and found.is_file():
            with found.open("rb") as file:
                wrong = _placeholder(file.read(512))
            return f"{found.name} {wrong}" if wrong else f"{found.name} is {what}; {advice.format(path=path)}"
    return f"expected {WEIGHTS} beside {CONFIG}, as in the output folder of a stage that has finished"


def _placeholder(start: bytes) -> str | None:
    """What is wrong with a file that begins with `start`, as the end of a message; None if nothing is seen."""
    if what := stand_in(start):
        return f"is {what}"
    if start.startswith((b"\x1f\x8b", b"7z\xbc\xaf")):
        return "is compressed; unpack it first"
    if not start:
        return "is empty; copy or download it again"
    return None


def _broken_link(folder: Path) -> str | None:
    """The name of a link in `folder` whose file is missing, as in a copied cache of the hub; None if there is none."""
    links = (path for path in sorted(folder.iterdir()) if path.is_symlink() and not path.exists())
    link = next(links, None)
    return None if link is None else f"{link.name} is a link to a file that is missing; copy the files, not the links"
