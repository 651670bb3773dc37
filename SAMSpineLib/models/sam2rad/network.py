"""Sam2Rad: a frozen SAM, the queries of some structures, and what turns them into prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from SAMSpineLib.models.sam2rad.config import Sam2RadConfig
from SAMSpineLib.models.sam2rad.encoder_adapters import EncoderAdapters
from SAMSpineLib.models.sam2rad.frozen_sam import BOX_END, BOX_START, FrozenSam
from SAMSpineLib.models.sam2rad.low_rank import add_low_rank
from SAMSpineLib.models.sam2rad.prompt_predictor import LearnedPrompts, PromptPredictor
from SAMSpineLib.models.taught_file import LearntOnSam

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base
    from segment_anything.modeling import Sam

# Learned queries begin small (arXiv 2409.06821, release).
QUERY_SCALE = 1 / 16
# The parts of the decoder that learn beside the low ranks, by their names in SAM and SAM 2.
TAUGHT = ("mask_tokens", "output_upscaling", "output_hypernetworks_mlps", "iou_token", "iou_prediction_head")


@dataclass(frozen=True, eq=False)
class ManualPrompts:
    """What humans said on B slices, in SAM's own terms.

    Attributes:
        points: (B, P, 2) x and y in pixels of the network's image.
        labels: (B, P): 1 inside, 0 outside, 2 and 3 the corners of a box, -1 nothing.
        previous: (B, 1, S/4, S/4) logits of the mask so far, or None.
        given: (B,) whether a slice has a mask so far; all have where it is None.
    """

    points: Tensor
    labels: Tensor
    previous: Tensor | None = field(default=None, repr=False)
    given: Tensor | None = None


class Sam2Rad(LearntOnSam):
    """Segment structures that were taught, without a prompt, with prompts beside the learned ones, or by them alone."""

    def __init__(self, config: Sam2RadConfig, network: Sam | SAM2Base, structures: int) -> None:
        """Build on a SAM, for a number of structures; `network` is left as it is."""
        super().__init__()
        self.config = config
        self.sam = FrozenSam(network, encoding=config.encoder_rank > 0)
        self.adapters = EncoderAdapters(self.sam.trunk, config.encoder_rank) if config.encoder_rank else None
        if config.rank:
            add_low_rank(self.sam.decoder, config.rank)
            for name in TAUGHT:
                getattr(self.sam.decoder, name).requires_grad_(requires_grad=True)
        self.queries = nn.Parameter(torch.randn(structures, config.tokens, config.channels) * QUERY_SCALE)
        self.predictor = PromptPredictor(config)
        self.remember_learning()

    def encode(self, pictures: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the feature maps (B, C, H, W), coarse to fine, of B pictures (H, W; 0..255), by the changed encoder.

        Raises:
            ValueError: if the encoder is not changed: then features are those of the SAM itself.
        """
        if self.adapters is None:
            msg = "The image encoder of this model is not changed; encode with its SAM"
            raise ValueError(msg)
        return self.sam.encode(pictures, self.adapters.weights(self.sam.trunk))

    def predict(self, maps: Sequence[Tensor], structure: Tensor) -> LearnedPrompts:
        """Return the learned prompts for structures (B,) on slices with feature maps, coarse to fine."""
        levels = maps[: len(self.config.levels)]
        none = self.sam.no_mask.expand(len(structure), -1, -1, -1)
        prompts: LearnedPrompts = self.predictor(levels, self.queries[structure], none)
        return prompts

    def decode(
        self, maps: tuple[Tensor, ...], learned: LearnedPrompts | None, manual: ManualPrompts | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the masks' logits (B, 1, S/4, S/4) and the IoU (B,) that is expected of them.

        Without `manual` the learned prompts speak alone, without `learned` the human does. With both, the sparse
        prompts stand side by side; the dense one is the mask so far where there is one, else the learned mask. (The
        release ignores a manual mask; then a click cannot correct the mask that the user sees.)

        Args:
            maps: features, coarse to fine.
            learned: from `predict`.
            manual: from humans.
        """
        points, labels = _places(learned, manual, self.sam.image_size)
        sparse = self.sam.embed(points, labels)
        dense = self.sam.no_mask.expand(len(points), -1, -1, -1)
        if learned is not None:
            sparse = torch.cat([sparse, learned.latent], dim=1)
            dense = self.sam.embed_mask(learned.mask)
        if manual is not None and manual.previous is not None:
            so_far = self.sam.embed_mask(manual.previous)
            dense = so_far if manual.given is None else torch.where(manual.given.view(-1, 1, 1, 1), so_far, dense)
        logits, quality = self.sam.decode(maps, sparse, dense)
        return logits[:, :1], quality[:, 0]


def _places(learned: LearnedPrompts | None, manual: ManualPrompts | None, side: int) -> tuple[Tensor, Tensor]:
    """Return the places (B, P, 2; pixels) and labels (B, P) of a learned box and of what a human said.

    Raises:
        ValueError: if nobody says anything.
    """
    places, kinds = [], []
    if learned is not None:
        places.append(learned.box.view(-1, 2, 2) * side - 0.5)
        kinds.append(torch.tensor([[BOX_START, BOX_END]], device=learned.box.device).expand(len(learned.box), -1))
    if manual is not None:
        places.append(manual.points)
        kinds.append(manual.labels)
    if not places:
        msg = "A SAM answers learned prompts, manual ones, or both; it was given neither"
        raise ValueError(msg)
    return torch.cat(places, dim=1), torch.cat(kinds, dim=1)
