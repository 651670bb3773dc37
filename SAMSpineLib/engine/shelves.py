"""What lies in folders on this machine, for faces that compute nothing: models, and atlases of the user."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from SAMSpineLib.atlas.atlas import Atlas
from SAMSpineLib.atlas.library import AtlasLibrary, user_folder
from SAMSpineLib.models.registry import Release, releases
from SAMSpineLib.models.store.adding import slug
from SAMSpineLib.models.store.resolving import user_store
from SAMSpineLib.volume import Volume


def model_folder(*, make: bool = False) -> Path:
    """Return where the user's own models lie; `make` sees to it that it is there.

    Raises:
        OutputError: if it cannot be made.
    """
    store = user_store()
    if make:
        store.make_folder()
    return store.folder


def model_names() -> tuple[str, ...]:
    """Return the networks that answer prompts and whose weights are on this machine, the default one first."""
    from SAMSpineLib.models.catalogue import at_hand

    return at_hand()


def model_name_for(text: str) -> str:
    """Return what a model may be called after a structure or a file: lower case, with dashes for what no name has."""
    return slug(text)


def sam_to_teach(name: str) -> str:
    """Return which SAM to teach where a model is in use; see `models.build.sam_for`."""
    from SAMSpineLib.models.build import sam_for

    return sam_for(name)


def teaching_folder(name: str) -> Path:
    """Return where the run that teaches a model keeps what it needs to go on."""
    return user_store().teaching_folder(name)


def verify_models() -> int:
    """Check all weights on this machine and return how many there are.

    Raises:
        ModelError: naming all that are missing or damaged.
    """
    from SAMSpineLib.models.catalogue import verified

    return len(verified())


def own_models() -> tuple[str, ...]:
    """Return the names of the user's own models."""
    return tuple(user_store().models())


def clear_models() -> tuple[str, ...]:
    """Remove the user's own models and what is half downloaded; return their names."""
    return user_store().clear()


def downloadable() -> tuple[Release, ...]:
    """Return the published models that are not on this machine."""
    here = user_store().models()
    return tuple(release for name, release in releases().items() if name not in here)


def accept_terms(name: str) -> None:
    """Remember that the user has seen and accepted the terms of a published model."""
    user_store().accept(name)


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
