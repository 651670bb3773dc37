"""Where exactly a bone ends: the image settles, to a fraction of a voxel, what a network says to a voxel of its own.

A network that looks at 2 mm voxels knows which bone it is and about where it ends. Where the bone is clearly brighter
than what surrounds it, the image knows better: about half of the way from one to the other. Half maximum is how bone
is measured in CT (Spoor et al., American Journal of Physical Anthropology 1993, 91:469); the two levels are means over
the neighbourhood, as in localised region-based contours (Lankton and Tannenbaum, IEEE Transactions on Image Processing
2008, 17:2029).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.special import ndtr

Mask = npt.NDArray[np.bool_]
Field = npt.NDArray[np.float32]

# The border moves by at most this.
REACH_MM = 1.5
# Noise is smoothed by this; it is about the resolution of a CT.
BLUR_MM = 0.7
# Over this radius the bone, and what surrounds it, have one brightness each. Nothing finer than `STEP_MM` is needed.
NEIGHBOURHOOD_MM = 3.0
STEP_MM = 1.0
# Bone that is not this much brighter (HU) than what surrounds it ends where the network says: joints, discs, metal.
CONTRAST_HU = 150.0
WINDOW_HU = (-200.0, 1300.0)


def settled_border(mask: Mask, image: npt.NDArray[Any], spacing: npt.NDArray[np.float64], *, share: float) -> Mask:
    """Return a mask whose border lies where the image falls from bone to its surroundings.

    Args:
        mask: (K, J, I), what a network marked.
        image: (K, J, I), HU.
        spacing: of both, along K, J, I (mm).
        share: the border lies at this share (0..1) of the way up from the surroundings to the bone; 0.5 is where bone
            ends, less is where an annotator ends who takes along what is partly bone.
    """
    if not mask.any() or mask.all():
        return mask
    # At a flat border this is the normal distribution of the distance in mm: 0.5 on it, 0.93 at 1.5 mm inside.
    inside = ndimage.gaussian_filter(mask.astype(np.float32), 1.0 / spacing)
    hounsfield = np.clip(np.nan_to_num(image.astype(np.float32), nan=WINDOW_HU[0]), *WINDOW_HU)
    border, contrast = _levels(mask, inside, hounsfield, spacing, share)
    reach = _normal(REACH_MM)
    movable = (inside > 1 - reach) & (inside < reach) & (contrast > CONTRAST_HU)
    smooth = ndimage.gaussian_filter(hounsfield, BLUR_MM / spacing)
    settled: Mask = np.where(movable, smooth > border, mask)
    return settled


def _levels(
    mask: Mask, inside: Field, image: Field, spacing: npt.NDArray[np.float64], share: float
) -> tuple[Field, Field]:
    """Return, at each voxel, the brightness (HU) at which the bone ends, and by how much bone is brighter."""
    steps = np.maximum((STEP_MM / spacing + 0.01).astype(int), 1)
    every = tuple(slice(step // 2, None, step) for step in steps)
    coarse, near = image[every], inside[every]
    bone = mask[every] & (near < _normal(3.0))
    around = ~mask[every] & (near < _normal(-0.5)) & (near > _normal(-3.0))
    sigma = NEIGHBOURHOOD_MM / (spacing * steps)
    high, low = _local_mean(coarse, bone, sigma), _local_mean(coarse, around, sigma)
    fields = share * high + (1 - share) * low, high - low
    # Back to every voxel: what was taken at voxel `step // 2` holds for the whole step.
    sizes = zip(mask.shape, steps, coarse.shape, strict=True)
    wide = np.ix_(*(np.minimum(np.arange(n) // step, last - 1) for n, step, last in sizes))
    return fields[0][wide], fields[1][wide]


def _local_mean(image: Field, where: Mask, sigma: npt.NDArray[np.float64]) -> Field:
    """Return the mean of an image over the marked voxels of each neighbourhood; 0 where there are none."""
    weight = ndimage.gaussian_filter(where.astype(np.float32), sigma)
    total = ndimage.gaussian_filter(image * where, sigma)
    mean: Field = np.where(weight > 1e-3, total / np.maximum(weight, np.float32(1e-3)), np.float32(0.0))
    return mean


def _normal(distance: float) -> float:
    """Return the standard normal distribution function."""
    return float(ndtr(distance))
