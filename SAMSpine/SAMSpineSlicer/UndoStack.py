"""Slicer's own undo of segmentations: the Segment Editor's stack where it has this segmentation, else one of ours."""

from typing import Any

import slicer

MOST_STATES = 10


class UndoStack:
    """Saves states of one segmentation before they change."""

    def __init__(self) -> None:
        """Begin without a segmentation."""
        self._node: Any = None
        self._history: Any = None

    def watch(self, segmentationNode: Any) -> None:
        """Save states of this segmentation from now on; None: of none."""
        self._node, self._history = segmentationNode, None

    def save(self) -> None:
        """Save the state as it is now."""
        editor = self._editor()
        if editor is not None:
            editor.saveStateForUndo()
            return
        if self._history is None:
            self._history = slicer.vtkSegmentationHistory()
            self._history.SetSegmentation(self._node.GetSegmentation())
            self._history.SetMaximumNumberOfStates(MOST_STATES)
        self._history.SaveState()

    def _editor(self) -> Any:
        """Return the Segment Editor's widget if it was opened and has our segmentation."""
        module = getattr(slicer.modules, "segmenteditor", None)
        widget = getattr(slicer.modules, "SegmentEditorWidget", None)
        if module is None or widget is None:
            return None
        editor = getattr(widget, "editor", None)
        return editor if editor is not None and editor.segmentationNode() is self._node else None
