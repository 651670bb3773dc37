"""What SAM and SAM 2 have in common: encode an image once, then answer prompts on it. Places are pixels here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Pixels = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SlicePrompts:
    """What SAM can be told of one object, in pixels (x to the right, y down) of the image that was encoded.

    Attributes:
        points: (N, 2) x, y; a pixel's centre has whole numbers.
        positive: (N,) whether each is inside.
        box: (4,) x0, y0, x1, y1, or None.
        mask: (S/4, S/4) logits of a mask to go on from, or None.
    """

    points: Pixels = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    positive: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    box: Pixels | None = None
    mask: Pixels | None = None

    @property
    def is_ambiguous(self) -> bool:
        """Tell whether this may mean several things: less than two points, where a box counts as two."""
        return len(self.points) < 2 and self.box is None

    @property
    def nbytes(self) -> int:
        """Memory of the mask; the rest takes none that counts."""
        return self.mask.nbytes if self.mask is not None else 0


@dataclass(frozen=True, eq=False)
class Features:
    """An encoded image: maps (1, C, H, W) from fine to coarse, the last one the embedding; `size` its pixels (H, W)."""

    maps: tuple[Tensor, ...] = field(repr=False)
    size: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Memory that the maps hold."""
        return sum(one.nbytes for one in self.maps)

    def to(self, dtype: torch.dtype) -> Features:
        """Return the same in another precision."""
        return replace(self, maps=tuple(one.to(dtype) for one in self.maps))


@dataclass(frozen=True, eq=False)
class Candidates:
    """Masks that SAM offers for the same prompts: `logits` (N, S/4, S/4) and expected IoU `scores` (N,), best first."""

    logits: Pixels = field(repr=False)
    scores: Pixels


class SliceBackbone(Protocol):
    """SAM or SAM 2: its network on a device, for square images of so many pixels."""

    network: Any
    device: torch.device
    image_size: int

    def changed(self, network: Any) -> SliceBackbone:
        """Return the same with another network of its kind."""
        ...

    def frame(self, height: float, width: float) -> tuple[int, int]:
        """Return the pixels (H, W) of the image that shows a slice of a height and a width (mm) best."""
        ...

    def encode(self, image: Tensor) -> Features:
        """Encode an image (3, H, W) of 0..255, in a size that `frame` has given."""
        ...

    def decode(self, features: Features, prompts: SlicePrompts) -> Candidates:
        """Answer prompts on an encoded image."""
        ...


def ordered(logits: Tensor, scores: Tensor, *, ambiguous: bool) -> Candidates:
    """Return the candidates in the order in which a user wants to see them.

    SAM makes four masks: one for prompts that mean one thing, three for those that may mean several (Kirillov et al.
    2023, section 3). Where they may, the three come by their scores; else the one comes first, then the three.

    Args:
        logits: (4, S/4, S/4), the one first.
        scores: (4,).
        ambiguous: whether the prompts may mean several things.
    """
    three = (1 + scores[1:].argsort(descending=True, stable=True)).tolist()
    order = three if ambiguous else [0, *three]
    return Candidates(logits[order].float().cpu().numpy(), scores[order].float().cpu().numpy())


def prompt_tensors(
    prompts: SlicePrompts, device: torch.device
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """Return points (1, N, 2), labels (1, N), box (1, 4) and mask (1, 1, S/4, S/4), each None where there is none."""
    points = labels = None
    if len(prompts.points):
        points = torch.as_tensor(prompts.points, dtype=torch.float32, device=device)[None]
        labels = torch.as_tensor(prompts.positive, dtype=torch.int32, device=device)[None]
    box = None if prompts.box is None else torch.as_tensor(prompts.box, dtype=torch.float32, device=device)[None]
    mask = None if prompts.mask is None else torch.as_tensor(prompts.mask, dtype=torch.float32, device=device)
    return points, labels, box, None if mask is None else mask[None, None]
