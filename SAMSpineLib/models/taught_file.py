"""What was taught on top of a SAM, as a file: the learnt weights alone, and a card that says which SAM they belong to.

Each published system has a card of its own; how it is kept is the same for all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from SAMSpineLib.errors import ModelError
from SAMSpineLib.labels import Label, spine_labels

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Card = TypeVar("Card")
Shape = TypeVar("Shape")
Network = TypeVar("Network", bound="LearntOnSam")
TAUGHT_GROUP = "taught"


@dataclass(frozen=True)
class TaughtStructure:
    """A structure that was taught: the value, the name and the colour (0..255) of its label."""

    value: int
    name: str
    colour: tuple[int, int, int] = (230, 180, 60)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> TaughtStructure:
        """Read one from a card."""
        return cls(row["value"], row["name"], tuple(row["colour"]))

    @property
    def label(self) -> Label:
        """The label of that value and name: the table's, if it has one."""
        for known in spine_labels():
            if (known.value, known.name) == (self.value, self.name):
                return known
        return Label(self.value, self.name, self.name, TAUGHT_GROUP, self.colour)


class TaughtOn(Protocol):
    """What every card says of the SAM that a model was taught on: its name, and the fingerprint of its weights."""

    @property
    def backbone(self) -> str:
        """Its name."""
        ...

    @property
    def fingerprint(self) -> str:
        """See `fingerprint`."""
        ...


@dataclass(frozen=True)
class LearntCard(Generic[Shape]):
    """What is known of a network that was learnt for the table's structures, slice by slice.

    Attributes:
        structures: in the order of the classes.
        backbone: name of the SAM that it was taught on.
        fingerprint: of that SAM's weights; see `fingerprint`.
        config: shape of what was learnt.
        direction: in which slices were cut: `axial`, `sagittal` or `coronal`, along the volume's nearest axis.
        modality: of the images, as `Volume.modality` says it.
        seed: of the run.
        figures: what was measured of it, by name.
    """

    structures: tuple[TaughtStructure, ...]
    backbone: str
    fingerprint: str
    config: Shape
    direction: str = "sagittal"
    modality: str = "CT"
    seed: int = 1
    figures: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, row: Mapping[str, Any], shape: Callable[..., Shape]) -> LearntCard[Shape]:
        """Read one from a file; `shape` makes the shape of its fields."""
        structures = tuple(TaughtStructure.of(one) for one in row["structures"])
        config = {name: _tupled(value) for name, value in row["config"].items()}
        return cls(**{**row, "structures": structures, "config": shape(**config)})


def _tupled(value: Any) -> Any:
    """Return lists, which JSON makes of tuples, as tuples again."""
    return tuple(_tupled(one) for one in value) if isinstance(value, list) else value


class LearntOnSam(nn.Module):
    """A network of which only a part learns: the rest is a SAM that stays as it is, and is kept in no file of ours."""

    _learning: frozenset[str] = frozenset()

    def remember_learning(self) -> None:
        """Take note of what learns now; to be called when all of the network is there."""
        self._learning = frozenset(name for name, one in self.named_parameters() if one.requires_grad)

    def learnt(self) -> dict[str, Tensor]:
        """Return the weights that are learnt, by name: all but the SAM's own."""
        return {name: value for name, value in self.state_dict().items() if name in self._learning}


def fingerprint(network: nn.Module) -> str:
    """Return the SHA-256 of a network's weights in half precision, the form in which they are kept."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        kept = value.half() if value.is_floating_point() else value
        digest.update(kept.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class LearntFile(Generic[Shape, Network]):
    """How the networks of a system are kept, each with a `LearntCard`.

    Attributes:
        kind: the system's name.
        shape: makes the shape of its fields.
        build: makes a network of a shape on a SAM.
    """

    kind: str
    shape: Callable[..., Shape]
    build: Callable[[Shape, Any], Network]

    def save(self, path: Path, network: Network, card: LearntCard[Shape]) -> Path:
        """Write what was learnt, in half precision, with its card."""
        return write_taught(path, network.learnt(), self.kind, card)

    def read(self, path: Path) -> tuple[dict[str, Tensor], LearntCard[Shape]]:
        """Read what was learnt, and the card.

        Raises:
            ModelError: if the file is none, or is damaged.
        """
        return read_taught(path, self.kind, lambda row: LearntCard.of(row, self.shape))

    def load(self, path: Path, backbone: nn.Module) -> tuple[Network, LearntCard[Shape]]:
        """Return a model on its SAM, ready to be used.

        Raises:
            ModelError: if the file is damaged or was taught on another SAM.
        """
        tensors, card = self.read(path)
        check_backbone(path, card, backbone)
        network = self.build(card.config, backbone)
        fill(network, network.learnt(), tensors, path)
        return network.eval(), card


def write_taught(path: Path, learnt: Mapping[str, Tensor], kind: str, card: DataclassInstance) -> Path:
    """Write what was learnt, in half precision, with its card; `kind` is the system's name."""
    tensors = {name: value.detach().half().contiguous().cpu() for name, value in learnt.items()}
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, {"kind": kind, "card": json.dumps(asdict(card))})
    partial.replace(path)
    return path


def read_taught(path: Path, kind: str, card_of: Callable[[dict[str, Any]], Card]) -> tuple[dict[str, Tensor], Card]:
    """Return the learnt weights of a file of a kind, and its card.

    Raises:
        ModelError: if the file is missing, damaged or of another kind.
    """
    try:
        with safe_open(path, "pt") as handle:
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 - it is no dict
            metadata = dict(handle.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        msg = f"The taught model '{path}' is missing or damaged ({error}); restore the file or teach it anew"
        raise ModelError(msg) from error
    try:
        if metadata["kind"] != kind:
            raise KeyError(kind)
        return tensors, card_of(json.loads(metadata["card"]))
    except (KeyError, TypeError, ValueError) as error:
        msg = (
            f"'{path}' is no taught model of SAMSpine (its card lacks or garbles {error}); choose a file made by Teach"
        )
        raise ModelError(msg) from error


def check_backbone(path: Path, card: TaughtOn, backbone: nn.Module) -> None:
    """Refuse a SAM on which a model was not taught.

    Raises:
        ModelError: if it is not the one of the card.
    """
    if fingerprint(backbone) != card.fingerprint:
        msg = (
            f"'{path.name}' was taught on '{card.backbone}' with the weights {card.fingerprint[:12]}..., and these are "
            f"others; choose that model, or teach anew on this one"
        )
        raise ModelError(msg)


def fill(network: nn.Module, wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Give a network what it has learnt; all else stays.

    Args:
        network: to be filled.
        wanted: all that it learns, by name.
        tensors: of a file.
        path: of that file, for the message.

    Raises:
        ModelError: if the file holds anything else.
    """
    if {name: one.shape for name, one in tensors.items()} != {name: one.shape for name, one in wanted.items()}:
        msg = f"The taught model '{path}' does not hold the weights that its card describes; restore it or teach anew"
        raise ModelError(msg)
    network.load_state_dict({name: one.float() for name, one in tensors.items()}, strict=False)
