"""From a recipe and a manifest to the cases that a run draws from: real ones, synthetic ones, and their shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from SAMSpineLib.errors import VolumeError
from SAMSpineLib.progress import Counted
from SAMSpineLib.training.cases import Case, load_phantom, phantom_files, read_manifest
from SAMSpineLib.training.recipes import Recipe

# Runs with different seeds see different phantoms, as long as they make fewer than this.
_SEEDS_OF_A_RUN = 1000


def prepare_cases(
    recipe: Recipe, manifest: Path | None, folder: Path, *, progress: Counted | None = None
) -> list[Case]:
    """Read the real cases of a manifest and make the phantoms of a recipe in `folder`, weighted by `phantom_share`.

    Phantoms that are in `folder` already are used again. Within each kind the given weights keep their proportions.

    Args:
        recipe: `phantoms`, `phantom_share` and `seed` are used.
        manifest: see `read_manifest`; None trains on phantoms alone.
        folder: where phantoms are kept.
        progress: called as (phantoms done, phantoms in all, file name).

    Raises:
        VolumeError: if there is neither a manifest nor a phantom, or the manifest cannot be read.
        LabelError: if a case has no labelled structure.
    """
    if manifest is None and recipe.phantoms < 1:
        msg = "There is nothing to train on: give a manifest of labelled images, or at least one phantom"
        raise VolumeError(msg)
    real = read_manifest(manifest) if manifest is not None else []
    made = []
    for path in phantom_files(folder, recipe.phantoms, first_seed=_SEEDS_OF_A_RUN * recipe.seed):
        made.append(load_phantom(path))
        if progress is not None:
            progress(len(made), recipe.phantoms, path.name)
    share = recipe.phantom_share if real and made else float(bool(made))
    return [*_sharing(real, 1 - share), *_sharing(made, share)]


def _sharing(cases: Sequence[Case], share: float) -> list[Case]:
    """Scale the weights of cases to the sum `share`."""
    total = sum(case.weight for case in cases) or 1.0
    return [replace(case, weight=share * case.weight / total) for case in cases]
