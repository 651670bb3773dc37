"""A taught model at work on encoded slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from SAMSpineLib.models.sam.backbone import Features, SlicePrompts, prompt_tensors
from SAMSpineLib.models.sam2rad.frozen_sam import BOX_END, BOX_START
from SAMSpineLib.models.sam2rad.network import ManualPrompts, Sam2Rad
from SAMSpineLib.models.sam2rad.taught import TaughtCard

# So many pairs of slice and structure are answered at once, however many there are.
AT_ONCE = 4


@dataclass(frozen=True, eq=False)
class Seen:
    """What a taught model sees on a slice, structure by structure.

    Attributes:
        logits: (N, S/4, S/4); above 0 is inside, if the structure is there at all.
        presence: (N,) probability that it is there.
        quality: (N,) the IoU that is expected of the mask.
    """

    logits: npt.NDArray[np.float32] = field(repr=False)
    presence: npt.NDArray[np.float32]
    quality: npt.NDArray[np.float32]


class TaughtSegmenter:
    """Answer for the structures that a model was taught, with or without a human's prompts."""

    def __init__(self, network: Sam2Rad, card: TaughtCard, device: str = "cpu") -> None:
        """Take a network to a device."""
        self.card = card
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()

    def index_of(self, value: int) -> int | None:
        """Return which structure has a label value; None if it was not taught."""
        values = [one.value for one in self.card.structures]
        return values.index(value) if value in values else None

    @torch.inference_mode()
    def look(self, features: Features) -> Seen:
        """Return what is seen of all structures on a slice, with no prompt of a human."""
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        every = torch.arange(len(self.card.structures), device=self.device)
        for structures in every.split(AT_ONCE):
            maps = self._maps(features, len(structures))
            learned = self.network.predict(maps, structures)
            logits, quality = self.network.decode(maps, learned)
            parts.append((logits[:, 0], torch.sigmoid(learned.presence), quality))
        masks, there, good = (torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True))
        return Seen(masks, there, good.clip(0, 1))

    @torch.inference_mode()
    def answer(
        self, features: Features, structure: int, prompts: SlicePrompts
    ) -> tuple[npt.NDArray[np.float32], float]:
        """Return the logits (S/4, S/4) of one structure, and the IoU expected, given what a human said beside it."""
        maps = self._maps(features, 1)
        learned = self.network.predict(maps, torch.tensor([structure], device=self.device))
        logits, quality = self.network.decode(maps, learned, self._manual(prompts))
        return logits[0, 0].cpu().numpy(), float(quality[0].clamp(0, 1))

    def _maps(self, features: Features, count: int) -> tuple[Tensor, ...]:
        """Return the features coarse to fine, the same for each of some structures."""
        maps: Sequence[Tensor] = [one.to(self.device).float() for one in reversed(features.maps)]
        return tuple(one.expand(count, -1, -1, -1) for one in maps)

    def _manual(self, prompts: SlicePrompts) -> ManualPrompts | None:
        points, labels, box, mask = prompt_tensors(prompts, self.device)
        places = [] if points is None else [points]
        kinds = [] if labels is None else [labels]
        if box is not None:
            places.insert(0, box.view(1, 2, 2))
            kinds.insert(0, torch.tensor([[BOX_START, BOX_END]], dtype=torch.int32, device=self.device))
        if not places and mask is None:
            return None
        none = torch.zeros(1, 0, 2, device=self.device)
        return ManualPrompts(torch.cat([none, *places], 1), torch.cat([none[..., 0].int(), *kinds], 1), mask)
