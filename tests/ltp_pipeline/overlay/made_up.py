"""A made-up `transformers` package with few files, and an interpreter that finds it."""

import hashlib
import os
import sys
from pathlib import Path

from ltp_pipeline.overlay.contents import NAMES

MAPPINGS = ("auto_mappings", "modeling_auto", "tokenization_auto")
ADDED = "models/ltp/modeling_ltp.py"
EDITED = "models/auto/modeling_auto.py"


def make_package(site: Path, version: str = "5.23.0") -> Path:
    """Three mapping files. One is compiled, has no newline at its end, and only its owner may write it."""
    auto = site / "transformers/models/auto"
    (auto / "__pycache__").mkdir(parents=True)
    for folder in (auto, auto.parent, auto.parent.parent):
        (folder / "__init__.py").write_text("")
    (auto.parent.parent / "__init__.py").write_text(f'__version__ = "{version}"\n')
    (auto / "auto_mappings.py").write_text("CONFIG_MAPPING_NAMES = {}\n")
    tables = dict.fromkeys(table for table, _ in NAMES.MODEL_CLASSES.values())
    (auto / "modeling_auto.py").write_text("\n".join(f"{table} = {{}}" for table in tables))
    (auto / "tokenization_auto.py").write_text("TOKENIZER_MAPPING_NAMES = {}\n")
    (auto / "__pycache__/modeling_auto.cpython-311.pyc").write_bytes(b"compiled before")
    (auto / "modeling_auto.py").chmod(0o640)
    os.utime(auto / "modeling_auto.py", ns=(1_000_000_007, 1_000_000_007))
    write_record(site, version)
    return site / "transformers"


def write_record(site: Path, version: str, installer: str = "pip") -> None:
    """What an installer records of the package."""
    record = site / f"transformers-{version}.dist-info"
    record.mkdir(exist_ok=True)
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: transformers\nVersion: {version}\n")
    (record / "INSTALLER").write_text(f"{installer}\n")
    paths = [path.relative_to(site) for path in sorted((site / "transformers").rglob("*.py"))]
    (record / "RECORD").write_text("".join(f"{path},sha256=,0\n" for path in paths))


def make_python(file: Path, site: Path, before: str = "") -> str:
    """An interpreter that imports the packages in `site` and no others. It runs `before` when it imports `site.py`."""
    start = file.with_name(f"{file.name}-start")
    start.mkdir(parents=True)
    imported = "import sys, sysconfig\ngetusersitepackages = lambda: '/nowhere'\n"
    (start / "site.py").write_text(f"{imported}{before}\n")
    (start / "torch.py").write_text("")
    file.write_text(f'#!/bin/sh\nPYTHONPATH="{start}:{site}" exec "{sys.executable}" -X frozen_modules=off -S "$@"\n')
    file.chmod(0o755)
    return str(file)


def snapshot(package: Path) -> dict[str, tuple]:
    """Of every file its hash, permissions, owner and the link it is; of sources in models/auto also the time."""
    found = {}
    for path in sorted(package.rglob("*")):
        status, name = path.lstat(), path.relative_to(package).as_posix()
        about = (oct(status.st_mode), status.st_uid, os.readlink(path) if path.is_symlink() else None)
        if path.is_file():
            time = status.st_mtime_ns if "models/auto/" in name and path.suffix == ".py" else 0
            found[name] = (hashlib.sha256(path.read_bytes()).hexdigest(), time, *about)
        else:
            found[name] = about
    return found
