"""A session whose user clicks in slices of one direction and has each click followed through the stack."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from SAMSpineLib.engine.session import Session
from SAMSpineLib.labels import Label
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.prompts import Point, Ras
from SAMSpineLib.volume import Volume


class InSlices:
    """What the robot of a simulation needs of a session, with a network that works slice by slice."""

    def __init__(self, session: Session, normal: Ras | None = None, *, propagate: bool = True) -> None:
        """Click in slices that face `normal` (RAS), those that were acquired where it is None."""
        self.session = session
        self._normal, self._propagate = normal, propagate

    def set_volume(self, volume: Volume) -> None:
        """Open a volume."""
        self.session.set_volume(volume)

    def select(self, label: Label) -> None:
        """Choose the label that clicks are for."""
        self.session.select(label)

    def clear(self) -> MaskUpdate:
        """Forget clicks and mask of the selected label."""
        return self.session.clear()

    def add(self, prompt: Point) -> MaskUpdate:
        """Take a click, follow the structure, and return what the last of both changed."""
        update = self.session.add(replace(prompt, normal=self._normal))
        if self._propagate and self.session.follows(self.session.label.value):
            (update,) = self.session.propagate()
        return update

    def mask(self, label: int) -> npt.NDArray[np.uint8]:
        """Return a label's mask (K, J, I)."""
        return self.session.mask(label)
