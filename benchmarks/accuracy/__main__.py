"""Measures what pruning costs and saves on labelled functions, against controls and baselines, with several seeds.

    python -m benchmarks.accuracy --data_dir DATA --output_dir OUT --preset cpu

DATA has a folder for each data set with the tables train_subset (or train), validation and test; further tables whose
name ends in _test, such as mixed_test.csv, are tests that every model is evaluated on. A cell is a row of the table,
trained with one seed on one data set. The command can be interrupted and started again: finished cells are kept. The
same command in a second process takes other cells. docs/accuracy.md defines rows and columns.

Writes a file for each cell, accuracy.json, accuracy.csv, accuracy.md and accuracy.png.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.accuracy.settings import Settings, parse_flags, parse_reading
from ltp_pipeline.base.errors import UserError, run_main


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`; None stands for that of this process."""
    args, settings = parse_flags(argv, __doc__)
    from benchmarks.accuracy.tables import write_tables  # after the flags: what trains takes seconds to import

    if not args.tables_only:
        left = _run(args, settings)
        if args.list or left is None:
            return
    print(write_tables(args.output_dir, args.bootstrap, args.reference))


def _run(args: argparse.Namespace, settings: Settings) -> int | None:
    """Runs or lists the cells. Returns how many are left to other processes; None if they were only listed."""
    from benchmarks.accuracy.cells import plan
    from benchmarks.accuracy.data_sets import find_data_sets
    from benchmarks.accuracy.runs import check_budgets, listed, run_cells
    from benchmarks.accuracy.training import Workshop
    from ltp_pipeline.model.precision import chosen_dtype, default_device, dtype_name

    data = {one.name: one for one in find_data_sets(args.data_dir)}
    readings = [parse_reading(text) for text in settings.readings]
    cells = plan(settings, list(data), readings, args.only)
    _check_model(settings, max(reading.length for reading in readings))
    settings.dtype = dtype_name(chosen_dtype(settings.dtype, None, default_device()))
    wanted = {cell.data for cell in cells}
    for name in wanted:
        data[name].draw(settings)
    output = args.output_dir if args.list else _created(args.output_dir)
    workshop = Workshop(output.resolve(), settings, data, args.overwrite)
    check_budgets(workshop, cells)
    if args.list:
        print(listed(workshop, cells))
        return None
    return run_cells(workshop, cells)


def _check_model(settings: Settings, length: int) -> None:
    """Raises UserError if --model_name_or_path is no checkpoint that can be pruned, or reads too few tokens."""
    path = settings.model_name_or_path
    if path is None:
        return
    from ltp_pipeline.model.checkpoints import PRUNABLE, check_checkpoint, load_config, position_limit

    flag = "--model_name_or_path"
    check_checkpoint(path, flag)
    config = load_config(path, flag=flag)
    if config.model_type not in PRUNABLE:
        raise UserError(
            f"{flag} {path}: model type {config.model_type}; expected {' or '.join(PRUNABLE)}: "
            "python -m ltp_pipeline.convert makes one of BERT or RoBERTa"
        )
    if getattr(config, "prune_mode", None) is not None:
        raise UserError(f"{flag} {path}: prunes already ({config.prune_mode}); expected a checkpoint before pruning")
    limit = position_limit(config)
    if limit is not None and length > limit:
        raise UserError(f"--readings {length}: {flag} {path} reads at most {limit} tokens; expected at most as many")
    if Path(path).exists():
        settings.model_name_or_path = str(Path(path).resolve())


def _created(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output_dir {folder}: cannot be made: {error.strerror}") from error
    return folder


if __name__ == "__main__":
    run_main(main)
