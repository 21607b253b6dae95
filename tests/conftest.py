"""One thread: the models of the tests are so small that handing work to a second one costs more than it saves."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # also for the commands that tests start

import torch  # noqa: E402

torch.set_num_threads(1)
