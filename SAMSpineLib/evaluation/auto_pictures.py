"""Pictures of a labelled spine with numpy alone: two curved slices and two views of the surface.

All are seen as radiologists see them: head up; from the front the patient's right is on the left of the picture, from
the side the front of the body is. One pixel is `PIXEL_MM` wide and high.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from SAMSpineLib.evaluation.metrics import bounding_extent
from SAMSpineLib.resampling import AIR_HU, sample, sample_labels
from SAMSpineLib.volume import Grid, Volume, slices_of

PIXEL_MM = 1.0
_MARGIN_MM = 12.0
_BONE_WINDOW_HU = (-250.0, 1000.0)
_OVERLAY = 0.45
_SMOOTHING = 1.2  # pixels
_GREY = (150, 150, 150)
# Light from above, from the viewer's left, and from behind the viewer: x right, y down, z towards the viewer.
_LIGHT = np.array([-0.35, -0.45, 0.82])
_AMBIENT = 0.35

Pixels = npt.NDArray[np.uint8]
Centres = Mapping[int, npt.ArrayLike]
LabelArray = npt.NDArray[np.integer[Any]]
Places = Mapping[int, npt.NDArray[np.float64]]
Colours = Mapping[int, tuple[int, int, int]]


@dataclass(frozen=True, eq=False)
class Picture:
    """`pixels` (rows, columns, RGB or RGBA) and where in it (x, y; pixels) the centre of each level lies, by value."""

    title: str
    pixels: Pixels = field(repr=False)
    marks: dict[int, tuple[float, float]]


def pictures_of(
    volume: Volume, labels: LabelArray, grid: Grid, centres: Centres, colours: Colours
) -> tuple[Picture, ...]:
    """Draw a sagittal and a coronal slice along the centre line, and the surface from the front and from the left.

    Args:
        volume: the image; CT is shown with a bone window, anything else from its darkest to its brightest hundredth.
        labels: label map (K, J, I) on `grid`.
        grid: where it lies; may be oblique, anisotropic, and another one than the volume's.
        centres: centre of each level (RAS mm) by label value.
        colours: RGB (0..255) by label value; what has none is drawn grey.

    Returns:
        The four pictures; none if the map is empty or there is no centre.
    """
    extent = bounding_extent(labels)
    if extent is None or not centres:
        return ()
    inner, crop = grid.crop(extent), labels[slices_of(extent)]
    frame = _frame(crop, inner)
    names = sample_labels(crop, inner, frame)
    table = _colour_table(int(names.max()), colours)
    places = {value: frame.to_ijk(place) for value, place in centres.items()}
    grey = windowed(volume, frame)
    return (*_slices(grey, names, table, places), *_views(names, table, places))


def png(pixels: Pixels) -> bytes:
    """Encode pixels (rows, columns, 3 or 4) as PNG (ISO/IEC 15948), every row unfiltered."""
    height, width, channels = pixels.shape
    rows = np.pad(pixels.reshape(height, width * channels), ((0, 0), (1, 0)))
    header = struct.pack(">2I5B", width, height, 8, 6 if channels == 4 else 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    packed = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def _frame(labels: LabelArray, grid: Grid) -> Grid:
    """Return a grid along R, A, S of `PIXEL_MM` around every label and a margin."""
    boxes = [box for box in ndimage.find_objects(labels) if box is not None]
    ends = np.array([[(axis.start - 0.5, axis.stop - 0.5) for axis in box[::-1]] for box in boxes])
    corners = np.concatenate([np.stack(np.meshgrid(*box), axis=-1).reshape(-1, 3) for box in ends])
    ras = grid.to_ras(corners)
    low, high = ras.min(axis=0) - _MARGIN_MM, ras.max(axis=0) + _MARGIN_MM
    matrix = np.diag([PIXEL_MM, PIXEL_MM, PIXEL_MM, 1.0])
    matrix[:3, 3] = low
    size = np.ceil((high - low) / PIXEL_MM).astype(int) + 1
    return Grid((int(size[2]), int(size[1]), int(size[0])), matrix)


def windowed(volume: Volume, frame: Grid) -> Pixels:
    """Return the image (K, J, I) on a grid as grey values: CT in a window of bone, anything else by its percentiles."""
    ct = volume.modality == "CT"
    image = sample(volume.array, volume.grid, frame, fill=AIR_HU if ct else 0.0)
    low, high = _BONE_WINDOW_HU if ct else np.percentile(image, (1, 99))
    scaled = (image - low) * (255.0 / max(high - low, 1e-6))
    grey: Pixels = np.clip(scaled, 0, 255).astype(np.uint8)
    return grey


def _colour_table(highest: int, colours: Colours) -> Pixels:
    """Return RGB by label value (values, 3)."""
    return np.array([colours.get(value, _GREY) for value in range(highest + 1)], np.uint8)


def _slices(grey: Pixels, names: LabelArray, table: Pixels, places: Places) -> tuple[Picture, Picture]:
    """Cut along the centre line: each row of the picture is taken where the line passes."""
    rows, depth, width = names.shape
    i, j, k = np.array(sorted(places.values(), key=lambda place: float(place[2]))).T
    row = np.arange(rows)
    line_i, line_j = (
        np.rint(np.interp(row, k, line)).astype(int).clip(0, size - 1) for line, size in ((i, width), (j, depth))
    )
    from_left = {value: (depth - 1 - place[1], rows - 1 - place[2]) for value, place in places.items()}
    from_front = {value: (width - 1 - place[0], rows - 1 - place[2]) for value, place in places.items()}
    sagittal, coronal = (row, slice(None), line_i), (row, line_j)
    return (
        Picture("Sagittal slice along the spine", _overlaid(grey[sagittal], names[sagittal], table), from_left),
        Picture("Coronal slice along the spine", _overlaid(grey[coronal], names[coronal], table), from_front),
    )


def _overlaid(grey: Pixels, names: LabelArray, table: Pixels) -> Pixels:
    """Tint labels and draw their outlines; head up and the second axis from right to left."""
    grey, names = grey[::-1, ::-1], names[::-1, ::-1]
    colour = table[names]
    opacity = np.where(names > 0, _OVERLAY, 0.0)
    around = np.ones((3, 3), bool)
    low, high = (found(names, footprint=around) for found in (ndimage.minimum_filter, ndimage.maximum_filter))
    opacity[(low != high) & (names > 0)] = 1.0
    mixed = grey[..., None] * (1 - opacity[..., None]) + colour * opacity[..., None]
    tinted: Pixels = np.rint(mixed).astype(np.uint8)
    return tinted


def _views(names: LabelArray, table: Pixels, places: Places) -> tuple[Picture, Picture]:
    """Look at the surface from the front and from the patient's left; what is seen first comes first in depth."""
    rows, depth, width = names.shape
    solid = ndimage.gaussian_filter((names > 0).astype(np.float32), _SMOOTHING)
    pixels = []
    for one in (names, solid):
        flipped = one[::-1, ::-1, ::-1]
        pixels.append((flipped.transpose(1, 0, 2), flipped[:, :, ::-1].transpose(2, 0, 1)))
    front, left = (_shaded(names_, solid_, table) for names_, solid_ in zip(*pixels, strict=True))
    return (
        Picture("Surface from the front", front, {v: (width - 1 - p[0], rows - 1 - p[2]) for v, p in places.items()}),
        Picture("Surface from the left", left, {v: (depth - 1 - p[1], rows - 1 - p[2]) for v, p in places.items()}),
    )


