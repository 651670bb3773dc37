"""The Segment Editor's own undo: a click of ours is a step there, too, while it has the same segmentation."""

from typing import Any

import slicer


class UndoStack:
    """Saves states of one segmentation before they change, where somebody can bring them back."""

    def __init__(self) -> None:
        """Begin without a segmentation."""
        self._node: Any = None

    def watch(self, segmentationNode: Any) -> None:
        """Save states of this segmentation from now on; None: of none."""
        self._node = segmentationNode

    def save(self) -> None:
        """Save the state as it is now, if the Segment Editor was opened on this segmentation."""
        widget = getattr(slicer.modules, "SegmentEditorWidget", None)
        editor = getattr(widget, "editor", None)
        if editor is not None and editor.segmentationNode() is self._node:
            editor.saveStateForUndo()
