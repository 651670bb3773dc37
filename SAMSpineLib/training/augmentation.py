"""How a scanner, a patient or a patch could have differed: changes of grid and of intensities, at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial.transform import Rotation

from SAMSpineLib.resampling import AIR_HU
from SAMSpineLib.volume import Grid

Image = npt.NDArray[np.float32]
BoolMask = npt.NDArray[np.bool_]


def augmented_grid(
    centre: npt.NDArray[np.float64], shape: tuple[int, int, int], spacing: float, rng: np.random.Generator
) -> Grid:
    """Return a patch grid around `centre` (RAS mm), turned by up to 20 degrees, scaled and now and then mirrored."""
    axis = rng.normal(size=3)
    turn = Rotation.from_rotvec(axis / np.linalg.norm(axis) * np.deg2rad(rng.normal(0, 9))).as_matrix()
    scale = np.exp(rng.uniform(-0.25, 0.2)) * np.exp(rng.normal(0, 0.05, 3))
    if rng.random() < 0.5:
        scale[0] = -scale[0]
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag(spacing * scale)
    matrix[:3, 3] = centre - matrix[:3, :3] @ (np.array(shape[::-1]) // 2)
    return Grid(shape, matrix)


def bent(images: Sequence[Image], rng: np.random.Generator) -> list[Image]:
    """Bend images (K, J, I) of one place by one smooth random displacement of some voxels: other people's bones."""
    shape = images[0].shape
    strength = rng.uniform(0.3, 1.5)
    zooms = np.array(shape) / 7
    places = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij"))
    places += [strength * ndimage.zoom(rng.normal(size=(7, 7, 7)).astype(np.float32), zooms, order=3) for _ in shape]
    return [ndimage.map_coordinates(image, places, order=1, mode="nearest").astype(np.float32) for image in images]


def arthrotic(image: Image, part: BoolMask, whole: BoolMask, rng: np.random.Generator) -> Image:
    """Close some of the gaps (HU) between a structure and its neighbours with new bone, as worn facet joints do.

    Which vertebra a process belongs to must then be read off its shape: the joint space no longer tells.
    """
    reach = int(rng.integers(1, 3))
    touching = ndimage.binary_dilation(part, iterations=reach)
    touching &= ndimage.binary_dilation(whole & ~part, iterations=reach)
    if not touching.any():
        return image
    grown = touching & (ndimage.gaussian_filter(rng.normal(size=image.shape), 2.5) > 0)
    bone = (rng.uniform(300, 900) + rng.normal(0, 120, image.shape)).astype(np.float32)
    joined: Image = ndimage.gaussian_filter(np.where(grown, np.maximum(image, bone), image), 0.45).astype(np.float32)
    return joined


def scanned_otherwise(image: Image, rng: np.random.Generator) -> Image:
    """Change HU as another scanner, kernel or patient would: contrast, offset, blur, noise, thick slices."""
    image = image.copy()
    if rng.random() < 0.35:
        image = _osteoporotic(image, rng.uniform(0.1, 0.9))
    if rng.random() < 0.7:
        bone = np.maximum(image - 80, 0)
        image += bone * rng.uniform(-0.4, 0.5) + rng.normal(0, 25)
    if rng.random() < 0.3:
        image = ndimage.gaussian_filter(image, rng.uniform(0.3, 0.9))
    elif rng.random() < 0.3:
        image += rng.uniform(0.3, 1.2) * (image - ndimage.gaussian_filter(image, 1.0))
    if rng.random() < 0.25:
        sigmas = np.zeros(3)
        sigmas[int(rng.integers(3))] = rng.uniform(0.5, 1.3)
        image = ndimage.gaussian_filter(image, sigmas)
    if rng.random() < 0.6:
        noise = rng.normal(0, 1, image.shape).astype(np.float32)
        if rng.random() < 0.5:
            noise = ndimage.gaussian_filter(noise, 0.7) * 2.5
        image += noise * rng.uniform(5, 60)
    if rng.random() < 0.12:
        _crop_field_of_view(image, rng)
    return image


def _osteoporotic(image: Image, loss: float) -> Image:
    """Let spongy bone fade towards soft tissue while the cortex stays: a body is then no brighter than its discs."""
    spongy = np.clip(image, 0, 400)
    faded: Image = (image + spongy * ((spongy / 400) ** loss - 1)).astype(np.float32)
    return faded


def _crop_field_of_view(image: Image, rng: np.random.Generator) -> None:
    """Blank one side of the patch, as at the border of a scan."""
    axis = int(rng.integers(3))
    size = image.shape[axis]
    cut = int(rng.integers(1, size // 4))
    side: list[slice] = [slice(None)] * 3
    side[axis] = slice(0, cut) if rng.random() < 0.5 else slice(size - cut, None)
    image[tuple(side)] = AIR_HU


def in_other_contrast(image: Image, rng: np.random.Generator) -> Image:
    """Give normalised intensities (-1..1) another order, as another modality would: tissue by tissue, at random.

    Source: the idea of SynthSeg (Billot et al., Medical Image Analysis 2023), on real images instead of label maps.
    """
    knots = np.linspace(-1, 1, int(rng.integers(4, 9)))
    values = rng.uniform(-1, 1, len(knots))
    contrast: Image = np.interp(image, knots, values).astype(np.float32)
    return contrast
