"""Divides rows into splits so that no group of rows, such as a project, is in two of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ltp_pipeline.base.errors import UserError

NOTED = 0.02  # a split whose share of the rows differs by more from what was asked for is worth a note


def group_components(groups: Sequence[Sequence[str]]) -> np.ndarray:
    """The component of each row, `[N]` int, from 0: rows that share a group name have the same component.

    `groups[i]` are all group names of row `i`. An empty name is no group. A row without a name is alone.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    rows, names, number_of = [], [], {}
    for row, names_of_row in enumerate(groups):
        for name in names_of_row:
            if name:
                rows.append(row)
                names.append(len(groups) + number_of.setdefault(name, len(number_of)))
    nodes = len(groups) + len(number_of)  # one for each row and one for each name; an edge for each name of a row
    graph = coo_matrix((np.ones(len(rows), dtype=np.int8), (rows, names)), shape=(nodes, nodes))
    return connected_components(graph, directed=False)[1][: len(groups)]


def group_splits(
    groups: Sequence[Sequence[str]],
    shares: Sequence[float],
    seed: int,
    labels: Sequence[int] | None = None,
) -> np.ndarray:
    """The split of each row, `[N]` int, from 0 to `len(shares) - 1`. Rows that share a group name are in one split.

    Components go to splits from the largest to the smallest, in a random order among those of one size. Each one goes
    where it brings the numbers of rows, and of rows of each class, nearest to the shares. If a component is too large
    for that, the shares differ: see [`shares_note`].

    Args:
        groups: see [`group_components`].
        shares: the share of the rows for each split, all above 0.
        seed: the same seed gives the same splits.
        labels: the class of each row, `[N]`; None: only the number of rows counts.

    Raises UserError if there are fewer components than splits.
    """
    component_of = group_components(groups)
    sizes = np.bincount(component_of)
    if len(sizes) < len(shares):
        raise UserError(
            f"{len(groups)} rows form {len(sizes)} group(s) that share no name; expected {len(shares)} or more, "
            "because each split needs one"
        )
    classes, class_of = np.unique(np.zeros(len(groups)) if labels is None else labels, return_inverse=True)
    counts = np.zeros((len(sizes), len(classes) + 1))  # rows of each class, and all rows, of each component
    np.add.at(counts, (component_of, class_of), 1)
    counts[:, -1] = sizes
    counts /= counts.sum(axis=0)
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    split_of = np.empty(len(sizes), dtype=np.int64)
    asked = np.array(shares, dtype=float) / np.sum(shares)
    missing = np.repeat(asked[:, None], counts.shape[1], axis=1)
    for component in order:
        # The largest decrease of the sum of `missing ** 2 / asked`. Without the division, all large components would
        # be put into the split with the largest share, and the others would hold small ones only.
        decrease = (2 * missing @ counts[component] - counts[component] @ counts[component]) / asked
        best = int(np.argmax(decrease))
        split_of[component] = best
        missing[best] -= counts[component]
    _fill_empty_splits(split_of, order, len(shares))
    return split_of[component_of]


def _fill_empty_splits(split_of: np.ndarray, order: np.ndarray, splits: int) -> None:
    """Moves the smallest component of a split that has several to each split without one."""
    for empty in set(range(splits)) - set(split_of.tolist()):
        held = np.bincount(split_of, minlength=splits)
        split_of[next(component for component in order[::-1] if held[split_of[component]] > 1)] = empty


def shares_note(groups: Sequence[Sequence[str]], splits: np.ndarray, shares: Sequence[float]) -> str | None:
    """Says how the shares of the splits differ from those asked for, and the largest component; None: hardly."""
    asked = np.array(shares) / np.sum(shares)
    given = np.bincount(splits, minlength=len(shares)) / len(splits)
    if np.abs(given - asked).max() <= NOTED:
        return None
    largest = np.bincount(group_components(groups)).max()
    return (
        f"the splits hold {_percent(given)} of the rows instead of {_percent(asked)}: the largest group of rows that "
        f"must stay together has {largest:,} of {len(splits):,}"
    )


def _percent(shares: np.ndarray) -> str:
    return " / ".join(f"{share:.1%}" for share in shares)
