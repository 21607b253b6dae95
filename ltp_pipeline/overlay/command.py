"""The command `revise_local_transformer_package.sh` or `ltp-overlay`: checks the package, changes it and reports.

It parses its flags with argparse, because the interpreter that runs it need not have Transformers.
"""

import argparse
import os
import sys
from contextlib import suppress

from ..base.errors import UserError
from ..base.parser import CommandParser
from . import change, records, state
from .contents import NAMES, new_blocks, new_files
from .interpreter import Package, check_active, check_writable, find_package, try_in_fresh_interpreter
from .records import DamagedRecord, Manifest
from .state import COMMAND

TESTED_VERSIONS = ("5.17.0", "5.23.0")


def main() -> None:
    """Runs the command line of this process."""
    args = _parse()
    # A relative path counts from here, while the interpreter is asked elsewhere.
    python = os.path.abspath(args.python) if args.python and os.sep in args.python else args.python
    try:
        package = find_package(sys.executable if python is None else python)
    except OSError as error:
        raise UserError(f"{error}: the user who runs this must be able to read the package") from error
    if python is None:
        check_active(package)
    try:
        _run(package, args)
    except OSError as error:
        raise UserError(f"{error}. {_what_now(package)}".removesuffix(f". {error}")) from error
    except KeyboardInterrupt:
        print(_what_now(package), file=sys.stderr)
        raise


def _run(package: Package, args: argparse.Namespace) -> None:
    print(f"transformers {package.version or '(uninstalled)'} in {package.folder}")
    if args.status:
        return show_status(package)
    action = restore if args.restore else install
    if action is install:
        _check_suitable(package, args.force)
    if args.dry_run:
        return action(package, force=args.force, dry_run=True)
    check_writable(package)
    with records.locked(package.folder):
        action(package, force=args.force, dry_run=False)


def show_status(package: Package) -> None:
    """Prints whether LTP is installed, complete and up to date, and what to do."""
    tested = "tested" if package.version in TESTED_VERSIONS else f"not tested ({', '.join(TESTED_VERSIONS)} are)"
    if package.version is not None:
        print(f"this version is {tested}")
    if package.concern:
        print(f"{package.concern}. --force installs all the same")
    try:
        print(*state.describe(package.folder, package.version), sep="\n")
    except DamagedRecord as error:
        print(str(error))


def install(package: Package, *, force: bool, dry_run: bool) -> None:
    """Adds or updates LTP and tries it out. Raises UserError, and removes LTP again, if it does not work."""
    shipped = state.shipped_paths(package.folder, package.version)
    state.check_free(package.folder, shipped)
    manifest = _manifest(package, shipped, force)
    if manifest is not None:
        found = state.changes(package.folder, manifest, shipped)
        state.check_unchanged(package.folder, found, force)
        if replaced := state.replaced_since(package.folder, manifest, found, package.version):
            print(f"{replaced}: LTP is added anew")
        if kept := [path for path, what in found.items() if what == state.CHANGED_BESIDE_BLOCK]:
            print(f"changes that others have made to {', '.join(kept)} are kept")
    print(f"{'would copy' if dry_run else 'copying'}: {', '.join(new_files())}")
    print(f"{'would append' if dry_run else 'appending'} a marked block to: {', '.join(new_blocks())}")
    if dry_run:
        return
    _replace(package, manifest, shipped)
    print(f"checked in a fresh interpreter: from transformers import {', '.join(NAMES.PUBLIC_NAMES)}")
    print(f"to undo this: {COMMAND} --restore")


def restore(package: Package, *, force: bool, dry_run: bool) -> None:
    """Removes LTP and prints whether the package is as it was before."""
    shipped = state.shipped_paths(package.folder, package.version)
    manifest = _manifest(package, shipped, force)
    if manifest is None:
        if not dry_run:
            records.clear(package.folder)
        print("LTP is not installed: there is nothing to restore")
        return
    found = state.changes(package.folder, manifest, shipped)
    if package.version is not None:  # otherwise nothing of Transformers is left to lose
        state.check_unchanged(package.folder, found, force)
    if dry_run:
        print(f"would remove: {', '.join(manifest.added)}")
        print(f"would remove the marked block from: {', '.join(manifest.edited)}")
        return
    known = all(record["mtime_ns"] is not None for record in manifest.edited.values())
    different = change.remove(package.folder, manifest, shipped)
    if package.version is None:
        gone = change.remove_empty_folders(package.folder)
        print("what was left of LTP is removed")
        if not gone:
            print(f"other files are still in {package.folder}")
    elif different:
        print(f"LTP is removed. Changes that others have made to {', '.join(different)} are kept")
    elif not known:
        print("LTP is removed. There is no record of what the files were like before")
    else:
        print("LTP is removed: every file of the package is byte for byte as before")


