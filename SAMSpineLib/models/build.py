"""From a model's name to a network that answers prompts. `MODELS` is the one list of names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from SAMSpineLib.errors import MissingExtraError, ModelError
from SAMSpineLib.models.registry import ModelEntry, model_entries, verify

if TYPE_CHECKING:
    from SAMSpineLib.models.protocols import Promptable

DEFAULT_MODEL = "ct-sam3d-small"


def build_ct_sam3d(name: str, weights: Path, device: str) -> Promptable:
    """Return CT-SAM3D of a size with its weights."""
    try:
        import torch
    except ImportError as error:
        package = "torch"
        raise MissingExtraError(package, "sam") from error
    if device.startswith("cuda") and not torch.cuda.is_available():
        msg = f"The device '{device}' was asked for, but this machine has no CUDA device that torch can use; use 'cpu'"
        raise ModelError(msg)
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        msg = f"The device '{device}' cannot be used ({reason}); choose 'cpu', or 'cuda' where there is a CUDA device"
        raise ModelError(msg) from error
    from SAMSpineLib.models.ct_sam3d.config import CONFIGS
    from SAMSpineLib.models.ct_sam3d.network import CTSAM3D
    from SAMSpineLib.models.ct_sam3d.promptable import CTSAM3DPromptable
    from SAMSpineLib.models.weights import load_weights

    network = CTSAM3D(CONFIGS[name])
    load_weights(weights, network)
    return CTSAM3DPromptable(network, name=name, device=device)


MODELS: dict[str, Callable[[str, Path, str], Promptable]] = {
    "ct-sam3d-small": build_ct_sam3d,
    "ct-sam3d-paper": build_ct_sam3d,
    # For tests: the whole story in seconds, and no weights that are of use.
    "ct-sam3d-tiny": build_ct_sam3d,
}


def build_promptable(name: str = DEFAULT_MODEL, *, weights: Path | None = None, device: str = "cpu") -> Promptable:
    """Build a model that answers prompts.

    Args:
        name: a key of `MODELS`.
        weights: a safetensors file of the user's own; without it the bundled file, checked against its SHA-256.
        device: a torch device.

    Raises:
        ModelError: if the name is unknown, the weights are missing, damaged or another network's, or the device
            cannot be used.
        MissingExtraError: if torch is not installed.
    """
    if name not in MODELS:
        msg = f"There is no model '{name}'; choose one of: {', '.join(MODELS)}"
        raise ModelError(msg)
    if weights is None:
        entry: ModelEntry | None = model_entries().get(name)
        if entry is None:
            msg = f"No weights come with '{name}': train it (see `samspine train --help`) and give them with --weights"
            raise ModelError(msg)
        weights = verify(entry)
    return MODELS[name](name, weights, device)
