"""What lies in folders on this machine, for faces that compute nothing: bundled models, and atlases of the user."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from SAMSpineLib.atlas.atlas import Atlas
from SAMSpineLib.atlas.library import AtlasLibrary, user_folder
from SAMSpineLib.models.registry import model_entries, verify
from SAMSpineLib.resources import resource_path
from SAMSpineLib.volume import Volume


def model_folder() -> Path:
    """Return where the bundled weights lie."""
    return resource_path("Models")


def model_names() -> tuple[str, ...]:
    """Return the networks that answer prompts and have bundled weights, the default one first."""
    from SAMSpineLib.models.build import DEFAULT_MODEL, MODELS

    names = [name for name in model_entries() if name in MODELS]
    return tuple(sorted(names, key=lambda name: name != DEFAULT_MODEL))


def verify_models() -> int:
    """Check all bundled weights and return how many there are.

    Raises:
        ModelError: if one is missing or damaged.
    """
    return len([verify(entry) for entry in model_entries().values()])


def add_atlas(name: str, labels: npt.NDArray[np.integer], image: Volume) -> Path:
    """Add a label map (K, J, I) on the grid of its image to the user's atlases; return their folder.

    Raises:
        LabelError, VolumeError, OutputError: see `Atlas` and `AtlasLibrary.add`.
    """
    shelf = AtlasLibrary(user_folder())
    free = _free(re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:56] or "atlas", shelf.names)
    shelf.add(Atlas(free, labels, image.grid, image))
    return shelf.folder


def _free(name: str, taken: tuple[str, ...] | list[str]) -> str:
    """Return a name that nobody has."""
    numbered = (f"{name}-{n}" for n in range(2, len(taken) + 3))
    return next(one for one in (name, *numbered) if one not in taken)
