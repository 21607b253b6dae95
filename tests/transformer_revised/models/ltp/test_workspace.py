"""Memory that is used again: named buffers, and freed memory that the C library keeps."""

import platform
import subprocess
import sys

import pytest
import torch

from transformer_revised.models.ltp.workspace import Workspace

# Minor page faults of ten results of 8 MiB, before and after the call.
FAULTS = """
import resource, torch
from transformer_revised.models.ltp.workspace import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.zeros(2**21)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = torch.zeros(2**18)
del first  # 1 MiB: the limits of the C library are now 1 and 2 MiB
before = faults()
keep_freed_memory()
faults()
print(before, faults())
"""


def test_workspace_returns_the_same_memory_again():
    space, like = Workspace(), torch.zeros(1)
    first = space.take("query", (2, 6), like)
    assert space.take("query", (3, 3), like).data_ptr() == first.data_ptr()
    assert space.take("key", (3, 3), like).data_ptr() != first.data_ptr()
    assert space.take("query", (4, 6), like).shape == (4, 6)
    assert space.take("query", (2, 6), like.double()).dtype == torch.float64


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_is_kept():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before >= 2048 and after < 200  # 2,048 pages of 4 KiB are one result
