"""The tiny pruned model of these tests, loaded once."""

import pytest

from ltp_pipeline.view.kept_tokens import PrunedModelArguments, load_pruned_model
from tests.pruned_checkpoint import MAX_LENGTH


@pytest.fixture(scope="session")
def pruned_model(pruned_checkpoint):
    """Model and tokenizer of `pruned_checkpoint`."""
    args = PrunedModelArguments(str(pruned_checkpoint), max_length=MAX_LENGTH, use_cpu=True, dtype="float32")
    return load_pruned_model(args)
