"""How a scanner, a patient or a patch could have differed: changes of grid and of intensities, at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial.transform import Rotation

from SAMSpineLib.resampling import AIR_HU
from SAMSpineLib.training.annotators import Share
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
    grown = _gap(part, whole, int(rng.integers(1, 3)))
    grown &= ndimage.gaussian_filter(rng.normal(size=image.shape), 2.5) > 0
    return _filled(image, grown, rng.uniform(300, 900), rng)


def bright_discs(image: Image, part: BoolMask, whole: BoolMask, rng: np.random.Generator) -> Image:
    """Fill the gaps (HU) between a structure and its neighbours until they are as bright as spongy bone.

    Narrow, calcified and fused discs look like this: where a body ends is then told by its shape alone.
    """
    return _filled(image, _gap(part, whole, int(rng.integers(2, 5))), rng.uniform(90, 300), rng)


def with_spurs(image: Image, part: Share, whole: Share, rng: np.random.Generator) -> tuple[Image, Share, Share]:
    """Let a structure grow bony spurs at some places of its border: image (HU) and both shares (K, J, I).

    Unlike the lumps of an annotator's hand these can be seen.
    """
    border = np.argwhere((part > 0.5) & (ndimage.uniform_filter((part > 0.5).astype(np.float32), 3) < 0.7))
    if not len(border):
        return image, part, whole
    places = np.ogrid[tuple(slice(0, n) for n in image.shape)]
    spur = np.zeros(image.shape, np.float32)
    for middle in border[rng.integers(len(border), size=int(rng.integers(1, 5)))]:
        radii = rng.uniform(1.2, 3.5, 3)
        away = sum(((axis - at) / r) ** 2 for axis, at, r in zip(places, middle, radii, strict=True))
        np.maximum(spur, np.clip(2.0 - away, 0.0, 1.0), out=spur)
    spur[(whole > 0.5) & (part <= 0.5)] = 0  # a neighbour keeps what it has
    bone = rng.uniform(250, 900) + rng.normal(0, 80, image.shape)
    grown = (image + spur * np.maximum(bone - image, 0)).astype(np.float32)
    return grown, np.maximum(part, spur), np.maximum(whole, spur)


def _gap(part: BoolMask, whole: BoolMask, reach: int) -> BoolMask:
    """Mark what lies within `reach` voxels of a structure and of its neighbours alike."""
    near: BoolMask = ndimage.binary_dilation(part, iterations=reach)
    near &= ndimage.binary_dilation(whole & ~part, iterations=reach)
    return near


def _filled(image: Image, where: BoolMask, level: float, rng: np.random.Generator) -> Image:
    """Raise an image to about a level (HU) at some voxels."""
    if not where.any():
        return image
    matter = (level + rng.normal(0, 0.2 * level, image.shape)).astype(np.float32)
    filled: Image = ndimage.gaussian_filter(np.where(where, np.maximum(image, matter), image), 0.45).astype(np.float32)
    return filled


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
    axes = [axis for axis, size in enumerate(image.shape) if size >= 8]  # a slice has no third
    axis = axes[int(rng.integers(len(axes)))]
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
