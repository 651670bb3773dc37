"""Weights on disk: safetensors in half precision, checked before use."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from SAMSpineLib.errors import ModelError


def save_weights(path: Path, network: nn.Module, metadata: dict[str, str]) -> Path:
    """Write a network's weights in fp16 (integer buffers as they are) and return the path."""
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous().cpu()
        for name, value in network.state_dict().items()
    }
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata)
    partial.replace(path)
    return path


def load_weights(path: Path, network: nn.Module, *, may_lack: str = "") -> dict[str, str]:
    """Fill a network from a safetensors file and return the file's metadata.

    The part named `may_lack` keeps the weights that it has where the file has none for it.

    Raises:
        ModelError: if the file is missing, is not safetensors, or belongs to another network.
    """
    if not path.is_file():
        msg = f"The weights '{path}' do not exist; see `samspine models list` for those that do"
        raise ModelError(msg)
    try:
        tensors = load_file(path)
        with safe_open(path, "pt") as handle:
            metadata = handle.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        remedy = "restore the file or train it anew"
        if path.suffix in {".pt", ".pth"}:
            remedy = f"a checkpoint of others is added with `samspine models add {path}`, then named with --model"
        msg = f"The weights '{path}' are damaged or no safetensors file ({error}); {remedy}"
        raise ModelError(msg) from error
    kept = {name: value for name, value in network.state_dict().items() if may_lack and is_part(name, may_lack)}
    try:
        network.load_state_dict(kept | {name: _full(value) for name, value in tensors.items()})
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        msg = f"The weights '{path}' belong to another network ({first}); choose the model they were trained for"
        raise ModelError(msg) from error
    return dict(metadata)


def is_part(name: str, part: str) -> bool:
    """Tell whether a weight's name belongs to a part of the network, which has the name of a module."""
    return name.startswith(f"{part}.")


def _full(value: torch.Tensor) -> torch.Tensor:
    """Return half precision as single precision."""
    return value.float() if value.is_floating_point() else value
