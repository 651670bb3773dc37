"""Sam2Rad as a file: what was learnt, and a card that says what it knows and which SAM it belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SAMSpineLib.models.sam2rad.config import Sam2RadConfig
from SAMSpineLib.models.sam2rad.network import Sam2Rad
from SAMSpineLib.models.store.adding import TAUGHT_KIND
from SAMSpineLib.models.taught_file import TaughtStructure, check_backbone, fill, read_taught, write_taught

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base
    from segment_anything.modeling import Sam

KIND = TAUGHT_KIND


@dataclass(frozen=True)
class TaughtCard:
    """What is known of a taught model.

    Attributes:
        structures: in the order of the queries.
        backbone: name of the model that it was taught on.
        fingerprint: of that model's weights; see `taught_file.fingerprint`.
        config: shape of what was learnt.
        direction: in which slices were cut: `axial`, `sagittal`, `coronal`, or `acquired` for the volume's own.
        modality: of the images, as `Volume.modality` says it.
        images: how many images taught it, and how many told when to stop.
        seed: of the run.
        figures: what was measured on the images that told when to stop, by name.
    """

    structures: tuple[TaughtStructure, ...]
    backbone: str
    fingerprint: str
    config: Sam2RadConfig
    direction: str = "acquired"
    modality: str = ""
    images: tuple[int, int] = (0, 0)
    seed: int = 1
    figures: dict[str, float] = field(default_factory=dict)


def save_taught(path: Path, network: Sam2Rad, card: TaughtCard) -> Path:
    """Write what was learnt, in half precision, with its card."""
    return write_taught(path, network.learnt(), KIND, card)


def read_card(path: Path) -> TaughtCard:
    """Read the card of a taught model.

    Raises:
        ModelError: if the file is none, or is damaged.
    """
    return read_taught(path, KIND, _card)[1]


def load_taught(path: Path, backbone: Sam | SAM2Base) -> tuple[Sam2Rad, TaughtCard]:
    """Return a taught model on its backbone, ready to be used.

    Raises:
        ModelError: if the file is damaged or was taught on another backbone.
    """
    tensors, card = read_taught(path, KIND, _card)
    check_backbone(path, card, backbone)
    network = Sam2Rad(card.config, backbone, len(card.structures))
    fill(network, network.learnt(), tensors, path)
    return network.eval(), card


def _card(row: dict[str, Any]) -> TaughtCard:
    return TaughtCard(
        **{
            **row,
            "structures": tuple(TaughtStructure.of(one) for one in row["structures"]),
            "config": Sam2RadConfig(**{**row["config"], "levels": tuple(row["config"]["levels"])}),
            "images": tuple(row["images"]),
        }
    )
