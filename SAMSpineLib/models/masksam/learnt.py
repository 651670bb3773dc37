"""MaskSAM as a file: what was learnt, and a card that says what it knows and which SAM it belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from SAMSpineLib.models.masksam.config import MaskSamConfig
from SAMSpineLib.models.masksam.network import MaskSam
from SAMSpineLib.models.taught_file import TaughtStructure, check_backbone, fill, read_taught, write_taught

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base
    from segment_anything.modeling import Sam

KIND = "masksam"


@dataclass(frozen=True)
class MaskSamCard:
    """What is known of a model.

    Attributes:
        structures: in the order of the classes.
        backbone: name of the SAM that it was taught on.
        fingerprint: of that SAM's weights; see `taught_file.fingerprint`.
        config: shape of what was learnt.
        direction: in which slices were cut: `axial`, `sagittal` or `coronal`, along the volume's nearest axis.
        modality: of the images, as `Volume.modality` says it.
        seed: of the run.
        figures: what was measured of it, by name.
    """

    structures: tuple[TaughtStructure, ...]
    backbone: str
    fingerprint: str
    config: MaskSamConfig
    direction: str = "sagittal"
    modality: str = "CT"
    seed: int = 1
    figures: dict[str, float] = field(default_factory=dict)


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
    config: dict[str, Any] = row["config"]
    shape = {
        **config,
        "levels": tuple(tuple(one) for one in config["levels"]),
        "token_grid": tuple(config["token_grid"]),
        "code": tuple(config["code"]),
    }
    structures = tuple(TaughtStructure.of(one) for one in row["structures"])
    return MaskSamCard(**{**row, "structures": structures, "config": MaskSamConfig(**shape)})
