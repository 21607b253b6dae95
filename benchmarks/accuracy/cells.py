"""Which cells there are: a cell is a row of the table, trained with one seed on one data set."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from benchmarks.accuracy.settings import LOWEST, UNPRUNED, Reading, Settings
from ltp_pipeline.base.errors import UserError

LEARNED = "learned"
FIRST_LAYER = "first_layer"  # as LEARNED, and the first layer prunes, too
TWO_STAGES = (LEARNED, FIRST_LAYER)  # rows with a soft and a hard stage
DENSE_LENGTH = 512  # tokens that the models of the field read
DENSE = f"dense {DENSE_LENGTH}"
BAG = "bag of words"
CONTROLS = ("fixed", "topk", "random", "truncation")
FIRST_LAYER_RANDOM = "random_first_layer"  # the control of FIRST_LAYER: the first layer removes random tokens, too
ALL_CONTROLS = (*CONTROLS, FIRST_LAYER_RANDOM)
# Kind of learned row -> the controls that it is compared with
COMPARED_WITH = {LEARNED: CONTROLS, FIRST_LAYER: ALL_CONTROLS}
# A second model, trained on the text that a model taught by EXTRACTOR keeps, or on as many random tokens of it
EXTRACTED, EXTRACTED_RANDOM = "extracted", "extracted_random"
EXTRACTOR = "relevance"
# Rough relative FLOPs of the lowest budget, only to estimate how long a cell takes
LOW = 0.27
# What the teacher of a soft stage and of the hard stages after it costs, in unpruned training passes. Each of its two
# passes reads a quarter of the rows; `relevance` and `magnitude` compute two gradients of each. The hard stages share
# a cached pass.
TEACHING = {"none": 0.0, "attention": 2 / 12, "relevance": 2 / 3, "magnitude": 2 / 3}
EVALUATION = 1 / 3  # FLOPs of an evaluation pass, in those of a training pass
SCORED = 4  # passes over the functions whose lines are scored
CALIBRATED = 25 * 128  # passes to meet a budget, times their functions


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    kind: str  # UNPRUNED, EXTRACTED, EXTRACTED_RANDOM, one of TWO_STAGES or ALL_CONTROLS, DENSE or BAG
    budget: str | None = None  # relative FLOPs as text, or LOWEST
    teacher: str = "none"  # of TWO_STAGES

    @property
    def is_extracted(self) -> bool:
        """Whether the model reads text that another model has extracted."""
        return self.kind in (EXTRACTED, EXTRACTED_RANDOM)

    @property
    def prunes_first_layer(self) -> bool:
        """Whether its first layer removes tokens (--prune_first_layer)."""
        return self.kind in (FIRST_LAYER, FIRST_LAYER_RANDOM)

    @property
    def pruned(self) -> Row:
        """The row whose model extracts the text that this row reads. A row that reads whole functions is its own."""
        return Row(LEARNED, self.budget, EXTRACTOR) if self.is_extracted else self

    @property
    def name(self) -> str:
        """Such as `relevance 0.3`, and `learned 0.3` without a teacher."""
        return self.way if self.budget is None else f"{self.way} {self.budget}"

    @property
    def way(self) -> str:
        """The name without the budget. `first_layer` alone is taught by relevance."""
        if self.kind == LEARNED:
            return LEARNED if self.teacher == "none" else self.teacher
        if self.kind == FIRST_LAYER and self.teacher != "relevance":
            return f"{FIRST_LAYER}_{'untaught' if self.teacher == 'none' else self.teacher}"
        return self.kind


@dataclass(frozen=True)
class Cell:
    """What is trained and measured at once."""

    data: str  # name of the data set
    reading: Reading
    row: Row
    seed: int

    @property
    def group(self) -> str:
        """The cells of a group share the model from which they start."""
        return f"{self.data}@{self.reading.name}/seed_{self.seed}"

    @property
    def name(self) -> str:
        """Also the path of its file below `cells/`."""
        return f"{self.group}/{self.row.name.replace(' ', '_')}"


def rows_of(settings: Settings) -> list[Row]:
    """The rows, in the order of the table."""
    learned = [Row(LEARNED, budget, teacher) for teacher in settings.teachers for budget in settings.budgets]
    first = settings.first_layer_teachers
    learned += [Row(FIRST_LAYER, budget, teacher) for teacher in first for budget in settings.first_layer_budgets]
    controls = [Row(kind, budget) for kind in CONTROLS for budget in settings.control_budgets]
    controls += [Row(FIRST_LAYER_RANDOM, budget) for budget in settings.first_layer_budgets]
    extracted = [Row(kind, budget) for kind in (EXTRACTED, EXTRACTED_RANDOM) for budget in settings.extracted_budgets]
    return [Row(UNPRUNED), *learned, *extracted, *controls, Row(DENSE), Row(BAG)]


def plan(settings: Settings, data: list[str], readings: list[Reading], only: list[str] | None) -> list[Cell]:
    """All cells in the order in which they run: all rows of the first seed come first.

    `only`: patterns, with * and ?, of which a cell's name must hold one. Raises UserError if no cell does.
    """
    cells = [
        Cell(name, reading, row, seed)
        for seed in settings.seeds
        for name in data
        for reading in readings
        for row in rows_of(settings)
        # Windows read everything, however short. Text is extracted of one reading.
        if reading.truncation != "windows" or not (row.kind == "truncation" or row.is_extracted)
    ]
    if only is None:
        return cells
    chosen = [cell for cell in cells if any(fnmatchcase(cell.name, f"*{pattern}*") for pattern in only)]
    if not chosen:
        raise UserError(f"--only {' '.join(only)}: no cell has such a name; --list without --only shows all")
    return chosen


def needs(cell: Cell, settings: Settings) -> list[str]:
    """The names of the shared models that a cell starts from, or is compared with, the first one first.

    The last one of a row with `is_extracted` is the text that it reads. The hard stage is shared if text is extracted.
    """
    row = cell.row.pruned
    if row.kind == BAG:
        return []
    if row.kind not in TWO_STAGES:
        return ["base"]
    first = row.teacher if row.kind == LEARNED else row.way
    names = ["base", f"soft_{first}_{soft_budget(row, settings)}"]
    if first == EXTRACTOR and row.budget in settings.extracted_budgets:
        names.append(f"hard_{first}_{row.budget}")
    return [*names, f"text_{row.budget}"] if cell.row.is_extracted else names


def soft_budget(row: Row, settings: Settings) -> str:
    """The budget of the soft stage of a row of TWO_STAGES."""
    return f"{settings.soft_budget:g}" if settings.soft_budget and row.kind == LEARNED else row.budget


def share(budget: str | None) -> float:
    """Relative FLOPs, roughly, of a row with this budget."""
    return 1.0 if budget is None else LOW if budget == LOWEST else float(budget)


def training_cost(cell: Cell, settings: Settings, tokens: dict[str, float], done: set[str]) -> tuple[float, float]:
    """Tokens that are read in training, and the tokens of unpruned training that cost as much, evaluation included.

    Args:
        tokens: of the splits `train`, `validation` and `tests` that the model reads in one pass, and the mean of a
            `function`.
        done: names of the shared models, `GROUP/NAME`, that need no training. Those that the cell trains are added.
    """
    row, once, further = cell.row, tokens["train"], settings.soft_epochs + settings.hard_epochs
    if row.kind == BAG:
        return once, 0.0
    read, cost = 0.0, 0.0
    for name in needs(cell, settings):
        if f"{cell.group}/{name}" in done:
            continue
        done.add(f"{cell.group}/{name}")
        stage = name.partition("_")[0]
        if stage == "text":
            cost += EVALUATION * (once + tokens["validation"] + tokens["tests"]) * share(row.budget)
            continue
        epochs = {"base": settings.base_epochs, "soft": settings.soft_epochs, "hard": settings.hard_epochs}[stage]
        read += epochs * once
        cost += epochs * once * (share(row.budget) if stage == "hard" else 1.0)
        cost += TEACHING[row.pruned.teacher] * once if stage == "soft" else 0.0
    epochs, relative = further, share(row.budget)
    if row.kind in TWO_STAGES:
        epochs = 0.0 if needs(cell, settings)[-1].startswith("hard") else settings.hard_epochs
    elif row.is_extracted:
        epochs += settings.base_epochs
    elif row.kind == DENSE:
        epochs, relative = settings.base_epochs + further, min(1.0, DENSE_LENGTH / cell.reading.length)
    own = relative * once if row.kind in (DENSE, "truncation") or row.is_extracted else once
    functions = settings.speed_functions * (1 + settings.speed_rounds) * (1 + 1 / relative)
    functions += SCORED * settings.line_functions + (CALIBRATED if row.pruned == row and row.budget is not None else 0)
    evaluated = 2 * tokens["validation"] + tokens["tests"] + functions * tokens["function"]
    return read + epochs * own, cost + (epochs * once + EVALUATION * evaluated) * relative
