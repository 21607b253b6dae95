"""Running out of memory is one line that names the flags to lower, on every device."""

import numpy as np
import pytest
import torch

from ltp_pipeline.base.errors import UserError, run_main
from ltp_pipeline.base.out_of_memory import OutOfMemory, out_of_memory_names


def cpu():
    torch.empty(2**60, dtype=torch.uint8)


def array():
    np.empty(2**60, dtype=np.uint8)


def python():
    raise MemoryError


def cuda():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of ...")


def cublas():
    raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


def mps():
    raise RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB). Tried to allocate 256 bytes on ...")


def system():
    raise OSError(12, "Cannot allocate memory")


@pytest.mark.parametrize("fail", [cpu, array, python, cuda, cublas, mps, system])
def test_every_kind_names_the_flags(fail):
    with pytest.raises(OutOfMemory, match="^out of memory.*lower --bs 8 or --max_seq_length$"):
        with out_of_memory_names("--bs 8", "--max_seq_length"):
            fail()


def test_the_size_that_was_asked_for_is_told():
    with pytest.raises(UserError, match=r"20\.00 GiB"), out_of_memory_names("--bs"):
        cuda()


def test_the_innermost_flags_count():
    with pytest.raises(UserError, match="--inner$"), out_of_memory_names("--outer"), out_of_memory_names("--inner"):
        cpu()


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), OSError(28, "No space left"), ValueError("memory")])
def test_other_errors_pass(error):
    with pytest.raises(type(error)) as raised, out_of_memory_names("--bs"):
        raise error
    assert raised.value is error


@pytest.mark.parametrize("fail", [cpu, python, cuda])
def test_a_command_ends_with_one_line_and_status_2(fail, capsys):
    with pytest.raises(SystemExit) as end:
        run_main(fail)
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: out of memory") and said.count("\n") == 1
