"""The command behind `revise_local_transformer_package.sh`: finds the package, checks it, changes it and reports.

It parses its flags with argparse, because the interpreter that runs it need not have Transformers.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..base.errors import UserError
from . import package as overlay

TESTED_VERSIONS = ("5.17.0", "5.23.0")
_SCRIPT = "revise_local_transformer_package.sh"

_FIND = """
import importlib.metadata, importlib.util, json
spec = importlib.util.find_spec("transformers")
found = {"origin": spec.origin} if spec else {}
try:
    installed = importlib.metadata.distribution("transformers")
    found.update(installed=str(installed.locate_file("transformers")), version=installed.version)
except importlib.metadata.PackageNotFoundError:
    pass
print(json.dumps(found))
"""

_CHECK = """
import json, sys, tempfile
import transformers
names = json.loads(sys.argv[1])
for name in names["PUBLIC_NAMES"]:
    assert getattr(transformers, name).__module__.startswith("transformers."), name
config = transformers.AutoConfig.for_model(
    names["MODEL_TYPE"], vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
    intermediate_size=8, attention_window=2, max_position_embeddings=16)
assert type(config) is getattr(transformers, names["CONFIG_CLASS"])
for auto_class, (_, class_name) in names["MODEL_CLASSES"].items():
    auto = getattr(transformers, auto_class)
    with tempfile.TemporaryDirectory() as folder:
        auto.from_config(config).save_pretrained(folder)
        assert type(auto.from_pretrained(folder)) is getattr(transformers, class_name), class_name
