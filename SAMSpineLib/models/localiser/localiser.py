"""The localiser at work: a volume in, maps over the whole of it out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer
from torch import Tensor

from SAMSpineLib.models.intensity import intensity_window, normalise
from SAMSpineLib.models.localiser.localisation import Field, Localisation
from SAMSpineLib.models.localiser.network import OFFSET_UNIT_MM, Localiser
from SAMSpineLib.models.precision import Precision, casting
from SAMSpineLib.resampling import AIR_HU, sample
from SAMSpineLib.volume import Grid, Volume

Progress = Callable[[float], None]

# Neighbouring windows share this much; what lies in a window's middle counts more than what lies at its border.
OVERLAP = 0.25
SLAB = 32


class VolumeLocaliser:
    """Slide a trained network over a volume; `batch_size` windows go through it together."""

    def __init__(
        self, network: Localiser, *, name: str, device: str = "cpu", precision: Precision = "auto", batch_size: int = 1
    ) -> None:
        """Take the network to a device (`cpu`, `cuda`, ...), to compute in a precision.

        Raises:
            ModelError: if the device cannot compute in that precision.
        """
        self.name = name
        self._cast = casting(precision, device)
        self.batch_size = batch_size
        self.config = network.config
        self.device = torch.device(device)
        self.network = network.to(self.device).to(memory_format=torch.channels_last_3d).eval()

    @torch.inference_mode()
    def localise(self, volume: Volume, *, progress: Progress | None = None) -> Localisation:
        """Return the maps of a whole volume.

        Args:
            volume: any orientation and spacing. Intensities of a CT are HU; those of anything else are windowed.
            progress: called with the share (0..1) that is done; what it raises ends the run.
        """
        grid = self.grid_of(volume)
        image = torch.from_numpy(self._image(volume, grid))[None, None]
        windows = SlidingWindowInferer(
            self.config.window, self.batch_size, OVERLAP, mode="gaussian", padding_mode="constant", cval=-1
        )
        expected, done = max(self._windows(grid), 1), 0

        def look(window: Tensor) -> tuple[Tensor, ...]:
            nonlocal done
            with self._cast():
                maps = self.network(window.to(self.device, memory_format=torch.channels_last_3d))
            done += len(window)
            if progress is not None:
                progress(min(done / expected, 1.0))
            return tuple(part.float().cpu() for part in maps)

        bone, heat, offsets, ribs, levels = windows(image, look)
        return Localisation(
            grid=grid,
            bone=torch.sigmoid(bone)[0, 0].numpy(),
            heat=heat[0, 0].numpy(),
            offsets=OFFSET_UNIT_MM * offsets[0].numpy(),
            level_grid=_every_second(grid),
            levels=torch.log_softmax(levels, dim=1)[0].numpy(),
            ribs=torch.sigmoid(ribs)[0, 0].numpy(),
        )

    def grid_of(self, volume: Volume) -> Grid:
        """Return the network's grid over a volume: axes R, A, S; no smaller than a window, and even along each axis."""
        corners = volume.grid.corners()
        low, high = corners.min(axis=0), corners.max(axis=0)
        spacing = self.config.spacing
        count = np.ceil((high - low) / spacing).astype(int) + 1
        count = np.maximum(count + count % 2, self.config.window[::-1])
        matrix = np.diag([spacing, spacing, spacing, 1.0])
        matrix[:3, 3] = (low + high) / 2 - spacing * (count - 1) / 2
        return Grid((int(count[2]), int(count[1]), int(count[0])), matrix)

    def _image(self, volume: Volume, grid: Grid) -> Field:
        """Read the volume on the grid, some slices at a time: a fine volume is never held twice."""
        window = intensity_window(volume, self.config.hounsfield)
        fill = AIR_HU if volume.modality == "CT" else window[0]
        k, j, i = grid.shape
        slabs = [grid.crop((0, i - 1, 0, j - 1, first, min(first + SLAB, k) - 1)) for first in range(0, k, SLAB)]
        return np.concatenate([normalise(sample(volume.array, volume.grid, slab, fill=fill), window) for slab in slabs])

    def _windows(self, grid: Grid) -> int:
        """Return how many windows a grid takes."""
        steps = [
            int(np.ceil(max(size - window, 0) / (window * (1 - OVERLAP)))) + 1
            for size, window in zip(grid.shape, self.config.window, strict=True)
        ]
        return int(np.prod(steps))


def _every_second(grid: Grid) -> Grid:
    """Return the grid of every second voxel along each axis, the first one included."""
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, :3] *= 2
    k, j, i = ((n + 1) // 2 for n in grid.shape)
    return Grid((k, j, i), matrix)
