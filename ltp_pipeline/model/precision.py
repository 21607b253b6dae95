"""Chooses the device, and whether matrix products are computed in float32 or in bfloat16.

`auto` looks at the instruction set of the processor. It does not time anything, so the choice is the same in every run
and in every process of a run.

Training keeps float32 weights and computes products in bfloat16 (the library's `--bf16`, which is autocast). An
evaluation loads the weights themselves in bfloat16, which needs no casts. Learned offsets and importance are always
float32.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.processes import process_count

if TYPE_CHECKING:
    from transformers import PreTrainedModel

AUTO = "auto"
DTYPES = (AUTO, "float32", "bfloat16")
HELP = (
    "float32, bfloat16, or auto: bfloat16 if the GPU, or the CPU, has instructions for it. Thresholds and importance "
    "are always float32."
)
BF16_HELP = "The same as --dtype bfloat16."
# Names in `torch.cpu.get_capabilities` of instructions that multiply bfloat16, on x86 and on Arm
CPU_FLAGS = ("amx_bf16", "avx512_bf16", "bf16")


def default_device() -> torch.device:
    """The GPU that training would use, in each of several processes its own; the CPU if there is none."""
    if not torch.accelerator.is_available():
        return torch.device("cpu")
    index = int(os.environ["LOCAL_RANK"]) if process_count() > 1 else None
    return torch.device(torch.accelerator.current_accelerator().type, index)


def is_bfloat16_fast(device: torch.device | str) -> bool:
    """Whether the device has instructions that multiply bfloat16. Emulation does not count, because it is slow."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if kind == "cpu":
        capabilities = getattr(torch.cpu, "get_capabilities", dict)()
        return any(capabilities.get(flag) for flag in CPU_FLAGS)
    return False


def chosen_dtype(asked: str, bf16: bool | None, device: torch.device | str) -> torch.dtype:
    """Returns the dtype that the flags `--dtype` and `--bf16` choose for a device.

    `asked`: value of `--dtype`. `bf16`: value of `--bf16`; None if the flag was not given.
    Raises UserError if `asked` is not one of `DTYPES`, or the two flags contradict each other.
    """
    if asked not in DTYPES:
        raise UserError(f"--dtype {asked}: expected {', '.join(DTYPES)}")
    if bf16 is not None and asked not in (AUTO, "bfloat16" if bf16 else "float32"):
        raise UserError(f"--dtype {asked} and --bf16{'' if bf16 else ' false'} contradict each other; expected one")
    if asked == AUTO:
        bfloat16 = is_bfloat16_fast(device) if bf16 is None else bf16
    else:
        bfloat16 = asked == "bfloat16"
    return torch.bfloat16 if bfloat16 else torch.float32


def dtype_name(dtype: torch.dtype) -> str:
    """Name of a dtype, such as `bfloat16`."""
    return str(dtype).removeprefix("torch.")


def prepack_bfloat16(model: PreTrainedModel) -> None:
    """Prepacks the weights of an LTP model if they are bfloat16, which makes its evaluation on a CPU faster."""
    if model.dtype == torch.bfloat16 and hasattr(model, "prepack_weights"):
        model.prepack_weights()
