"""One thread: the models of the tests are so small that handing work to a second one costs more than it saves."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # also for the commands that tests start

import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)

# A shell that is not interactive starts its background jobs with SIGINT ignored. Tests send it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Tokens that the tests cache are not the user's."""
    os.environ["LTP_CACHE"] = str(tmp_path_factory.mktemp("cache"))


def in_memory(tmp_path_factory) -> tempfile.TemporaryDirectory:
    """An empty folder, in memory where 1 GB is free: for many changes of small files a disk takes five times as long.

    Programs in it may not be executable.
    """
    has_memory = os.access("/dev/shm", os.W_OK) and shutil.disk_usage("/dev/shm").free > 1e9
    return tempfile.TemporaryDirectory(dir="/dev/shm" if has_memory else tmp_path_factory.mktemp("memory"))


@pytest.fixture
def memory_folder(tmp_path_factory):
    """The folder of `in_memory`."""
    with in_memory(tmp_path_factory) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def pruned_checkpoint(tmp_path_factory):
    """Folder of a tiny LTP checkpoint whose layers remove tokens."""
    from tests.pruned_checkpoint import save_checkpoint

    return save_checkpoint(tmp_path_factory.mktemp("pruned"))


@pytest.fixture(scope="session")
def pruned_model(pruned_checkpoint):
    """Float32 model and tokenizer of `pruned_checkpoint`, for tests that do not change them."""
    from ltp_pipeline.view.kept_tokens import PrunedModelArguments, load_pruned_model
    from tests.pruned_checkpoint import MAX_LENGTH

    args = PrunedModelArguments(str(pruned_checkpoint), max_length=MAX_LENGTH, use_cpu=True, dtype="float32")
    return load_pruned_model(args)


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Headless Chromium, one process for all tests. Without Chromium these tests are skipped."""
    from tests.browser import CHROMIUM, MISSING, Browser

    if CHROMIUM is None:
        pytest.skip(MISSING)
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    try:
        browser.call("Browser.getVersion")
    except (AssertionError, OSError) as error:
        browser.close()
        pytest.skip(f"{CHROMIUM} does not start: {error}")
    yield browser
    browser.close()
