"""Draw a segmentation over its image: three slices through the middle of the segments and a view of their surface.

python Screenshots/picture.py IMAGE SEGMENTATION OUT.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from SAMSpineLib.io import read_segmentation, read_volume
from SAMSpineLib.io.label_map import place_labels
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.resampling import sample, sample_labels
from SAMSpineLib.volume import Grid

Picture = npt.NDArray[np.float64]
WINDOW = (-200.0, 800.0)
HEIGHT_MM, WIDTH_MM, STEP_MM = 240, 170, 0.5


def main(image: Path, segmentation: Path, out: Path) -> None:
    """Write the picture."""
    volume, found = read_volume(image), read_segmentation(segmentation, spine_labels())
    labels = place_labels(found.labels, found.grid, volume.grid)
    middle = volume.grid.to_ras(np.argwhere(labels > 0).mean(axis=0)[::-1])
    grid = Grid.centred_on(middle, shape=(HEIGHT_MM, WIDTH_MM, WIDTH_MM), spacing=1.0)
    views = [_slice(volume.array, volume.grid, labels, middle, axis) for axis in (0, 1, 2)]
    views.append(_surface(sample_labels(labels, volume.grid, grid)))
    sitk.WriteImage(sitk.GetImageFromArray(np.concatenate(views, axis=1).astype(np.uint8), isVector=True), str(out))


def _slice(array: Picture, grid: Grid, labels: Picture, middle: Picture, axis: int) -> Picture:
    """Return sagittal, coronal or axial slices (RGB), head and front up, the patient's right on the left."""
    size = [WIDTH_MM, WIDTH_MM, HEIGHT_MM]
    shape = [int(n / STEP_MM) for n in size]
    shape[axis] = 1
    matrix = np.diag([STEP_MM, STEP_MM, STEP_MM, 1.0])
    matrix[:3, 3] = middle - STEP_MM * (np.array(shape) // 2)
    plane = Grid((shape[2], shape[1], shape[0]), matrix)
    grey = sample(array, grid, plane, fill=-1024.0).squeeze(2 - axis)
    names = sample_labels(labels, grid, plane).squeeze(2 - axis)
    shade = np.clip((grey - WINDOW[0]) / (WINDOW[1] - WINDOW[0]), 0, 1)[..., None] * np.array([255.0] * 3)
    outline = names != ndimage.grey_erosion(names, size=(3, 3))
    alpha = np.where(outline, 0.9, np.where(names > 0, 0.35, 0.0))[..., None]
    return _framed(((1 - alpha) * shade + alpha * _colours()[names])[::-1, :: -1 if axis == 0 else 1])


def _surface(names: npt.NDArray[np.integer]) -> Picture:
    """Return the segments as seen from behind and to the left, lit from above, fading with depth."""
    turned = ndimage.rotate(names, 35, axes=(1, 2), order=0, reshape=False)
    soft = ndimage.zoom(ndimage.gaussian_filter((turned > 0).astype(np.float32), 1.0), 2, order=1)[::-1]
    front = (soft > 0.5).argmax(axis=1)
    rows, columns = np.indices(front.shape)
    before, at = soft[rows, np.maximum(front - 1, 0), columns], soft[rows, front, columns]
    depth = ndimage.gaussian_filter(front - (at - 0.5) / np.maximum(at - before, 1e-3), 1.0)
    nearest = ndimage.distance_transform_edt(turned == 0, return_distances=False, return_indices=True)
    filled = turned[tuple(nearest)][::-1]
    colour = _colours()[filled[rows // 2, front // 2, columns // 2]]
    down, across = np.gradient(depth)
    light = np.clip((1.0 + 0.5 * down - 0.3 * across) / np.sqrt(1 + down**2 + across**2), 0.15, 1.2)
    seen = (soft > 0.5).any(axis=1)
    fade = 1.0 - 0.35 * (depth - depth[seen].min()) / np.ptp(depth[seen])
    return _framed(np.where(seen[..., None], colour * (light * fade)[..., None], 20.0))


def _framed(picture: Picture) -> Picture:
    """Bring a view to the common height, on black."""
    height = int(HEIGHT_MM / STEP_MM)
    frame = np.zeros((height, picture.shape[1] + 4, 3))
    top = (height - picture.shape[0]) // 2
    frame[max(top, 0) : max(top, 0) + picture.shape[0], :-4] = picture[:height]
    return np.clip(frame, 0, 255)


def _colours() -> Picture:
    table = np.zeros((65536, 3))
    for label in spine_labels():
        table[label.value] = label.colour
    return table


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
