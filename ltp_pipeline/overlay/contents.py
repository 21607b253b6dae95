"""What the overlay adds to an installed `transformers` folder: files of this project, and a block for three files."""

import hashlib
import re
import runpy
from pathlib import Path
from types import SimpleNamespace

SOURCE = Path(__file__).parents[2] / "transformer_revised"
# Not imported, because that would import Transformers, which the interpreter of this command may not have.
NAMES = SimpleNamespace(**runpy.run_path(str(SOURCE / "models/auto/ltp_names.py")))

_BEGIN = "# >>> LTP overlay, added by revise_local_transformer_package.sh and removed by its --restore >>>"
_END = "# <<< LTP overlay <<<"
_BLOCK = re.compile(rb"\n" + re.escape(_BEGIN).encode() + rb"\n.*?" + re.escape(_END).encode() + rb"\n", re.DOTALL)


def new_files() -> dict[str, bytes]:
    """Content of every file to add, by its path in the package."""
    files = [file for pattern in NAMES.COPIED for file in sorted(SOURCE.glob(pattern))]
    return {file.relative_to(SOURCE).as_posix(): file.read_bytes() for file in files}


def new_blocks() -> dict[str, bytes]:
    """The marked block to append to each file that maps names to classes, by its path in the package."""
    key = NAMES.MODEL_TYPE
    lines = {
        "auto_mappings": [f'CONFIG_MAPPING_NAMES["{key}"] = "{NAMES.CONFIG_CLASS}"'],
        "modeling_auto": [f'{table}["{key}"] = "{name}"' for table, name in NAMES.MODEL_CLASSES.values()],
        "tokenization_auto": [f'TOKENIZER_MAPPING_NAMES["{key}"] = "{NAMES.TOKENIZER_CLASS}"'],
    }
    return {
        f"models/auto/{name}.py": "\n".join(["", _BEGIN, *block, _END, ""]).encode() for name, block in lines.items()
    }


def block_in(content: bytes) -> bytes | None:
    """The marked block of a file; None without one; b"" if only one of its two marks is there."""
    if found := _BLOCK.search(content):
        return found[0]
    return b"" if _BEGIN.encode() in content or _END.encode() in content else None


def without_block(content: bytes) -> bytes:
    """The content without the marked block."""
    return _BLOCK.sub(b"", content)


def sha256(content: bytes) -> str:
    """The SHA-256 of `content` in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def hashes(contents: dict[str, bytes]) -> dict[str, str]:
    """The SHA-256 of each content."""
    return {path: sha256(content) for path, content in contents.items()}
