"""Autonomous mode: one button that becomes "Cancel", a bar, and a list of what deserves a look."""

from typing import Any

from slicer.i18n import tr as _

from SAMSpineLib.mrml.atlases import add_segmentation
from SAMSpineSlicer.ReviewList import ReviewList
from SAMSpineSlicer.RunButton import RunButton


class AutonomousSection:
    """The section "Autonomous" of the panel."""

    def __init__(self, panel: Any) -> None:
        """Take the panel: its widgets, its desk, its connection."""
        self._panel, self.ui = panel, panel.ui
        self.run = RunButton(panel, self.ui.autonomousButton, self.ui.autonomousProgress)
        self.review = ReviewList(self.ui.reviewTable, panel.jump)
        self._titlesShown: tuple[str, ...] = ()
        self._connections = [
            (self.ui.autonomousButton, "clicked()", self._onButton),
            (self.ui.numberingSelector, "activated(int)", self._onNumbering),
            (self.ui.addAtlasButton, "clicked()", self._onAddAtlas),
            (self.ui.transformsButton, "clicked()", self._onTransforms),
        ]
        for widget, signal, slot in self._connections:
            widget.connect(signal, slot)

    def release(self) -> None:
        """Listen no more."""
        self.review.release()
        for widget, signal, slot in self._connections:
            widget.disconnect(signal, slot)

    def reset(self) -> None:
        """Take note that nothing runs any more."""
        self.run.show(running=False)

    def refresh(self) -> None:
        """Show the review list, and whether the buttons may be pressed."""
        bench, state = self._panel.desk.bench, self._panel.parameterNode
        segmentation = bench.node.GetSegmentation() if bench is not None else None
        ids = segmentation.GetSegmentIDs() if segmentation is not None else ()
        self.review.show(self._panel.desk.review, {one: segmentation.GetSegment(one).GetName() for one in ids})
        self._showNumberings(self._panel.desk.names)
        self.ui.autonomousButton.enabled = state.inputVolume is not None
        self.ui.addAtlasButton.enabled = bool(ids)
        self.ui.transformsButton.enabled = bool(self._panel.desk.fits) and not self.run.isRunning

    def _showNumberings(self, names: Any) -> None:
        """Offer the numberings to choose from; nothing is shown where there is no choice."""
        selector, titles = self.ui.numberingSelector, names.numberings
        wasBlocked = selector.blockSignals(True)
        if titles != self._titlesShown:
            self._titlesShown = titles
            selector.clear()
            selector.addItems(list(titles))
        if titles:
            selector.setCurrentIndex(names.numbering)
        selector.blockSignals(wasBlocked)
        selector.enabled = not self.run.isRunning
        selector.visible = self.ui.numberingSelectorLabel.visible = bool(titles)

    def _onNumbering(self, number: int) -> None:
        self._panel.attempt(lambda: self._panel.desk.choose_numbering(number))
        self._panel.refreshSoon()

    def _onButton(self) -> None:
        panel = self._panel
        if self.run.end(_("Cancelling; what is finished is kept")):
            return

        def start() -> None:
            panel.installer.check(panel.parameterNode)
            panel.bench()
            self.run.show(running=True)
            panel.desk.segment_spine(panel.parameterNode.method, self.run.tell, self._onFinished)

        panel.attempt(start)

    def _onFinished(self, _result: Any) -> None:
        self.run.show(running=False)

    def _onTransforms(self) -> None:
        self._panel.attempt(self._panel.desk.fetch_transforms)

    def _onAddAtlas(self) -> None:
        self._panel.attempt(lambda: self._panel.tell(add_segmentation(self._panel.bench())))
