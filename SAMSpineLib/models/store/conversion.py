"""Foreign checkpoints become safetensors, and nothing in them is ever run.

A `.pt` or `.pth` file is a pickle, and a pickle is a program. It is read with `weights_only=True` alone, which builds
tensors and plain containers and refuses everything else; what it has built is then kept as safetensors, which cannot
hold a program.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from SAMSpineLib.errors import ModelError, OutputError

Tensors = dict[str, torch.Tensor]

# Where training loops keep the weights in what they save.
WRAPPERS = ("model", "state_dict", "model_state_dict", "network", "net", "ema")
# What torch raises for bytes that are no checkpoint, each seen with damaged files.
_UNREADABLE = (RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError, OSError, MemoryError)


def read_checkpoint(path: Path) -> Tensors:
    """Return the tensors of a checkpoint under the network's own names: without wrapper, without common prefix.

    Takes safetensors, and what `torch.save` writes of a state dict, alone or in a dict with other things.

    Raises:
        ModelError: if the file is missing, damaged, no checkpoint, or would run something.
    """
    if not path.is_file():
        msg = f"The checkpoint '{path}' does not exist"
        raise ModelError(msg)
    tensors = _unwrapped(_read_safetensors(path) if is_safetensors(path) else _read_pickle(path), path)
    while len(heads := {name.partition(".")[0] for name in tensors}) == 1 and all("." in name for name in tensors):
        # DistributedDataParallel, torch.compile and the like put the whole network below one name.
        head = f"{heads.pop()}."
        tensors = {name.removeprefix(head): value for name, value in tensors.items()}
    return tensors


def write_safetensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors in their own precision, each with memory of its own.

    Raises:
        OutputError: if the disk is full, or the file cannot be written otherwise.
    """
    seen: set[int] = set()
    own: Tensors = {}
    for name, value in tensors.items():
        place = value.untyped_storage().data_ptr()
        own[name] = value.clone(memory_format=torch.contiguous_format) if place in seen else value.contiguous()
        seen.add(place)
    try:
        save_file(own, path, dict(metadata))
    except SafetensorError as error:
        msg = f"{path.parent} cannot be written: {error}; check space and permissions"
        raise OutputError(msg) from error


def declared(path: Path) -> dict[str, str]:
    """Return what a safetensors file says of itself; nothing for all others."""
    if not is_safetensors(path):
        return {}
    with safe_open(path, "pt") as handle:
        return dict(handle.metadata() or {})


def is_safetensors(path: Path) -> bool:
    """Tell whether a file begins as a safetensors file does: the length of a JSON object, then that."""
    with path.open("rb") as handle:
        start = handle.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size


def _read_safetensors(path: Path) -> Tensors:
    try:
        tensors: Tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        msg = f"The checkpoint '{path}' is damaged ({error}); copy or download it again"
        raise ModelError(msg) from error
    return tensors


def _read_pickle(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice is for those who made the file
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise ModelError(_refused(path, error)) from error
    except _UNREADABLE as error:
        reason = re.split(r"\.\s|\n", str(error) or type(error).__name__)[0]
        msg = f"'{path}' is no checkpoint, or a damaged one ({reason}); copy or download it again"
        raise ModelError(msg) from error


def _refused(path: Path, error: pickle.UnpicklingError) -> str:
    """Say what a pickle wanted beyond weights; torch names it in the middle of a long text."""
    found = re.search(r"(?:GLOBAL|Unsupported (?:global|class|type)\S*:?(?: GLOBAL)?) ([\w.]+)", str(error))
    if found is None:
        return (
            f"'{path}' was refused, and nothing in it was run: it is no checkpoint, a damaged one, or a pickle that "
            "torch.save has not written; copy or download it again"
        )
    return (
        f"'{path}' was refused, and nothing in it was run: it does not only hold weights, but wants '{found[1]}'. Ask "
        "whoever made it for the state dict alone (torch.save(network.state_dict(), file)) or for safetensors"
    )


def _unwrapped(content: Any, path: Path) -> Tensors:
    """Return the one dict of tensors in what a file holds."""
    wrapped = [content[key] for key in WRAPPERS if key in content] if isinstance(content, Mapping) else []
    for one in (content, *wrapped):
        if isinstance(one, Mapping) and one and all(isinstance(value, torch.Tensor) for value in one.values()):
            return {str(name): value for name, value in one.items()}
    held = ", ".join(map(str, list(content)[:8])) if isinstance(content, Mapping) else type(content).__name__
    msg = f"'{path}' holds no dict of tensors, alone or below one of {', '.join(WRAPPERS)}; it holds: {held}"
    raise ModelError(msg)
