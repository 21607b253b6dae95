"""What a classifier is for: defects in code, or a task of GLUE. A task is one row of a table."""

from dataclasses import dataclass, field

import numpy as np

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.task.metrics import classification_metrics, glue_metrics, group_metrics

NOT_GIVEN = -100  # label of a row without one: the class that the library's losses leave out; NaN for scores


@dataclass(frozen=True)
class Task:
    """
    One row of the table.

    Args:
        name: as in the folders of pruning stages; in small letters the name of GLUE's configuration on the hub.
        columns: the text of an item: one column, or two that are encoded as a pair.
        labels: names of the classes 0, 1, ...; () where a number is predicted.
        metrics: what GLUE measures; the first is what the best step is best in.
        own_columns: `columns` and the column of labels as the files that GLUE gives out name them, where they do so
            otherwise.
        headerless: columns of the file of GLUE that has no header.
        multi_label: each of `labels` is a yes or no of its own; the label of an item is a list.
        hub_splits: split of ours ("train", "eval", "test") to the hub's.
    """

    name: str
    columns: tuple[str, ...]
    labels: tuple[str, ...]
    metrics: tuple[str, ...] = ("accuracy",)
    own_columns: tuple[str, ...] = ()
    headerless: tuple[str, ...] = ()
    multi_label: bool = False
    hub_splits: dict[str, str] = field(
        default_factory=lambda: {"train": "train", "eval": "validation", "test": "test"}, hash=False
    )

    @property
    def is_regression(self) -> bool:
        """Whether a number is predicted, not a class."""
        return not self.labels

    @property
    def num_labels(self) -> int:
        """Width of the logits."""
        return len(self.labels) or 1

    @property
    def problem_type(self) -> str:
        """The library's name of the loss."""
        if self.multi_label:
            return "multi_label_classification"
        return "regression" if self.is_regression else "single_label_classification"

    @property
    def reads_functions(self) -> bool:
        """Whether its items are functions, from the files of this project, and not GLUE's."""
        return self.columns == CODE.columns

    def measure(self, logits: np.ndarray, labels: np.ndarray, threshold: float | None = None) -> dict[str, float]:
        """The task's metrics from logits `[N, C]` and labels, `[N]` or `[N, C]`; {} where the rows have no labels.

        `threshold`: for code, the probability above which class 1 is predicted.
        """
        if not has_labels(labels):
            return {}
        if self is CODE:
            return classification_metrics(logits, labels, threshold)
        if self.multi_label:
            return group_metrics(self.labels, logits, labels)
        return glue_metrics(self.metrics, logits, labels)


def has_labels(labels: np.ndarray) -> bool:
    """Whether labels, `[N]` or `[N, num_labels]`, are any, and not what stands for none."""
    labels = np.asarray(labels)
    return not (np.isnan(labels) | (labels == NOT_GIVEN)).any()


CODE = Task("CODE", ("functionSource",), ("0", "1"), ("f1", "accuracy", "recall", "precision", "auc"))
# The groups of weaknesses of the Draper VDISC data set, all at once.
VDISC = Task(
    "VDISC",
    ("functionSource",),
    ("CWE-119", "CWE-120", "CWE-469", "CWE-476", "CWE-other"),
    ("macro_f1", "micro_f1", "macro_auc"),
    multi_label=True,
)
SENTENCES = ("sentence1", "sentence2")
ENTAILMENT = ("entailment", "not_entailment")
GLUE = (
    Task("RTE", SENTENCES, ENTAILMENT),
    Task("SST2", ("sentence",), ("negative", "positive")),
    Task(
        "MNLI",
        ("premise", "hypothesis"),
        ("entailment", "neutral", "contradiction"),
        own_columns=("sentence1", "sentence2", "gold_label"),
        hub_splits={
            "train": "train",
            "eval": "validation_matched",
            "eval_mismatched": "validation_mismatched",
            "test": "test_matched",
            "test_mismatched": "test_mismatched",
        },
    ),
    Task("QNLI", ("question", "sentence"), ENTAILMENT),
    Task(
        "QQP",
        ("question1", "question2"),
        ("not_duplicate", "duplicate"),
        ("f1", "accuracy"),
        own_columns=("question1", "question2", "is_duplicate"),
    ),
    Task(
        "MRPC",
        SENTENCES,
        ("not_equivalent", "equivalent"),
        ("f1", "accuracy"),
        own_columns=("#1 String", "#2 String", "Quality"),
    ),
    Task("STSB", SENTENCES, (), ("pearson", "spearmanr"), own_columns=(*SENTENCES, "score")),
    Task(
        "COLA",
        ("sentence",),
        ("unacceptable", "acceptable"),
        ("matthews_correlation",),
        headerless=("source", "label", "judgement", "sentence"),
    ),
    Task("WNLI", SENTENCES, ("not_entailment", "entailment")),
)
GLUE_NAMES = tuple(task.name for task in GLUE)
TASKS = {task.name: task for task in (CODE, VDISC, *GLUE)}
ALIASES = {"MNLIMM": "MNLI"}


def find_task(name: str, flag: str) -> Task:
    """The task of that name, in any case, with or without "-": `sts-b` is STSB, and `mnli-mm` MNLI, which has both.

    Raises UserError, naming `flag`, for another.
    """
    plain = name.upper().replace("-", "").replace("_", "")
    task = TASKS.get(ALIASES.get(plain, plain))
    if task is None:
        raise UserError(f"{flag} {name}: no such task; expected one of {', '.join(TASKS)}")
    return task
