"""A taught model at work: it finds its structures by itself, and takes prompts for them and for anything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from SAMSpineLib.labels import Label
from SAMSpineLib.models.protocols import Answer, Encoded, Probability, Seen, SliceMasks, Tracker
from SAMSpineLib.models.sam.backbone import SlicePrompts, prompt_tensors
from SAMSpineLib.models.sam.chain import MaskChain
from SAMSpineLib.models.sam.promptable import EncodedSlice, SamPromptable
from SAMSpineLib.models.sam.prompting import slice_prompts
from SAMSpineLib.models.sam2rad.correcting import Click, corrected
from SAMSpineLib.models.sam2rad.encoder_adapters import adapted
from SAMSpineLib.models.sam2rad.frozen_sam import BOX_END, BOX_START
from SAMSpineLib.models.sam2rad.network import ManualPrompts, Sam2Rad
from SAMSpineLib.models.sam2rad.taught import TaughtCard
from SAMSpineLib.prompts import Point, Prompt, Ras
from SAMSpineLib.stack import Stack
from SAMSpineLib.volume import Grid, Volume

# So many pairs of slice and structure are answered at once, however many there are.
AT_ONCE = 4
MOST_LOGIT = 1024.0
NORMALS: dict[str, Ras] = {"axial": (0.0, 0.0, 1.0), "sagittal": (1.0, 0.0, 0.0), "coronal": (0.0, 1.0, 0.0)}


class TaughtSam:
    """A SAM with what it was taught; see `TaughtPromptable`.

    Prompts for a structure that it knows stand beside the learned ones; for any other they speak alone, as the paper's
    third mode (Wahd et al., arXiv 2409.06821, section 3.4).
    """

    def __init__(self, network: Sam2Rad, card: TaughtCard, sam: SamPromptable, name: str) -> None:
        """Build on the SAM that the model was taught on.

        Args:
            network: what was taught.
            card: what is known of it.
            sam: the SAM of its card.
            name: of the model.
        """
        self.name, self.card = name, card
        self._device = sam.backbone.device
        self._network = network.to(self._device).eval()
        self._sam = sam
        if network.adapters is not None:
            self._sam = sam.changed(adapted(sam.backbone.network, network.adapters), name)

    @property
    def slicewise(self) -> TaughtSam:
        """Itself."""
        return self

    @property
    def structures(self) -> tuple[Label, ...]:
        """What it was taught."""
        return tuple(one.label for one in self.card.structures)

    @property
    def normal(self) -> Ras | None:
        """Which way the slices face (RAS) in which it was taught; None for those that were acquired."""
        return NORMALS.get(self.card.direction)

    def grid_at(self, ras: Ras, volume: Volume) -> Grid:
        """Return the slice, of those that were acquired, that a place (RAS mm) lies in."""
        return self._sam.grid_at(ras, volume)

    def slice_grid(self, stack: Stack, index: int) -> Grid:
        """Return the grid of a slice in the network's own resolution."""
        return self._sam.slice_grid(stack, index)

    def mask_grid(self, encoded: Encoded) -> Grid:
        """Return the grid of the masks of a slice."""
        return self._sam.mask_grid(encoded)

    def encode(self, volume: Volume, grid: Grid) -> EncodedSlice:
        """Read a slice and encode it."""
        return self._sam.encode(volume, grid)

    def decode(
        self, encoded: Encoded, prompts: Sequence[Prompt], *, previous: Probability | None = None, chain: bool = False
    ) -> Answer:
        """Return the best mask on the slice itself, of no structure in particular."""
        return self._sam.decode(encoded, prompts, previous=previous, chain=chain)

    def suggest(self, encoded: Encoded, mask: npt.NDArray[np.bool_], neighbour: Encoded) -> Probability:
        """Return how deep in the mask each pixel of a neighbouring slice would be (0..1)."""
        return self._sam.suggest(encoded, mask, neighbour)

    def tracker(self, count: int) -> Tracker:
        """Return a chain of masks: what a SAM 2 remembers of its own features is nothing for changed ones."""
        del count
        return MaskChain(self._sam)

    def offer(
        self,
        encoded: Encoded,
        prompts: Sequence[Prompt],
        *,
        previous: npt.NDArray[np.floating] | None = None,
        label: int = 0,
    ) -> SliceMasks:
        """Return masks for prompts: with what was taught of the label first, and by the prompts alone.

        A click on a mask of the label that is there already corrects that one: see `correcting`.
        """
        so_far = None if previous is None else previous.astype(np.float32)
        asked = slice_prompts(prompts, encoded.grid, self._sam.backbone.image_size, previous=so_far)
        structure = self._index_of(label)
        alone = self._answer(encoded, None, asked)
        answers = [alone]
        if structure is not None:
            mask, quality = self._answer(encoded, structure, asked)
            if so_far is not None and prompts and isinstance(prompts[-1], Point):
                mask = self._corrected(encoded, so_far, mask, prompts[-1])
            answers = [(mask, quality), alone]
        logits = np.stack([one for one, _ in answers]).clip(-MOST_LOGIT, MOST_LOGIT).astype(np.float16)
        return SliceMasks(self.mask_grid(encoded), logits, tuple(quality for _, quality in answers), asked)

    @torch.inference_mode()
    def look(self, encoded: Encoded) -> Seen:
        """Return what is seen of all structures on a slice, with no prompt of a human."""
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        every = torch.arange(len(self.card.structures), device=self._device)
        for structures in every.split(AT_ONCE):
            maps = self._maps(encoded, len(structures))
            learned = self._network.predict(maps, structures)
            logits, quality = self._network.decode(maps, learned)
            parts.append((logits[:, 0], torch.sigmoid(learned.presence), quality))
        masks, there, good = (torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True))
        return Seen(self.mask_grid(encoded), masks, there, good.clip(0, 1))

    def _corrected(
        self, encoded: Encoded, before: npt.NDArray[np.float32], answer: npt.NDArray[np.float32], point: Point
    ) -> npt.NDArray[np.float32]:
        """Return the mask (h, w; logits) after a click on the one before."""
        column, row = (
            np.rint(self.mask_grid(encoded).to_ijk(point.ras)[:2]).astype(int).clip(0, np.array(before.shape[::-1]) - 1)
        )
        here = slice_prompts([replace(point, positive=True)], encoded.grid, self._sam.backbone.image_size)
        click = Click(int(row), int(column), point.positive)
        return corrected(before, answer, click, lambda: self._answer(encoded, None, here)[0])

    def _index_of(self, value: int) -> int | None:
        """Return which structure has a label value; None if it was not taught."""
        values = [one.value for one in self.card.structures]
        return values.index(value) if value in values else None

    @torch.inference_mode()
    def _answer(
        self, encoded: Encoded, structure: int | None, prompts: SlicePrompts
    ) -> tuple[npt.NDArray[np.float32], float]:
        """Return the logits (h, w) of a structure, of none in particular where None, and the IoU expected."""
        maps, learned = self._maps(encoded, 1), None
        if structure is not None:
            learned = self._network.predict(maps, torch.tensor([structure], device=self._device))
        logits, quality = self._network.decode(maps, learned, self._manual(prompts))
        return logits[0, 0].cpu().numpy(), float(quality[0].clamp(0, 1))

    def _maps(self, encoded: Encoded, count: int) -> tuple[Tensor, ...]:
        """Return the features coarse to fine, the same for each of some structures."""
        features = self._sam.features_of(encoded)
        maps = [one.to(self._device).float() for one in reversed(features.maps)]
        return tuple(one.expand(count, -1, -1, -1) for one in maps)

    def _manual(self, prompts: SlicePrompts) -> ManualPrompts:
        points, labels, box, mask = prompt_tensors(prompts, self._device)
        places = [torch.zeros(1, 0, 2, device=self._device)]
        kinds = [torch.zeros(1, 0, dtype=torch.int32, device=self._device)]
        if box is not None:
            places.append(box.view(1, 2, 2))
            kinds.append(torch.tensor([[BOX_START, BOX_END]], dtype=torch.int32, device=self._device))
        if points is not None and labels is not None:
            places.append(points)
            kinds.append(labels)
        return ManualPrompts(torch.cat(places, 1), torch.cat(kinds, 1), mask)
