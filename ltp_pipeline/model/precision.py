"""What is computed in bfloat16: by choice, or where the machine multiplies it fast.

Whether it does is asked of the processor and not measured: the answer is then the same in every run and in every
process of a run, however busy the machine is. Thresholds and importance stay float32 everywhere.

Training keeps float32 weights and computes matrix products in bfloat16 (the library's `--bf16`, autocast). Where
nothing is trained the weights themselves are held in bfloat16, which saves the casts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch

from ltp_pipeline.base.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

AUTO = "auto"
DTYPES = (AUTO, "float32", "bfloat16")
HELP = (
    "float32, bfloat16, or auto: bfloat16 where the GPU, or the CPU, has instructions for it. Thresholds and "
    "importance are float32 in any case."
)
BF16_HELP = "The same as --dtype bfloat16."
# What `torch.cpu.get_capabilities` calls fast products of bfloat16, of x86 and of Arm
CPU_FLAGS = ("amx_bf16", "avx512_bf16", "bf16")


def is_bfloat16_fast(device: torch.device | str) -> bool:
    """Whether the device has instructions that multiply bfloat16; emulation, which is slow, does not count."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if kind == "cpu":
        capabilities = getattr(torch.cpu, "get_capabilities", dict)()
        return any(capabilities.get(flag) for flag in CPU_FLAGS)
    return False


def chosen_dtype(asked: str, bf16: bool | None, device: torch.device | str) -> torch.dtype:
    """
    What `--dtype` and `--bf16` ask for on that device.

    Args:
        asked: one of `DTYPES`.
        bf16: `--bf16`, as in the library; None where it was not given.

    Raises:
        UserError: another dtype, or two flags that contradict each other.
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


def name_of(dtype: torch.dtype) -> str:
    """Such as `bfloat16`."""
    return str(dtype).removeprefix("torch.")


def hold_in(model: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    """
    `model`, to be evaluated, with its weights in `dtype`, as `from_pretrained(dtype=...)` loads them: what has to
    stays float32. In bfloat16 an LTP model's are prepacked.
    """
    strict = [re.escape(name) for name in model._keep_in_fp32_modules_strict or ()]
    stays = re.compile(rf"(^|\.)({'|'.join(strict)})(\.|$)") if strict else None
    for name, parameter in [*model.named_parameters(), *model.named_buffers()]:
        if parameter.is_floating_point() and not (stays and stays.search(name)):
            parameter.data = parameter.data.to(dtype)
    model.config.dtype = dtype
    prepack_bfloat16(model)
    return model


def prepack_bfloat16(model: PreTrainedModel) -> None:
    """Prepacks the weights of an LTP model if they are bfloat16, which makes its evaluation on a CPU faster."""
    if model.dtype == torch.bfloat16 and hasattr(model, "prepack_weights"):
        model.prepack_weights()
