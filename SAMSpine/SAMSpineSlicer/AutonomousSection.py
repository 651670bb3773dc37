"""Autonomous mode: one button that becomes "Cancel", a bar, and a list of what deserves a look."""

from typing import Any

from slicer.i18n import tr as _

from SAMSpineLib.mrml.atlases import add_segmentation
from SAMSpineSlicer.ReviewList import ReviewList


class AutonomousSection:
    """The section "Autonomous" of the panel."""

    def __init__(self, panel: Any) -> None:
        """Take the panel: its widgets, its desk, its connection."""
        self._panel, self.ui = panel, panel.ui
        self.isRunning = False
        self._titles = {False: self.ui.autonomousButton.text, True: _("Cancel")}
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
        self._show(running=False)

    def refresh(self) -> None:
        """Show the review list, and whether the buttons may be pressed."""
        bench, state = self._panel.desk.bench, self._panel.parameterNode
        segmentation = bench.node.GetSegmentation() if bench is not None else None
        ids = segmentation.GetSegmentIDs() if segmentation is not None else ()
        self.review.show(self._panel.desk.review, {one: segmentation.GetSegment(one).GetName() for one in ids})
        self._showNumberings(self._panel.desk.names)
        self.ui.autonomousButton.enabled = state.inputVolume is not None
        self.ui.addAtlasButton.enabled = bool(ids)
        self.ui.transformsButton.enabled = bool(self._panel.desk.fits) and not self.isRunning

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
        selector.enabled = not self.isRunning
        selector.visible = self.ui.numberingSelectorLabel.visible = bool(titles)

    def _onNumbering(self, number: int) -> None:
        self._panel.attempt(lambda: self._panel.desk.choose_numbering(number))
        self._panel.refreshSoon()

    def _onButton(self) -> None:
        panel = self._panel
        if self.isRunning:
            panel.tell(_("Cancelling; what is finished is kept"))
            panel.connection.queue.post_beside(panel.desk.mirror.cancel())
            return

        def start() -> None:
            panel.installer.check(panel.parameterNode)
            panel.bench()
            self._show(running=True)
            panel.desk.segment_spine(panel.parameterNode.method, self._onProgress, self._onFinished)

        panel.attempt(start)

    def _onProgress(self, stage: str, share: float) -> None:
        self.ui.autonomousProgress.value = round(100 * share)
        self.ui.autonomousProgress.format = f"{stage} %p%"

    def _onFinished(self, _result: Any) -> None:
        self._show(running=False)

    def _show(self, *, running: bool) -> None:
        self.isRunning = running
        self.ui.autonomousButton.text = self._titles[running]
        self.ui.autonomousProgress.visible = running
        self.ui.autonomousProgress.value = 0

    def _onTransforms(self) -> None:
        self._panel.attempt(self._panel.desk.fetch_transforms)

    def _onAddAtlas(self) -> None:
        self._panel.attempt(lambda: self._panel.tell(add_segmentation(self._panel.bench())))
