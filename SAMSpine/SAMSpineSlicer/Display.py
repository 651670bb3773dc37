"""How segments are shown: in 3D, smoothed, or not at all."""

from typing import Any


class Display:
    """Brings the buttons below the table to the segmentation's display node."""

    def __init__(self, ui: Any) -> None:
        """Take the widgets by name."""
        self.ui = ui
        self._node: Any = None
        ui.hideSegmentsButton.connect("toggled(bool)", self._onHide)

    def release(self) -> None:
        """Listen no more."""
        self._node = None
        self.ui.hideSegmentsButton.disconnect("toggled(bool)", self._onHide)

    def show(self, segmentationNode: Any, show3D: bool, smoothing: float) -> None:
        """Show a segmentation as the buttons say, where that is not so already."""
        self._node = segmentationNode
        if segmentationNode is None:
            return
        segmentation = segmentationNode.GetSegmentation()
        name, text = "Smoothing factor", f"{smoothing:.2f}"
        has = segmentation.ContainsRepresentation("Closed surface")
        if segmentation.GetConversionParameter(name) != text:
            segmentation.SetConversionParameter(name, text)
            if has:
                segmentationNode.RemoveClosedSurfaceRepresentation()
                has = False
        if show3D and not has and segmentation.GetNumberOfSegments():
            segmentationNode.CreateClosedSurfaceRepresentation()
        elif not show3D and has:
            segmentationNode.RemoveClosedSurfaceRepresentation()
        display = segmentationNode.GetDisplayNode()
        if display is not None and self.ui.hideSegmentsButton.checked == bool(display.GetVisibility()):
            self.ui.hideSegmentsButton.checked = not display.GetVisibility()

    def _onHide(self, hidden: bool) -> None:
        display = self._node.GetDisplayNode() if self._node is not None else None
        if display is not None:
            display.SetVisibility(not hidden)
