"""What both sides agree on before the first word: version, header names, and what a session can do on either side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from SAMSpineLib.labels import Label
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.progress import Counted
from SAMSpineLib.prompts import Prompt
from SAMSpineLib.volume import Volume

# Raised by one whenever an older client or engine would misunderstand a message.
PROTOCOL = 2
PROTOCOL_HEADER = "X-SAMSpine-Protocol"
MESSAGE_TYPE = "application/json"
BYTES_TYPE = "application/octet-stream"
LINES_TYPE = "application/x-ndjson"

Notify = Callable[[str], None]


class Segmenter(Protocol):
    """What `engine.session.Session` and `RemoteSession` have in common; see there for what each does and raises."""

    def set_volume(self, volume: Volume, labels: npt.NDArray[np.integer] | None = None) -> None:
        """Open a volume (K, J, I), with an earlier label map to go on with or without one."""

    @property
    def volume(self) -> Volume:
        """The open volume."""

    def select(self, label: Label, *, overwrite: bool = False) -> None:
        """Choose the structure that prompts speak of."""

    @property
    def label(self) -> Label:
        """The selected structure."""

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """Prompts of the selected label, in order."""

    @property
    def result(self) -> npt.NDArray[np.uint16]:
        """The label map (K, J, I); a read-only view."""

    def mask(self, value: int) -> npt.NDArray[np.uint8]:
        """Return one label's mask (K, J, I) of 0 and 1."""

    def quality(self, value: int) -> float | None:
        """Return the Dice that the model expects of a label (0..1), None where it was not prompted."""

    def add(self, prompt: Prompt) -> MaskUpdate:
        """Add a prompt for the selected label."""

    def add_all(
        self, orders: Mapping[Label, Sequence[Prompt]], *, progress: Counted | None = None
    ) -> tuple[MaskUpdate, ...]:
        """Prompt several labels and let them settle what more than one of them claims."""

    def remove(self, prompt: Prompt) -> MaskUpdate:
        """Take one prompt of the selected label back."""

    def clear(self) -> MaskUpdate:
        """Remove the selected label's prompts and voxels."""

    def follows(self, value: int) -> bool:
        """Tell whether a label can be followed from a prompted slice."""

    def next_candidate(self) -> MaskUpdate:
        """Take the next of the masks that were offered on the slice that was prompted last."""

    def propagate(
        self, labels: Sequence[Label] | None = None, *, progress: Counted | None = None
    ) -> tuple[MaskUpdate, ...]:
        """Follow labels from their prompted slices through the stack."""

    def undo(self) -> MaskUpdate:
        """Take back the last step of any label."""

    def redo(self) -> MaskUpdate:
        """Do again what `undo` took back."""