def _replace(package: Package, manifest: Manifest | None, shipped: frozenset[str]) -> None:
    """Removes what `manifest` lists, adds LTP and tries it out. Removes LTP again if that fails."""
    folder = package.folder
    change.stage(folder)
    if manifest is not None:
        change.remove(folder, manifest, shipped, staged=True)
    try:
        change.add(folder, package.version)
        problem = try_in_fresh_interpreter(package)
        if problem is None:
            change.confirm(folder)
            return
    except (OSError, UserError, KeyboardInterrupt):
        with suppress(OSError):  # the message then says that the installation is unfinished
            if begun := records.read_manifest(folder):
                change.remove(folder, begun)
        raise
    change.remove(folder, records.read_manifest(folder))
    raise UserError(f"LTP does not work in transformers {package.version}, and was removed again: {problem}")


def _manifest(package: Package, shipped: frozenset[str], force: bool) -> Manifest | None:
    """The manifest, or one made from what has LTP's names. Raises UserError if those may be somebody else's files."""
    try:
        manifest = records.read_manifest(package.folder)
    except DamagedRecord:
        if not force:
            raise
        manifest = None
    if manifest is not None:
        return manifest
    left = state.traces(package.folder, shipped)
    if left is None or force or state.is_ours(left):
        return left
    raise UserError(
        f"{package.folder} already holds {', '.join([*left.added, *left.edited])}, and has no record that this script "
        f"added them. If nobody else needs them: --force removes them"
    )


def _check_suitable(package: Package, force: bool) -> None:
    """Raises UserError if LTP should not or cannot be added to this package."""
    if package.version is None:
        raise UserError(
            f"{package.python} has no transformers: it was uninstalled, and files of LTP are left in "
            f"{package.folder}. Run {COMMAND} --restore, then {package.python} -m pip install transformers"
        )
    if not package.has_torch:
        raise UserError(f"{package.python} has no torch, which the model needs: {package.python} -m pip install torch")
    if package.concern and not force:
        raise UserError(f"{package.concern}. --force installs all the same")
    if package.version not in TESTED_VERSIONS and not force:
        raise UserError(
            f"transformers {package.version} is not a version this was tested with ({', '.join(TESTED_VERSIONS)}); "
            "--force installs anyway, and removes LTP again if it does not work"
        )


def _what_now(package: Package) -> str:
    """The state after a failure, in a sentence."""
    try:
        return "; ".join(state.describe(package.folder, package.version))
    except (OSError, UserError) as error:
        return str(error)


def _parse() -> argparse.Namespace:
    parser = CommandParser(
        command=COMMAND,
        description="Adds the model type 'ltp' to an installed Transformers package. Then every program can import "
        "LTPForSequenceClassification, LTPTrainer and the rest from transformers, and load LTP checkpoints through "
        "the Auto classes. Files are added, and a marked block is appended to the files that map names to classes; "
        "--restore leaves the package byte for byte as it was. To update, run this again. "
        "If a run was interrupted, run this again, or --restore.",
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--status", action="store_true", help="print what is installed and change nothing")
    action.add_argument("--restore", action="store_true", help="remove LTP from the package")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done and change nothing")
    parser.add_argument(
        "--python",
        metavar="PATH",
        help="interpreter whose Transformers is changed (default: the one that runs ltp-overlay; for the script, "
        ".venv/bin/python of the checkout, else python3)",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help=f"accept a version other than {' and '.join(TESTED_VERSIONS)}, a system Python, a user site and a "
        "package installed by conda; discard what others have changed in added files and blocks",
    )
    return parser.parse_args()
