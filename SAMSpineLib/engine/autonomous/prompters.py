"""From what was found to prompts: the same prompts that a human would give, so that a human can correct the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from SAMSpineLib.atlas.atlas import Atlas
from SAMSpineLib.atlas.propagation import PropagatedLevel, propagate
from SAMSpineLib.atlas.registration import RegistrationSettings
from SAMSpineLib.atlas.shapes import shapes_for
from SAMSpineLib.engine.autonomous.survey import Found, Localises, Survey, survey
from SAMSpineLib.models.ma_sam.pseudo_masks import LevelProbabilities
from SAMSpineLib.progress import Counted
from SAMSpineLib.prompts import MaskPrompt, Point, Prompt
from SAMSpineLib.volume import Volume

Prompts = dict[int, list[Prompt]]


def centre_prompts(surveyed: Survey) -> Prompts:
    """Return, for each level, its coarse mask and a click at its centre."""
    return {found.value: [MaskPrompt(found.mask, found.grid), _click(found)] for found in surveyed.found}


def atlas_prompts(
    surveyed: Survey,
    atlases: Sequence[Atlas],
    *,
    settings: RegistrationSettings | None = None,
    progress: Counted | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[Prompts, Mapping[int, PropagatedLevel]]:
    """Return, for each level, the fused pseudo-mask of registered atlases and a click at its centre.

    A level that no atlas fits keeps its coarse mask. Source: MA-SAM (Fan et al., IEEE TMI 2025), pseudo-mask prompts.

    Args:
        surveyed: what the localiser has found.
        atlases: label maps of other spines.
        settings: of the registration.
        progress: called as (registrations done, registrations in all, name of the atlas).
        cancelled: asked often; True ends the registration with the levels that are done.
    """
    prompts = centre_prompts(surveyed)
    targets = {found.value: (found.mask, found.grid) for found in surveyed.found}
    candidates = {value: shapes_for(value, atlases) for value in targets}
    propagated = propagate(
        targets, candidates, settings or RegistrationSettings(), progress=progress, cancelled=cancelled
    )
    for value, level in propagated.items():
        if level.probability is not None and level.probability.max() > 0.5:
            prompts[value][0] = MaskPrompt(level.probability, level.grid)
    return prompts, propagated


def pseudo_masks(prompts: Prompts) -> LevelProbabilities:
    """Return the masks among the prompts of each level as what MA-SAM is told."""
    masks = {value: next(one for one in given if isinstance(one, MaskPrompt)) for value, given in prompts.items()}
    return LevelProbabilities({value: (np.asarray(one.mask, np.float32), one.grid) for value, one in masks.items()})


def _click(found: Found) -> Point:
    """Click at the centre, or at the voxel of the coarse mask nearest to it."""
    centre = np.asarray(found.instance.centre)
    voxel = found.grid.voxel_at(centre)
    if voxel is None or not found.mask[voxel]:
        places = found.grid.to_ras(np.argwhere(found.mask)[:, ::-1])
        centre = places[np.linalg.norm(places - centre, axis=1).argmin()]
    x, y, z = centre.tolist()
    return Point((x, y, z))


@dataclass(frozen=True)
class CentrePrompter:
    """The `Prompter` that needs a localiser alone."""

    localiser: Localises
    name: str = field(default="centres", init=False)

    def prompt(self, volume: Volume) -> Mapping[int, Sequence[Prompt]]:
        """Return prompts for each level of a volume."""
        return centre_prompts(survey(volume, self.localiser))


@dataclass(frozen=True)
class AtlasPrompter:
    """The `Prompter` that registers atlases to what the localiser has found."""

    localiser: Localises
    atlases: Sequence[Atlas]
    name: str = field(default="atlas", init=False)

    def prompt(self, volume: Volume) -> Mapping[int, Sequence[Prompt]]:
        """Return prompts for each level of a volume."""
        return atlas_prompts(survey(volume, self.localiser), self.atlases)[0]
