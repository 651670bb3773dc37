"""What was taught, as a file: the learnt weights, and a card that says what they know and which SAM they belong to."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from SAMSpineLib.errors import ModelError
from SAMSpineLib.labels import Label, spine_labels
from SAMSpineLib.models.sam2rad.config import Sam2RadConfig
from SAMSpineLib.models.sam2rad.network import Sam2Rad
from SAMSpineLib.models.store.adding import TAUGHT_KIND

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base
    from segment_anything.modeling import Sam

KIND = TAUGHT_KIND
TAUGHT_GROUP = "taught"


@dataclass(frozen=True)
class TaughtStructure:
    """What one query set stands for: the value, the name and the colour (0..255) of its label."""

    value: int
    name: str
    colour: tuple[int, int, int] = (230, 180, 60)

    @property
    def label(self) -> Label:
        """The label of that value and name: the table's, if it has one."""
        for known in spine_labels():
            if (known.value, known.name) == (self.value, self.name):
                return known
        return Label(self.value, self.name, self.name, TAUGHT_GROUP, self.colour)


@dataclass(frozen=True)
class TaughtCard:
    """What is known of a taught model.

    Attributes:
        structures: in the order of the queries.
        backbone: name of the model that it was taught on.
        fingerprint: of that model's weights; see `fingerprint`.
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


def fingerprint(network: nn.Module) -> str:
    """Return the SHA-256 of a network's weights in half precision, the form in which they are kept."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        kept = value.half() if value.is_floating_point() else value
        digest.update(kept.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_taught(path: Path, network: Sam2Rad, card: TaughtCard) -> Path:
    """Write what was learnt, in half precision, with its card."""
    tensors = {name: value.detach().half().contiguous().cpu() for name, value in network.taught().items()}
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, {"kind": KIND, "card": json.dumps(asdict(card))})
    partial.replace(path)
    return path


def read_card(path: Path) -> TaughtCard:
    """Read the card of a taught model.

    Raises:
        ModelError: if the file is none, or is damaged.
    """
    return _card(_opened(path)[1], path)


def load_taught(path: Path, backbone: Sam | SAM2Base) -> tuple[Sam2Rad, TaughtCard]:
    """Return a taught model on its backbone, ready to be used.

    Raises:
        ModelError: if the file is damaged or was taught on another backbone.
    """
    tensors, metadata = _opened(path)
    card = _card(metadata, path)
    if fingerprint(backbone) != card.fingerprint:
        msg = (
            f"'{path.name}' was taught on '{card.backbone}' with the weights {card.fingerprint[:12]}..., and these are "
            f"others; choose that model, or teach anew on this one"
        )
        raise ModelError(msg)
    network = Sam2Rad(card.config, backbone, len(card.structures))
    wanted = network.taught()
    if {name: one.shape for name, one in tensors.items()} != {name: one.shape for name, one in wanted.items()}:
        msg = f"The taught model '{path}' does not hold the weights that its card describes; restore it or teach anew"
        raise ModelError(msg)
    network.load_state_dict({name: one.float() for name, one in tensors.items()}, strict=False)
    return network.eval(), card


def _opened(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        with safe_open(path, "pt") as handle:
            return {name: handle.get_tensor(name) for name in handle.keys()}, dict(handle.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        msg = f"The taught model '{path}' is missing or damaged ({error}); restore the file or teach it anew"
        raise ModelError(msg) from error


def _card(metadata: dict[str, str], path: Path) -> TaughtCard:
    try:
        if metadata["kind"] != KIND:
            raise KeyError(KIND)
        row: dict[str, Any] = json.loads(metadata["card"])
        return TaughtCard(
            **{
                **row,
                "structures": tuple(
                    TaughtStructure(one["value"], one["name"], tuple(one["colour"])) for one in row["structures"]
                ),
                "config": Sam2RadConfig(**{**row["config"], "levels": tuple(row["config"]["levels"])}),
                "images": tuple(row["images"]),
            }
        )
    except (KeyError, TypeError, ValueError) as error:
        msg = (
            f"'{path}' is no taught model of SAMSpine (its card lacks or garbles {error}); choose a file made by Teach"
        )
        raise ModelError(msg) from error