assert not any(name.startswith("transformer_revised") for name in sys.modules)
"""


@dataclass(frozen=True)
class Package:
    """An installed Transformers: its folder, its version, and the interpreter that imports it."""

    folder: Path
    version: str
    python: str


def main() -> None:
    """Runs the command line of this process."""
    args = _parse()
    package = find_package(args.python)
    print(f"transformers {package.version} in {package.folder}")
    try:
        if args.status:
            show_status(package)
        elif args.restore:
            restore(package, force=args.force, dry_run=args.dry_run)
        else:
            install(package, force=args.force, dry_run=args.dry_run)
    except OSError as error:
        raise UserError(f"{error}; run this again to complete it, or with --restore to undo it") from error


def find_package(python: str) -> Package:
    """The Transformers that `python` imports. Raises UserError unless pip has installed it."""
    try:
        answer = subprocess.run([python, "-B", "-c", _FIND], capture_output=True, text=True)
        found = json.loads(answer.stdout.splitlines()[-1])
    except OSError as error:
        raise UserError(f"--python {python}: cannot be run ({error.strerror})") from None
    except (IndexError, ValueError):
        raise UserError(f"--python {python}: is not a working Python: {answer.stderr.strip()}") from None
    if not found.get("origin"):
        raise UserError(f"{python} has no transformers: install it first, or name another interpreter with --python")
    folder = Path(found["origin"]).parent
    if Path(found.get("installed", "")).resolve() != folder.resolve():
        raise UserError(
            f"{python} imports transformers from {folder}, which is a source tree or an editable install: "
            "this script changes only a package that pip has installed"
        )
    return Package(folder, found["version"], python)


def show_status(package: Package) -> None:
    """Prints whether LTP is installed, complete and up to date."""
    manifest = overlay.read_manifest(package.folder)
    tested = "tested" if package.version in TESTED_VERSIONS else f"not tested ({', '.join(TESTED_VERSIONS)} are)"
    print(f"this version is {tested}")
    if manifest is None:
        print("LTP is not installed")
    elif changed := overlay.changed_since(package.folder, manifest):
        print(f"LTP was installed for transformers {manifest['version']}, and these files have changed since:")
        print(*(f"  {path}: {state}" for path, state in changed.items()), sep="\n")
        print(f"run {_SCRIPT} again, or with --restore")
    elif overlay.is_current(manifest):
        print("LTP is installed, from the files of this checkout")
    else:
        print(f"LTP is installed, but not from the files of this checkout: run {_SCRIPT} again to update")


def install(package: Package, *, force: bool, dry_run: bool) -> None:
    """Adds or updates LTP and tries it out. Raises UserError, and removes LTP again, if it does not work."""
    if package.version not in TESTED_VERSIONS and not force:
        raise UserError(
            f"transformers {package.version} is not a version this was tested with ({', '.join(TESTED_VERSIONS)}); "
            "--force installs anyway, and removes LTP again if it does not work"
        )
    manifest = overlay.read_manifest(package.folder)
    if manifest is None:
        overlay.check_free(package.folder)
    else:
        _check_unchanged(package.folder, manifest, force)
    print(f"{'would copy' if dry_run else 'copying'}: {', '.join(overlay.new_files())}")
    print(f"{'would append' if dry_run else 'appending'} a marked block to: {', '.join(overlay.new_blocks())}")
    if dry_run:
        return
    if manifest is not None:
        overlay.remove(package.folder, manifest)
    overlay.add(package.folder, package.version)
    if problem := try_in_fresh_interpreter(package):
        overlay.remove(package.folder, overlay.read_manifest(package.folder))
        raise UserError(f"LTP does not work in transformers {package.version}, and was removed again:\n{problem}")
    print(f"checked in a fresh interpreter: from transformers import {', '.join(overlay.NAMES.PUBLIC_NAMES)}")
    print(f"to undo this: bash {_SCRIPT} --restore")


def restore(package: Package, *, force: bool, dry_run: bool) -> None:
    """Removes LTP and prints whether the package is as it was before."""
    manifest = overlay.read_manifest(package.folder)
    if manifest is None:
        if not dry_run:
            overlay.remove_records(package.folder)
        print("LTP is not installed: there is nothing to restore")
        return
    _check_unchanged(package.folder, manifest, force)
    if dry_run:
        print(f"would remove: {', '.join(manifest['added'])}")
        print(f"would remove the marked block from: {', '.join(manifest['edited'])}")
        return
    different = overlay.remove(package.folder, manifest)
    if different:
        print(f"LTP is removed. Changes that others have made to {', '.join(different)} are kept")
    else:
        print("LTP is removed: every file of the package is byte for byte as before")


def try_in_fresh_interpreter(package: Package) -> str | None:
    """Uses LTP in a program that imports only Transformers. Returns the program's error, or None."""
    names = json.dumps({name: value for name, value in vars(overlay.NAMES).items() if name.isupper()})
    with tempfile.TemporaryDirectory() as elsewhere:
        answer = subprocess.run(
            [package.python, "-B", "-c", _CHECK, names],
            cwd=elsewhere,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
        )
    return answer.stderr.strip()[-2000:] or f"exit status {answer.returncode}" if answer.returncode else None


def _check_unchanged(folder: Path, manifest: dict, force: bool) -> None:
    changed = overlay.changed_since(folder, manifest)
    edited = [path for path in manifest["added"] if changed.get(path) == "changed"]
    if edited and not force:
        raise UserError(
            f"somebody has changed {', '.join(edited)} in {folder} after this script added it: "
            "save what you need of it, then use --force, which discards those changes"
        )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"bash {_SCRIPT}",
        description="Adds the model type 'ltp' to an installed Transformers package. Then every program can import "
        "LTPForSequenceClassification, LTPTrainer and the rest from transformers, and load LTP checkpoints through "
        "the Auto classes. Files are added, and a marked block is appended to the files that map names to classes; "
        "--restore leaves the package byte for byte as it was. To update, run this again.",
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--status", action="store_true", help="print what is installed and change nothing")
    action.add_argument("--restore", action="store_true", help="remove LTP from the package")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done and change nothing")
    parser.add_argument(
        "--python",
        metavar="PATH",
        default=sys.executable,
        help="interpreter whose Transformers is changed (default: .venv/bin/python of the checkout, else python3)",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help=f"accept a version other than {' and '.join(TESTED_VERSIONS)}, and discard changes of added files",
    )
    return parser.parse_args()
