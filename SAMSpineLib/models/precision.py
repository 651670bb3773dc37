"""How many bits a network computes with; torch is asked only when one is built."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Literal, TypeVar, cast

from SAMSpineLib.errors import ModelError

# "auto" is what every figure was measured with: float32, on any device.
Precision = Literal["auto", "float32", "bfloat16", "float16"]
Casting = Callable[[], AbstractContextManager[Any]]
Encoder = TypeVar("Encoder", bound=Callable[..., Any])
COMPILE = "SAMSPINE_COMPILE"


def casting(precision: Precision, device: str) -> Casting:
    """Return what a network is to run in: torch's mixed precision, or nothing for float32.

    Args:
        precision: what was asked for.
        device: a torch device.

    Raises:
        ModelError: if the device cannot compute in that precision.
    """
    import torch

    kind = torch.device(device).type
    if precision in ("auto", "float32"):
        return nullcontext
    if precision == "float16" and kind != "cuda":
        msg = f"float16 needs a CUDA device, and '{device}' is none: choose float32 or bfloat16, or the device cuda"
        raise ModelError(msg)
    if precision == "bfloat16" and not _has_bfloat16(kind):
        msg = f"The device '{device}' does not compute in bfloat16: choose float32, or float16 on a CUDA device"
        raise ModelError(msg)
    return partial(torch.autocast, kind, getattr(torch, precision))


def compiled(encoder: Encoder, precision: Precision, device: str) -> Encoder:
    """Return an image encoder as torch compiles it, where that and half precision on a CUDA device were asked for.

    Compiling takes a minute at the first image, and a C compiler on the machine: so it is only done if the environment
    variable `SAMSPINE_COMPILE` is 1. On a CPU it gains 6 % at most (`SAMSpineLib.models.sam.linear`).

    Args:
        encoder: a network or a function.
        precision: in which it is run.
        device: a torch device.
    """
    import torch

    half_on_cuda = torch.device(device).type == "cuda" and precision in ("bfloat16", "float16")
    if not half_on_cuda or os.environ.get(COMPILE) != "1":
        return encoder
    return cast("Encoder", torch.compile(encoder))


def _has_bfloat16(kind: str) -> bool:
    import torch

    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return kind == "cpu"
