"""Functions drawn for the tests: scores with ties, predictions, labels and pairs."""

import numpy as np
from hypothesis import strategies as st

CELLS = st.tuples(st.sampled_from([0.0, 0.2, 0.5, 0.9]), st.integers(0, 1), st.sampled_from(["", "a", "b", "c"]))


@st.composite
def drawn_functions(draw, most=40):
    """Scores, predictions (1 above 0.4), labels and pairs of 1 to `most` functions."""
    scores, labels, pairs = zip(*draw(st.lists(CELLS, min_size=1, max_size=most)), strict=True)
    scores = np.array(scores)
    return scores, (scores > 0.4).astype(int), np.array(labels), list(pairs)
