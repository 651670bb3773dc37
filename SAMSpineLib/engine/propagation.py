"""Follow a structure beyond the patch it was clicked in.

CT-SAM3D (arXiv 2403.15063) publishes a network that proposes clicks in a neighbouring patch, but neither how patches
are walked nor when to stop. The rules here:

1. A structure that would fit into one patch but touches a face is looked at again from its middle (`recentred`).
2. A patch is left through each face on which at least `face_voxels` voxels are marked, to the patch half a patch away
   along that axis and centred, across it, on the marked voxels: so the walk follows a bent spine.
   A chain of levels is only left upwards and downwards: its levels follow each other from head to foot and fit into a
   patch across, while sideways ribs and pelvis lead astray.
3. The neighbour starts from what is already known in the half that they share (as its previous answer) and from a
   click: the peak of the cross-patch prompter's heat map where it is sure, else the deepest known voxel. Clicks,
   scribbles and lassos count in every patch that they lie in; a box or a mask speaks of the patch it was given in.
4. A neighbour that contradicts what is known in the shared half (Dice below `AGREEMENT`) is dropped: it saw something
   else.
5. The walk ends when no face is left, or at the limit of patches. A place within a quarter of a patch of one that was
   visited counts as visited; a further click walks on from its own patch only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from SAMSpineLib.engine.cache import EncodedCache
from SAMSpineLib.engine.merging import PatchAnswer, covered, merge
from SAMSpineLib.engine.settings import EngineSettings
from SAMSpineLib.models.protocols import Encoded, Probability, Promptable
from SAMSpineLib.prompts import Box, MaskPrompt, Point, Prompt
from SAMSpineLib.volume import Grid, Volume

AGREEMENT = 0.8
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Walk:
    """The patches of one structure: answered, and refused because they contradict the answers."""

    answers: tuple[PatchAnswer, ...] = ()
    refused: tuple[Grid, ...] = ()


@dataclass(frozen=True)
class Walker:
    """Walks from patch to patch of one volume with one model."""

    model: Promptable
    cache: EncodedCache
    volume: Volume
    settings: EngineSettings
    chain: bool = False

    def answer(
        self, grid: Grid, prompts: Sequence[Prompt], *, previous: Probability | None, prompted: bool = True
    ) -> PatchAnswer:
        """Decode prompts on one patch."""
        encoded = self.cache.get(self.volume, grid)
        answer = self.model.decode(encoded, prompts, previous=previous, chain=self.chain)
        return PatchAnswer(grid, answer.probability, prompted, answer.quality)

    def recentred(self, answer: PatchAnswer, prompts: Sequence[Prompt]) -> PatchAnswer:
        """Look again from the middle of the structure if it touches a face of its patch and would fit into one."""
        mask = answer.probability > self.settings.threshold
        if not any(True for _ in self._open_faces(answer)):
            return answer
        kji = np.argwhere(mask)
        middle = answer.grid.to_ras(((kji.min(axis=0) + kji.max(axis=0)) / 2)[::-1])
        grid = self.model.grid_at((float(middle[0]), float(middle[1]), float(middle[2])), self.volume)
        if grid.same_place(answer.grid) or not _within(grid, prompts):
            return answer
        known, _ = merge([answer], grid)
        return self.answer(grid, prompts, previous=known)

    def walk(self, known: Walk, start: PatchAnswer, prompts: Sequence[Prompt], *, limit: int) -> Walk:
        """Go from `start`, one of the known answers, to all patches that the structure reaches from there.

        Returns the known answers followed by the new ones, in the order of visiting, and the patches refused.
        """
        answers, refused = list(known.answers), list(known.refused)
        queue = deque([start])
        while queue and len(answers) < limit:
            here = queue.popleft()
            for neighbour in self._open_faces(here):
                visited = (*(answer.grid for answer in answers), *refused)
                if len(answers) >= limit or any(_near(neighbour, grid) for grid in visited):
                    continue
                found = self._step(here, neighbour, answers, prompts)
                if found is None:
                    refused.append(neighbour)
                else:
                    answers.append(found)
                    queue.append(found)
        return Walk(tuple(answers), tuple(refused))

    def _open_faces(self, answer: PatchAnswer) -> Iterator[Grid]:
        """Yield the neighbour beyond each face that the structure touches and that has volume behind it."""
        mask = answer.probability > self.settings.threshold
        for axis in self._axes(answer.grid):
            for end in (0, -1):
                face: Mask = np.asarray(mask.take(end, axis=axis))
                if int(face.sum()) < self.settings.face_voxels:
                    continue
                if self._leaves_volume(answer.grid, axis, end, face):
                    continue
                yield _beyond(answer.grid, axis, end, face)

    def _axes(self, grid: Grid) -> tuple[int, ...]:
        """Return the array axes along which a structure may be followed: any, or for a chain the one most along S."""
        along = np.abs(grid.ijk_to_ras[2, :3]) / grid.spacing
        return (2 - int(along.argmax()),) if self.chain else (0, 1, 2)

    def _leaves_volume(self, grid: Grid, axis: int, end: int, face: Mask) -> bool:
        """Tell whether the volume ends behind the marked voxels of a face."""
        kji = np.insert(np.argwhere(face), axis, 0 if end == 0 else grid.shape[axis] - 1, axis=1).astype(float)
        kji[:, axis] += -1.5 if end == 0 else 1.5
        ijk = self.volume.grid.to_ijk(grid.to_ras(kji[:, ::-1]))
        inside = ((ijk > -0.5) & (ijk < np.array(self.volume.shape[::-1]) - 0.5)).all(axis=1)
        return int(inside.sum()) < self.settings.face_voxels

    def _step(
        self, here: PatchAnswer, neighbour: Grid, answers: Sequence[PatchAnswer], prompts: Sequence[Prompt]
    ) -> PatchAnswer | None:
        """Answer a neighbouring patch, or None where it contradicts what is known or adds nothing."""
        known, _ = merge(answers, neighbour)
        click = self._click(here, self.cache.get(self.volume, neighbour), known)
        if click is None:
            return None
        own = [prompt for prompt in prompts if not isinstance(prompt, (Box, MaskPrompt))]
        found = self.answer(neighbour, [*own, click], previous=known, prompted=False)
        threshold = self.settings.threshold
        before, after = (known > threshold), (found.probability > threshold) & covered(answers, neighbour)
        agreement = 2 * float((before & after).sum()) / max(float(before.sum() + after.sum()), 1.0)
        return found if agreement >= AGREEMENT else None

    def _click(self, here: PatchAnswer, neighbour: Encoded, known: Probability) -> Point | None:
        """Choose where to click in a neighbouring patch: where the prompter is sure, else deep in what is known."""
        heat = self.model.suggest(
            self.cache.get(self.volume, here.grid), here.probability > self.settings.threshold, neighbour
        )
        peak = np.unravel_index(int(heat.argmax()), heat.shape)
        if heat[peak] < self.settings.heat_threshold:
            depth = ndimage.distance_transform_edt(known > self.settings.threshold)
            peak = np.unravel_index(int(depth.argmax()), depth.shape)
            if depth[peak] == 0:
                return None
        x, y, z = neighbour.grid.to_ras(np.array(peak[::-1], dtype=float)).tolist()
        return Point((x, y, z))


def _beyond(grid: Grid, axis: int, end: int, face: Mask) -> Grid:
    """Return the patch half a patch beyond a face (array axis, first or last), centred across on its marked voxels."""
    size = np.array(grid.shape)
    shift = np.insert(np.argwhere(face).mean(axis=0) - np.delete(size, axis) // 2, axis, 0.0)
    shift[axis] = (-1 if end == 0 else 1) * (size[axis] // 2)
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, 3] = grid.to_ras(np.round(shift)[::-1])
    return Grid(grid.shape, matrix)


def _near(grid: Grid, other: Grid) -> bool:
    """Tell whether two patches lie within a quarter of a patch of each other along every axis."""
    return bool((np.abs(grid.to_ijk(other.ijk_to_ras[:3, 3])) <= np.array(grid.shape[::-1]) / 4).all())


def _within(grid: Grid, prompts: Sequence[Prompt]) -> bool:
    """Tell whether all that the prompts name lies in a patch."""
    return all(grid.voxel_at(place) is not None for prompt in prompts for place in prompt.places)
