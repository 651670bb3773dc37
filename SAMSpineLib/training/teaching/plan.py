"""What is to be taught, on which SAM, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from SAMSpineLib.models.sam.promptable import SamPromptable
from SAMSpineLib.models.sam2rad.config import Sam2RadConfig
from SAMSpineLib.models.taught_file import TaughtStructure, fingerprint
from SAMSpineLib.training.recipes import Recipe
from SAMSpineLib.training.teaching.images import TeachImage, Wanted

# From this width of a SAM's embedding on, the small part is the published one; below, it shrinks with it.
WIDE = 256
# An image encoder of fewer weights is changed too: it is quick, and its features alone are not rich enough.
SMALL_ENCODER = 10_000_000
SMALL_RANK = 8
SIDES = ("left", "right")


@dataclass(frozen=True)
class TeachRecipe(Recipe):
    """How a model is taught.

    Attributes:
        rounds: the largest number of clicks.
        rank: of the change to the mask decoder.
        encoder_rank: of the change to the image encoder. None: `SMALL_RANK` in one that is small enough to be changed
            on a laptop, else 0.
        variants: how often each slice is shown otherwise.
        look_every: after so many steps the held-back slices are looked at.
        patience: after so many looks that were no better than the best, it ends.
    """

    rounds: int = 3
    rank: int = 8
    encoder_rank: int | None = None
    variants: int = 8
    look_every: int = 40
    patience: int = 4


RECIPE = TeachRecipe(
    "taught",
    steps=240,
    batch=4,
    learning_rate=1.5e-3,
    weight_decay=1e-2,
    warmup=30,
    average=0.97,
    checkpoint_minutes=1.0,
)


@dataclass(frozen=True, eq=False)
class TeachPlan:
    """Structures to teach, the frozen SAM, the direction in which slices are cut, and the settings."""

    structures: tuple[Wanted, ...]
    model: SamPromptable
    direction: str = "acquired"
    recipe: TeachRecipe = RECIPE

    @property
    def named(self) -> tuple[TaughtStructure, ...]:
        """The structures, as a card names them."""
        return tuple(one.structure for one in self.structures)

    @property
    def config(self) -> Sam2RadConfig:
        """The shape of what is learnt: on the SAM's pyramid where it has one, else on its embedding."""
        network = self.model.backbone.network
        newer = hasattr(network, "sam_mask_decoder")
        width = int((network.sam_mask_decoder if newer else network.mask_decoder).transformer_dim)
        published = width >= WIDE
        return Sam2RadConfig(
            channels=width, levels=(width, width // 4, width // 8) if newer else (width,), finest=4 if newer else 1,
            heads=8 if width % 128 == 0 else 4, hidden=2048 if published else 4 * width,
            mask_channels=64 if published else width // 4, rank=self.recipe.rank, encoder_rank=self._encoder_rank,
        )  # fmt: skip

    @property
    def _encoder_rank(self) -> int:
        if self.recipe.encoder_rank is not None:
            return self.recipe.encoder_rank
        weights = sum(one.numel() for one in self.model.backbone.network.image_encoder.parameters())
        return SMALL_RANK if weights < SMALL_ENCODER else 0

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the SAM's weights."""
        return fingerprint(self.model.backbone.network)

    def mirrors(self, images: Sequence[TeachImage]) -> bool:
        """Tell whether a slice may be shown mirrored: only pictures, and no structure that has a side."""
        sided = any(side in one.name.lower() for one in self.named for side in SIDES)
        return not sided and all(one.volume.shape[0] == 1 for one in images)
