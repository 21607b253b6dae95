"""Chooses the device, and whether matrix products are computed in float32, in bfloat16 or in int8.

`auto` looks at the instruction set of the processor. It does not time anything, so the choice is the same in every run
and in every process of a run.

Training keeps float32 weights and computes products in bfloat16 (the library's `--bf16`, which is autocast). An
evaluation loads the weights themselves in bfloat16, which needs no casts. In int8 the layers quantise weights and
activations, and all else is bfloat16 or float32. Learned offsets and importance are always float32.
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
INT8 = "int8"
DTYPES = (AUTO, "float32", "bfloat16", INT8)
HELP = (
    "float32, bfloat16, or auto: bfloat16 if the GPU, or the CPU, has instructions for it. int8 is for evaluation "
    "on an x86 CPU. Thresholds and importance are always float32."
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
    Raises UserError if `asked` is not one of `DTYPES`, the two flags contradict each other, or int8 is asked for on a
    device that cannot multiply it; or if the variable `LTP_CPU_PRODUCTS` has another value than those of
    [`product_choice`].
    """
    _check_products()
    if asked not in DTYPES:
        raise UserError(f"--dtype {asked}: expected {', '.join(DTYPES)}")
    if bf16 is not None and asked not in (AUTO, "bfloat16" if bf16 else "float32"):
        raise UserError(f"--dtype {asked} and --bf16{'' if bf16 else ' false'} contradict each other; expected one")
    if asked == INT8:
        _check_int8(device)
        return torch.int8
    if asked == AUTO:
        bfloat16 = is_bfloat16_fast(device) if bf16 is None else bf16
    else:
        bfloat16 = asked == "bfloat16"
    return torch.bfloat16 if bfloat16 else torch.float32


def dtype_name(dtype: torch.dtype) -> str:
    """Name of a dtype, such as `bfloat16`."""
    return str(dtype).removeprefix("torch.")


def _check_products() -> None:
    from transformer_revised.models.ltp.product_choice import uses_onednn

    try:
        uses_onednn(torch.float32)
    except ValueError as error:
        raise UserError(str(error)) from error


def _check_int8(device: torch.device | str) -> None:
    from transformer_revised.models.ltp.int8_products import ONLY_ON_X86, is_int8_supported

    if torch.device(device).type != "cpu":
        raise UserError(f"--dtype int8: {ONLY_ON_X86}, not on {device}; expected the CPU, or --dtype auto")
    if not is_int8_supported():
        raise UserError(f"--dtype int8: {ONLY_ON_X86}, with a PyTorch that has oneDNN; expected --dtype auto")


def dtype_of_weights(dtype: torch.dtype | str) -> torch.dtype | str:
    """The dtype in which weights are loaded. In int8 it is that of all that the layers do not quantise."""
    if dtype not in (INT8, torch.int8):
        return dtype
    return torch.bfloat16 if is_bfloat16_fast("cpu") else torch.float32


def name_of_computation(model: PreTrainedModel) -> str:
    """`int8` for a model whose layers multiply in int8, else the name of the dtype of its weights."""
    return INT8 if getattr(model, "is_int8", False) else dtype_name(model.dtype)


def prepare_evaluation(model: PreTrainedModel, dtype: torch.dtype | str, where: str) -> None:
    """Quantises an LTP model if `dtype` is int8. Prepacks its weights if they are bfloat16, which makes evaluation on
    a CPU faster.

    Raises UserError if a model of another type shall be quantised.
    """
    if model.dtype == torch.bfloat16 and hasattr(model, "prepack_weights"):
        model.prepack_weights()
    if dtype in (INT8, torch.int8):
        if not hasattr(model, "quantize_int8"):
            raise UserError(
                f"--dtype int8: {where} is a model of type {model.config.model_type!r}; expected one of type 'ltp', "
                "or --dtype auto"
            )
        model.quantize_int8()
