"""What the localiser says of a volume: the nouns that instances, levels and pictures are made from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from SAMSpineLib.volume import Grid

Field = npt.NDArray[np.float32]

# Label values that the level evidence tells apart, head to foot: C1 to C7, T1 to T12, L1 to L5, sacrum. What few people
# have is shown to the network as its neighbour (T13 as T12, L6 as L5): whether it is there, counting tells.
LEVEL_VALUES: tuple[int, ...] = (*range(1, 25), 26)


@dataclass(frozen=True, eq=False)
class Localisation:
    """Maps over a whole volume, on isotropic grids whose axes are R, A and S.

    Attributes:
        grid: about 3 mm.
        bone: (K, J, I) on `grid`, probability that a voxel belongs to any vertebra or the sacrum.
        heat: (K, J, I) on `grid`, about 1 at the centre of a vertebra, falling off as a Gaussian of 6 mm. The sacrum
            has no centre.
        offsets: (3, K, J, I) on `grid`, the way in mm (R, A, S) from a voxel to the centre of the vertebra that it
            belongs to; meaningless where `bone` is low.
        level_grid: about 6 mm, the same field of view.
        levels: (25, K, J, I) on `level_grid`, log-probabilities of `LEVEL_VALUES`, given that a voxel is spine.
        ribs: (K, J, I) on `grid`, probability that a voxel belongs to a rib.
    """

    grid: Grid
    bone: Field = field(repr=False)
    heat: Field = field(repr=False)
    offsets: Field = field(repr=False)
    level_grid: Grid
    levels: Field = field(repr=False)
    ribs: Field = field(repr=False)
