"""CT-SAM3D behind the `Promptable` protocol: millimetres and volumes on the outside, patches on the inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from SAMSpineLib.models.ct_sam3d.network import CTSAM3D
from SAMSpineLib.models.ct_sam3d.prompt_maps import prompt_maps
from SAMSpineLib.models.intensity import intensity_window, normalise
from SAMSpineLib.models.precision import Precision, casting
from SAMSpineLib.models.protocols import Answer, Encoded, Probability
from SAMSpineLib.prompts import Prompt, Ras
from SAMSpineLib.resampling import AIR_HU, sample
from SAMSpineLib.volume import Grid, Volume


@dataclass(frozen=True, eq=False)
class EncodedPatch:
    """A patch's intensities (1, 1, N, N, N) and its feature pyramid."""

    grid: Grid
    image: Tensor = field(repr=False)
    pyramid: list[Tensor] = field(repr=False)

    @property
    def nbytes(self) -> int:
        """Memory of image and features."""
        return sum(tensor.nbytes for tensor in (self.image, *self.pyramid))


class CTSAM3DPromptable:
    """Answer prompts on isotropic patches whose axes are R, A and S."""

    def __init__(self, network: CTSAM3D, *, name: str, device: str = "cpu", precision: Precision = "auto") -> None:
        """Take a trained network to a device (`cpu`, `cuda`, ...), to compute in a precision.

        Raises:
            ModelError: if the device cannot compute in that precision.
        """
        self.name = name
        self._cast = casting(precision, device)
        self.config = network.config
        self.device = torch.device(device)
        self.network = network.to(self.device).to(memory_format=torch.channels_last_3d).eval()
        self._windows: WeakKeyDictionary[Volume, tuple[float, float]] = WeakKeyDictionary()

    @property
    def slicewise(self) -> None:
        """Nothing: patches are cubes."""
        return

    def grid_at(self, ras: Ras, volume: Volume | None = None) -> Grid:  # noqa: ARG002 - the same in every volume
        """Return the patch around a place (RAS mm), on the lattice of multiples of the voxel size."""
        snapped = np.round(np.asarray(ras) / self.config.spacing) * self.config.spacing
        n = self.config.patch
        return Grid.centred_on(snapped, shape=(n, n, n), spacing=self.config.spacing)

    @torch.inference_mode()
    def encode(self, volume: Volume, grid: Grid) -> EncodedPatch:
        """Read a patch, bring it to the network's window, and encode it."""
        if volume not in self._windows:
            self._windows[volume] = intensity_window(volume, self.config.window)
        window = self._windows[volume]
        fill = AIR_HU if volume.modality == "CT" else window[0]
        voxels = normalise(sample(volume.array, volume.grid, grid, fill=fill), window)
        image = self._tensor(voxels)
        with self._cast():
            return EncodedPatch(grid, image, self.network.encode(image))

    @torch.inference_mode()
    def decode(
        self, encoded: Encoded, prompts: Sequence[Prompt], *, previous: Probability | None = None, chain: bool = False
    ) -> Answer:
        """Decode prompts on an encoded patch; see `Promptable.decode`."""
        patch = _own(encoded)
        maps = prompt_maps(prompts, patch.grid, sigma_mm=self.config.click_sigma_mm, previous=previous)
        maps = maps[None].to(self.device, memory_format=torch.channels_last_3d)
        with self._cast():
            logits, quality = self.network.decode(patch.pyramid, maps)
        channel = int(chain)
        probability = torch.sigmoid(logits[0, channel].float()).cpu().numpy()
        return Answer(probability, float(torch.sigmoid(quality[0, channel].float())))

    @torch.inference_mode()
    def suggest(self, encoded: Encoded, mask: npt.NDArray[np.bool_], neighbour: Encoded) -> Probability:
        """Run the cross-patch prompter; see `Promptable.suggest`."""
        images = _own(encoded).image, self._tensor(mask.astype(np.float32)), _own(neighbour).image
        with self._cast():
            heat = self.network.suggest(*images)
        found: Probability = heat[0, 0].float().cpu().numpy()
        return found

    def _tensor(self, voxels: npt.NDArray[np.float32]) -> Tensor:
        batch = torch.from_numpy(np.ascontiguousarray(voxels))[None, None]
        return batch.to(self.device, memory_format=torch.channels_last_3d)


def _own(encoded: Encoded) -> EncodedPatch:
    """Return what this network has encoded itself."""
    if not isinstance(encoded, EncodedPatch):
        msg = f"CT-SAM3D decodes what it has encoded itself, got {type(encoded).__name__}"
        raise TypeError(msg)
    return encoded
