"""The table of tasks: what a classifier predicts from code, or from the sentences of GLUE (a language benchmark)."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.measures.detection import OF_BOTH_CLASSES
from ltp_pipeline.task.metrics import classification_metrics, glue_metrics, group_metrics

UNLABELLED = -1  # label of a function without a label, in tables
NOT_GIVEN = -100  # label of a row without a label; the library's losses ignore this class. Regression uses NaN


@dataclass(frozen=True)
class Task:
    """One row of the table."""

    name: str  # also the name in the folders of pruning stages and, in lower case, of GLUE's configuration on the hub
    columns: tuple[str, ...]  # the columns with the text of an item: one, or two that are tokenized as a pair
    labels: tuple[str, ...]  # names of the classes 0, 1, ...; () if a number is predicted
    # names of the task's metrics; by default the first one chooses the best step of a training run
    metrics: tuple[str, ...] = ("accuracy",)
    # items are functions in files of this project's format; False: items are those of a GLUE task
    reads_functions: bool = False
    multi_label: bool = False  # an item may have several of `labels` at once; its label is a list of 0 and 1
    # names of `columns` and of the label in the files that GLUE distributes, if they differ
    original_columns: tuple[str, ...] = ()
    headerless_columns: tuple[str, ...] = ()  # names of the columns of the file that GLUE distributes without a header
    # the hub's name of each of our splits, "train", "eval" and "test"
    hub_splits: dict[str, str] = field(
        default_factory=lambda: {"train": "train", "eval": "validation", "test": "test"}, hash=False
    )

    @property
    def is_regression(self) -> bool:
        """Whether a number is predicted instead of a class."""
        return not self.labels

    @property
    def num_labels(self) -> int:
        """Width of the logits."""
        return len(self.labels) or 1

    @property
    def problem_type(self) -> str:
        """The name of the loss in the library's configurations."""
        if self.multi_label:
            return "multi_label_classification"
        return "regression" if self.is_regression else "single_label_classification"

    def measure(self, logits: np.ndarray, labels: np.ndarray, threshold: float | None = None) -> dict[str, float]:
        """The task's metrics from logits `[N, C]` and labels, `[N]` or `[N, C]`; {} if the rows have no labels.

        `threshold`: for CODE, the probability above which class 1 is predicted; None: the more probable class.
        """
        if not has_labels(labels):
            return {}
        if self is CODE:
            return classification_metrics(logits, labels, threshold)
        if self.multi_label:
            return group_metrics(self.labels, logits, labels)
        return glue_metrics(self.metrics, logits, labels)


def has_labels(labels: ArrayLike) -> bool:
    """Whether every row has a label; `[N]` or `[N, num_labels]`, UNLABELLED, NOT_GIVEN or NaN if a row has none."""
    labels = np.asarray(labels)
    return not (np.isnan(labels) | (labels < 0)).any()


CODE = Task(
    "CODE",
    ("functionSource",),
    ("0", "1"),
    ("f1", "accuracy", "recall", "precision", "false_alarm_rate", "mcc", *OF_BOTH_CLASSES),
    reads_functions=True,
)
# The groups of weaknesses in the Draper VDISC data set; a function may belong to several.
VDISC = Task(
    "VDISC",
    ("functionSource",),
    ("CWE-119", "CWE-120", "CWE-469", "CWE-476", "CWE-other"),
    ("macro_f1", "micro_f1", "macro_auc"),
    reads_functions=True,
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
        original_columns=("sentence1", "sentence2", "gold_label"),
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
        original_columns=("question1", "question2", "is_duplicate"),
    ),
    Task(
        "MRPC",
        SENTENCES,
        ("not_equivalent", "equivalent"),
        ("f1", "accuracy"),
        original_columns=("#1 String", "#2 String", "Quality"),
    ),
    Task("STSB", SENTENCES, (), ("pearson", "spearmanr"), original_columns=(*SENTENCES, "score")),
    Task(
        "COLA",
        ("sentence",),
        ("unacceptable", "acceptable"),
        ("matthews_correlation",),
        headerless_columns=("source", "label", "judgement", "sentence"),
    ),
    Task("WNLI", SENTENCES, ("not_entailment", "entailment")),
)
GLUE_NAMES = tuple(task.name for task in GLUE)
TASKS = {task.name: task for task in (CODE, VDISC, *GLUE)}
ALIASES = {"MNLIMM": "MNLI"}


def find_task(name: str, flag: str) -> Task:
    """The task named `name`. Case, "-" and "_" do not matter; `mnli-mm` is MNLI, which evaluates mismatched items too.

    Raises UserError, which names `flag`, if there is no such task.
    """
    plain = name.upper().replace("-", "").replace("_", "")
    task = TASKS.get(ALIASES.get(plain, plain))
    if task is None:
        raise UserError(f"{flag} {name}: no such task; expected one of {', '.join(TASKS)}")
    return task
