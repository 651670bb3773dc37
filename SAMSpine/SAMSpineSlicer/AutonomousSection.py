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
        self.ui.autonomousButton.connect("clicked()", self._onButton)
        self.ui.addAtlasButton.connect("clicked()", self._onAddAtlas)

    def release(self) -> None:
        """Listen no more."""
        self.review.release()
        self.ui.autonomousButton.disconnect("clicked()", self._onButton)
        self.ui.addAtlasButton.disconnect("clicked()", self._onAddAtlas)

    def reset(self) -> None:
        """Take note that nothing runs any more."""
        self._show(running=False)

    def refresh(self) -> None:
        """Show the review list, and whether the buttons may be pressed."""
        bench, state = self._panel.desk.bench, self._panel.parameterNode
        segmentation = bench.node.GetSegmentation() if bench is not None else None
        ids = segmentation.GetSegmentIDs() if segmentation is not None else ()
        self.review.show(self._panel.desk.review, {one: segmentation.GetSegment(one).GetName() for one in ids})
        self.ui.autonomousButton.enabled = state.inputVolume is not None
        self.ui.addAtlasButton.enabled = bool(ids)

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

    def _onAddAtlas(self) -> None:
        self._panel.attempt(lambda: self._panel.tell(add_segmentation(self._panel.bench())))
