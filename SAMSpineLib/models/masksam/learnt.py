"""MaskSAM as a file: what was learnt, and a card that says what it knows and which SAM it belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from SAMSpineLib.models.masksam.config import MaskSamConfig
from SAMSpineLib.models.masksam.network import MaskSam
from SAMSpineLib.models.taught_file import LearntCard, check_backbone, fill, read_taught, write_taught

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base
    from segment_anything.modeling import Sam

KIND = "masksam"
MaskSamCard = LearntCard[MaskSamConfig]


def save_masksam(path: Path, network: MaskSam, card: MaskSamCard) -> Path:
    """Write what was learnt, in half precision, with its card."""
    return write_taught(path, network.learnt(), KIND, card)


def read_masksam(path: Path) -> tuple[dict[str, Tensor], MaskSamCard]:
    """Read what was learnt, and the card.

    Raises:
        ModelError: if the file is none, or is damaged.
    """
    return read_taught(path, KIND, _card)


def load_masksam(path: Path, backbone: Sam | SAM2Base) -> tuple[MaskSam, MaskSamCard]:
    """Return a model on its SAM, ready to be used.

    Raises:
        ModelError: if the file is damaged or was taught on another SAM.
    """
    tensors, card = read_masksam(path)
    check_backbone(path, card, backbone)
    network = MaskSam(card.config, backbone)
    fill(network, network.learnt(), tensors, path)
    return network.eval(), card


def _card(row: dict[str, Any]) -> MaskSamCard:
    return MaskSamCard.of(row, MaskSamConfig)
