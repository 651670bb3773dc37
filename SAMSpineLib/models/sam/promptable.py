"""SAM and SAM 2 behind the `Promptable` protocol: volumes and millimetres outside, slices and pixels inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from scipy.special import expit
from torch import nn

from SAMSpineLib.models.protocols import Answer, Encoded, Probability, SliceMasks, Tracker
from SAMSpineLib.models.sam.backbone import Candidates, Features, SliceBackbone, SlicePrompts
from SAMSpineLib.models.sam.chain import MaskChain
from SAMSpineLib.models.sam.channels import BONE_HU, grey, grey_window
from SAMSpineLib.models.sam.memory import SliceMemory
from SAMSpineLib.models.sam.prompting import coarse_grid, slice_prompts
from SAMSpineLib.models.sam.sam2_backbone import Sam2Backbone
from SAMSpineLib.prompts import Prompt, Ras
from SAMSpineLib.resampling import AIR_HU, sample
from SAMSpineLib.stack import Stack, stack_along
from SAMSpineLib.volume import Grid, Volume

# What half precision holds, and more than any mask needs.
MOST_LOGIT = 1024.0


@dataclass(frozen=True, eq=False)
class EncodedSlice:
    """A slice (1, H, W) that was encoded, kept in half precision."""

    grid: Grid
    features: Features = field(repr=False)

    @property
    def nbytes(self) -> int:
        """Memory of the features."""
        return self.features.nbytes


class SamPromptable:
    """Answer prompts on slices of a volume."""

    def __init__(
        self,
        backbone: SliceBackbone,
        *,
        name: str,
        hounsfield: tuple[float, float] = BONE_HU,
        kept: torch.dtype = torch.float16,
    ) -> None:
        """Use a backbone.

        Args:
            backbone: the network.
            name: of the model.
            hounsfield: the window (HU) in which CT is shown.
            kept: the precision in which features are kept.
        """
        self.name = name
        self.backbone = backbone
        self._hounsfield, self._kept = hounsfield, kept
        self._windows: WeakKeyDictionary[Volume, tuple[float, float]] = WeakKeyDictionary()

    def changed(self, network: nn.Module, name: str) -> SamPromptable:
        """Return what does all as this does, with another network of the same kind."""
        return SamPromptable(self.backbone.changed(network), name=name, hounsfield=self._hounsfield, kept=self._kept)

    @property
    def slicewise(self) -> SamPromptable:
        """Itself."""
        return self

    def slice_grid(self, stack: Stack, index: int) -> Grid:
        """Return the grid of a slice in the network's own resolution; see `SlicePromptable.slice_grid`."""
        return stack.grid(index, self.backbone.frame(*stack.size))

    def grid_at(self, ras: Ras, volume: Volume) -> Grid:
        """Return the slice, of those that were acquired, that a place (RAS mm) lies in."""
        stack = stack_along(volume.grid)
        return self.slice_grid(stack, stack.index_at(ras))

    def encode(self, volume: Volume, grid: Grid) -> EncodedSlice:
        """Read a slice, show it in its window as an image, and encode it."""
        image = torch.from_numpy(np.ascontiguousarray(self.picture(volume, grid)))[None].expand(3, -1, -1)
        return EncodedSlice(grid, self.backbone.encode(image).to(self._kept))

    def picture(self, volume: Volume, grid: Grid) -> npt.NDArray[np.float32]:
        """Return what is shown of a volume on a grid (1, H, W): grey values 0..255 (H, W)."""
        if volume not in self._windows:
            self._windows[volume] = grey_window(volume, self._hounsfield)
        window = self._windows[volume]
        fill = AIR_HU if volume.modality == "CT" else window[0]
        shown: npt.NDArray[np.float32] = grey(sample(volume.array, volume.grid, grid, fill=fill), window)[0]
        return shown

    def mask_grid(self, encoded: Encoded) -> Grid:
        """Return the grid of the masks of a slice; see `SlicePromptable.mask_grid`."""
        return coarse_grid(encoded.grid, self.backbone.image_size)

    def offer(
        self,
        encoded: Encoded,
        prompts: Sequence[Prompt],
        *,
        previous: npt.NDArray[np.floating] | None = None,
        label: int = 0,
    ) -> SliceMasks:
        """Return masks for prompts, whatever the label; see `SlicePromptable.offer`."""
        del label
        here = own(encoded)
        so_far = None if previous is None else previous.astype(np.float32)
        return self.ask(encoded, slice_prompts(prompts, here.grid, self.backbone.image_size, previous=so_far))

    def ask(self, encoded: Encoded, asked: SlicePrompts) -> SliceMasks:
        """Return masks for what is said in the network's own terms."""
        return self.placed(encoded, self.backbone.decode(self.features_of(encoded), asked), asked)

    def placed(self, encoded: Encoded, found: Candidates, asked: SlicePrompts | None = None) -> SliceMasks:
        """Return what a backbone has found on a slice, with its place."""
        logits = found.logits.clip(-MOST_LOGIT, MOST_LOGIT).astype(np.float16)
        scores = tuple(float(score) for score in found.scores.clip(0, 1))
        return SliceMasks(self.mask_grid(encoded), logits, scores, asked)

    def features_of(self, encoded: Encoded) -> Features:
        """Return the features of a slice that this network has encoded."""
        return own(encoded).features

    def tracker(self, count: int) -> Tracker:
        """Return a memory for a SAM 2 that has one, else a chain of masks; see `SlicePromptable.tracker`."""
        if isinstance(self.backbone, Sam2Backbone) and self.backbone.remembers:
            return SliceMemory(self, self.backbone, count)
        return MaskChain(self)

    def decode(
        self, encoded: Encoded, prompts: Sequence[Prompt], *, previous: Probability | None = None, chain: bool = False
    ) -> Answer:
        """Return the best mask on the slice itself; `chain` makes no difference, SAM knows no levels."""
        del chain
        here = own(encoded)
        coarse = self.mask_grid(here)
        so_far = None
        if previous is not None:
            share = sample(previous, here.grid, coarse, fill=0.0)[0].clip(1e-4, 1 - 1e-4)
            so_far = np.log(share / (1 - share))
        offered = self.offer(encoded, prompts, previous=so_far)
        logits = sample(offered.logits[:1].astype(np.float32), coarse, here.grid, fill=-MOST_LOGIT)
        return Answer(expit(logits).astype(np.float32), offered.scores[0])

    def suggest(self, encoded: Encoded, mask: npt.NDArray[np.bool_], neighbour: Encoded) -> Probability:
        """Return how deep in the mask each pixel of a neighbouring slice would be (0..1)."""
        del encoded
        depth = ndimage.distance_transform_edt(mask.any(axis=0))
        heat: Probability = np.broadcast_to(depth / max(float(depth.max()), 1.0), neighbour.grid.shape)
        return heat.astype(np.float32)


def own(encoded: Encoded) -> EncodedSlice:
    """Return what this network has encoded itself."""
    if not isinstance(encoded, EncodedSlice):
        msg = f"SAM decodes what it has encoded itself, got {type(encoded).__name__}"
        raise TypeError(msg)
    return encoded
