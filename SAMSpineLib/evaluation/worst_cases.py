"""Where results are furthest from their truths, as pictures: a slice with the outlines of both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from SAMSpineLib.evaluation.auto_pictures import Pixels, windowed
from SAMSpineLib.evaluation.cohort import CaseScore, read_pair, value_of
from SAMSpineLib.evaluation.cuts import cuts_of
from SAMSpineLib.evaluation.metrics import bounding_extent
from SAMSpineLib.io.reading import read_with_notices
from SAMSpineLib.labels import LabelTable
from SAMSpineLib.resampling import sample, sample_labels
from SAMSpineLib.stack import stack_along
from SAMSpineLib.volume import Grid, Volume

TRUTH_COLOUR, RESULT_COLOUR, SHARED_COLOUR = (60, 190, 255), (255, 150, 30), (255, 255, 255)
_SIDE = 320  # pixels, about
_FINEST = 8
_MARGIN_MM = 12.0
_BLANK = 40


@dataclass(frozen=True, eq=False)
class WorstCase:
    """A structure of a case, its Dice, the number of the slice that is shown, and its `pixels` (rows, columns, RGB)."""

    case: CaseScore
    structure: str
    dice: float
    index: int
    pixels: Pixels = field(repr=False)


def worst_of(cases: Sequence[CaseScore], structures: Sequence[str], count: int) -> list[tuple[CaseScore, str]]:
    """Return the structures of cases with the lowest Dice, lowest first: of each case its worst one.

    Where there are fewer cases than `count`, more structures of each follow, as far as there are any.
    """
    first, others = [], []
    for order, case in enumerate(cases):
        scores = sorted((value_of(case, name, "dice"), name) for name in structures if name in case.true)
        ranked = [(score, order, name) for score, name in scores]
        first += ranked[:1]
        others += ranked[1:]
    chosen = [*sorted(first), *sorted(others)][:count]
    return [(cases[order], name) for _, order, name in chosen]


def draw(case: CaseScore, structure: str, table: LabelTable) -> WorstCase:
    """Read a case again and draw the slice in which result and truth differ in the most voxels.

    The slice is one of those that were acquired, seen as radiologists see it, with square pixels; without an image it
    is grey.

    Raises:
        VolumeError: if a file cannot be read any more.
    """
    prediction, truth = read_pair(case.pair, table)
    grid, value = truth.volume.grid, truth.table.by_name(structure).value
    masks = [truth.volume.array == value, sample_labels(prediction.array, prediction.grid, grid) == value]
    cut = cuts_of(grid)[0]
    index = int(cut.areas(masks[0] ^ masks[1]).argmax())
    if masks[0].any() and not (masks[0] ^ masks[1]).any():
        index = int(cut.areas(masks[0]).argmax())
    frame = _frame(grid, masks, index)
    shown = [sample(mask.astype(np.uint8), grid, frame, fill=0, order=0)[0] > 0 for mask in masks]
    image = read_with_notices(case.pair.image).volume if case.pair.image is not None else None
    grey = _grey(image, frame)
    return WorstCase(case, structure, value_of(case, structure, "dice"), index, _outlined(grey, shown[0], shown[1]))


def _grey(image: Volume | None, frame: Grid) -> Pixels:
    """Return an image on a slice as grey values (rows, columns); even where there is none."""
    if image is None:
        return np.full(frame.shape[1:], _BLANK, np.uint8)
    # What is stored in 8 bits is a picture and no CT, whatever it is called.
    picture = image.array.dtype == np.uint8
    grey: Pixels = windowed(replace(image, modality="OT") if picture else image, frame)[0]
    return grey


def _frame(grid: Grid, masks: Sequence[npt.NDArray[np.bool_]], index: int) -> Grid:
    """Return a slice's grid (1, H, W) around what is marked in it, in square pixels, fine enough for thin outlines."""
    stack = stack_along(grid)
    pixel = float(np.sort(grid.spacing)[0])
    height, width = (max(round(side / pixel), 1) for side in stack.size)
    whole = stack.grid(index, (height, width))
    marked = np.zeros(whole.shape, bool)
    for mask in masks:
        marked |= sample(mask.astype(np.uint8), grid, whole, fill=0, order=0) > 0
    i0, i1, j0, j1, _, _ = bounding_extent(marked) or (0, width - 1, 0, height - 1, 0, 0)
    margin = math.ceil(max(_MARGIN_MM / pixel, 0.2 * max(i1 - i0, j1 - j0)))
    crop = whole.crop(
        (max(i0 - margin, 0), min(i1 + margin, width - 1), max(j0 - margin, 0), min(j1 + margin, height - 1), 0, 0)
    )
    return _finer(crop, min(max(round(_SIDE / max(crop.shape)), 1), _FINEST))


def _finer(grid: Grid, times: int) -> Grid:
    """Return a slice's grid (1, H, W) with so many pixels for each one, along both sides."""
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, :2] /= times
    first = 0.5 / times - 0.5
    matrix[:3, 3] = grid.to_ras([first, first, 0])
    return Grid((1, grid.shape[1] * times, grid.shape[2] * times), matrix)


def _outlined(grey: Pixels, truth: npt.NDArray[np.bool_], result: npt.NDArray[np.bool_]) -> Pixels:
    """Draw the outlines of two masks (rows, columns) over grey values; white where they meet."""
    pixels: Pixels = np.repeat(grey[..., None], 3, axis=2)
    edges = [mask & ~ndimage.binary_erosion(mask, np.ones((3, 3), bool), border_value=1) for mask in (truth, result)]
    for edge, colour in ((edges[0], TRUTH_COLOUR), (edges[1], RESULT_COLOUR), (edges[0] & edges[1], SHARED_COLOUR)):
        pixels[edge] = colour
    return pixels
