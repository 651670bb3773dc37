"""Which structure prompts speak of: the same on either side of a wire."""

from __future__ import annotations

from SAMSpineLib.errors import LabelError
from SAMSpineLib.labels import Label


class Selection:
    """What a session and its mirror remember of the structure that was chosen last."""

    def __init__(self) -> None:
        """Begin with none chosen."""
        self._label: Label | None = None
        self._overwrite = False

    def select(self, label: Label, *, overwrite: bool = False) -> None:
        """Choose the structure that prompts speak of; `overwrite` lets it take voxels from other labels."""
        self._label, self._overwrite = label, overwrite

    @property
    def label(self) -> Label:
        """The selected structure.

        Raises:
            LabelError: if none is selected.
        """
        if self._label is None:
            msg = "No structure is selected: call select first"
            raise LabelError(msg)
        return self._label
