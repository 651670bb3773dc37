"""What a click changes in a mask that is there already: the error that it points at, and little else.

A network that is asked again, with the click, makes the whole slice anew: what was right may be lost, and a click that
it does not heed changes everything but the place that was clicked. So, after Chen et al., FocalClick, CVPR 2022
("progressive merge"), its answer counts where it follows the click, and the rest of it only while that is little. Where
it does not, the object that the click alone points at is added, or taken away as far as it is surer than the mask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Logits = npt.NDArray[np.float32]

# An answer that changes more than this, of what was marked, away from the click is taken around the click alone.
MOST_ELSEWHERE = 0.3
_TOUCHING = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Click:
    """A click on a mask: its row and column, and whether the structure is there."""

    row: int
    column: int
    positive: bool


def corrected(before: Logits, answer: Logits, click: Click, pointed_at: Callable[[], Logits]) -> Logits:
    """Return the mask (h, w; logits) after a click.

    Args:
        before: (h, w) the mask that was clicked on; above 0 is inside.
        answer: (h, w) what the network says of the slice now.
        click: what was clicked.
        pointed_at: makes the mask (h, w) of the object that is at the click, whatever it is.
    """
    if (answer[click.row, click.column] > 0) == click.positive:
        around = _around(before, answer, click)
        elsewhere = int(((answer > 0) != (around > 0)).sum())
        return answer if elsewhere <= MOST_ELSEWHERE * int((before > 0).sum()) else around
    thing = pointed_at()
    if not click.positive:
        thing = np.where(thing > np.maximum(before, 0), -thing, before)
    return _around(before, thing, click)


def _around(before: Logits, after: Logits, click: Click) -> Logits:
    """Return a mask with what another one adds (or, by a negative click, takes away) in one piece with the click."""
    gained = (after > 0) & (before <= 0) if click.positive else (after <= 0) & (before > 0)
    pieces, _ = ndimage.label(gained, _TOUCHING)
    piece = pieces[click.row, click.column]
    return np.asarray(np.where(pieces == piece, after, before), np.float32) if piece else before
