"""Truth as another annotator would have drawn it.

Annotators draw one bone differently: some keep to the cortex, some take its partial volume with them, and where joints
are worn each divides them in his own way. A network that has seen one hand only takes a correction for a slip at one
place; one that has seen many learns from a correction how this user draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Share = npt.NDArray[np.float32]

# Who marks whole voxels by eye takes along those that are partly bone: the border lies this far outside (voxels).
TAKEN_ALONG = 0.15

# So many hands see a spur, or a fused joint, as part of the bone here and not there.
LUMPY = 0.5


@dataclass(frozen=True)
class Hand:
    """How far out an annotator draws the border at each voxel (K, J, I), in voxels; negative is further in."""

    outwards: Share

    @classmethod
    def draw(cls, shape: tuple[int, int, int], rng: np.random.Generator) -> Hand:
        """Return a hand that errs everywhere by one offset and from place to place by a smooth sway."""
        sway = ndimage.gaussian_filter(rng.normal(size=shape), rng.uniform(2.5, 6.0))
        # Most hands are steady; one in four divides worn joints and stumps at will.
        strength = rng.uniform(0.0, 0.4) if rng.random() < 0.75 else rng.uniform(0.4, 1.5)
        outwards = rng.normal(TAKEN_ALONG, 0.3) + strength * sway / sway.std()
        if rng.random() < LUMPY:
            outwards += sum(_lump(shape, rng) for _ in range(int(rng.integers(1, 4))))
        return cls(outwards.astype(np.float32))

    def redraw(self, share: Share) -> Share:
        """Return the share of each voxel (K, J, I) that lies within the border as this hand draws it."""
        inside = share > 0.5
        if not inside.any() or inside.all():
            return share
        depth = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
        depth -= 0.5 * np.sign(depth)
        border = (share > 0.02) & (share < 0.98)
        depth[border] = share[border] - 0.5
        redrawn: Share = np.clip(0.5 + depth + self.outwards, 0.0, 1.0).astype(np.float32)
        return redrawn


def _lump(shape: tuple[int, int, int], rng: np.random.Generator) -> Share:
    """Return how far out (voxels; negative is in) one place is drawn that is seen as another bone's, or as this one's.

    Only where it lies on the border does it change anything; most of the places drawn near the middle do.
    """
    places = np.ogrid[: shape[0], : shape[1], : shape[2]]
    middle = rng.normal(np.array(shape) / 2, np.array(shape) / 5)
    away = sum((axis - at) ** 2 for axis, at in zip(places, middle, strict=True))
    size = rng.uniform(2.0, 4.5)
    lump: Share = rng.choice([-1.0, 1.0]) * rng.uniform(2.0, 6.0) * np.exp(-away / (2 * size**2))
    return lump