def _shaded(names: LabelArray, solid: npt.NDArray[np.float32], table: Pixels) -> Pixels:
    """Light the first surface along axis 0 of a label map (depth, rows, columns) after Lambert; RGBA.

    `solid` is the smoothed map; where it passes 1/2 the surface lies, so that steps of voxels are not seen.
    """
    first = (names > 0).argmax(axis=0)
    seen = (names > 0).any(axis=0)
    depth = np.where(seen, _crossing(solid, first), float(names.shape[0]))
    slope_y, slope_x = (slope.clip(-4, 4) for slope in np.gradient(depth))
    normal = np.stack([slope_x, slope_y, np.ones_like(depth)], axis=-1)
    light = (normal @ _LIGHT / np.linalg.norm(normal, axis=-1)).clip(0, 1)
    near, far = depth[seen].min(), depth[seen].max()
    haze = 1 - 0.35 * (depth - near) / max(far - near, 1.0)
    shade = (_AMBIENT + (1 - _AMBIENT) * light) * haze.clip(0, 1)
    colour = table[np.take_along_axis(names, first[None], axis=0)[0]]
    return np.dstack([colour * shade[..., None], np.where(seen, 255, 0)]).round().astype(np.uint8)


def _crossing(solid: npt.NDArray[np.float32], first: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Return where along axis 0 a smoothed map passes 1/2 near the first voxel; that voxel where it is too thin."""
    found = (solid > 0.5).argmax(axis=0)
    before, at = (np.take_along_axis(solid, where[None], axis=0)[0] for where in ((found - 1).clip(0), found))
    passed = found - (at - 0.5) / np.maximum(at - before, 1e-3)
    return np.where((at > 0.5) & (np.abs(found - first) <= 2), passed, first)
