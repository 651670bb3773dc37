"""MA-SAM as a file: what was learnt, and a card that says what it knows and which SAM it belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from SAMSpineLib.models.ma_sam.config import MaSamConfig
from SAMSpineLib.models.ma_sam.network import MaSam
from SAMSpineLib.models.taught_file import LearntCard, check_backbone, fill, read_taught, write_taught

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base
    from segment_anything.modeling import Sam

KIND = "ma-sam"
# Its structures are the classes but for the first one, background.
MaSamCard = LearntCard[MaSamConfig]


def save_ma_sam(path: Path, network: MaSam, card: MaSamCard) -> Path:
    """Write what was learnt, in half precision, with its card."""
    return write_taught(path, network.learnt(), KIND, card)


def read_ma_sam(path: Path) -> tuple[dict[str, Tensor], MaSamCard]:
    """Read what was learnt, and the card.

    Raises:
        ModelError: if the file is none, or is damaged.
    """
    return read_taught(path, KIND, _card)


def load_ma_sam(path: Path, backbone: Sam | SAM2Base) -> tuple[MaSam, MaSamCard]:
    """Return a model on its SAM, ready to be used.

    Raises:
        ModelError: if the file is damaged or was taught on another SAM.
    """
    tensors, card = read_ma_sam(path)
    check_backbone(path, card, backbone)
    network = MaSam(card.config, backbone)
    fill(network, network.learnt(), tensors, path)
    return network.eval(), card


def _card(row: dict[str, Any]) -> MaSamCard:
    return MaSamCard.of(row, MaSamConfig)
