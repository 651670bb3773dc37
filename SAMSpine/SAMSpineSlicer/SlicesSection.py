"""What only networks that work slice by slice can do: other masks of a click, following along the slices."""

from typing import Any

from slicer.i18n import tr as _

from SAMSpineSlicer.RunButton import RunButton


class SlicesSection:
    """The buttons "Other mask" and "Follow along the slices" of the panel; the second becomes "Cancel"."""

    def __init__(self, panel: Any) -> None:
        """Take the panel: its widgets, its desk, its connection."""
        self._panel, self.ui = panel, panel.ui
        self.run = RunButton(panel, self.ui.followButton, self.ui.followProgress)
        self._toolTips = {
            button: (
                button.toolTip,
                _("Only for a segment that was prompted in a slice with a SAM: see Advanced, Model"),
            )
            for button in (self.ui.otherMaskButton, self.ui.followButton)
        }
        self._connections = [
            (self.ui.otherMaskButton, "clicked()", self._onOther),
            (self.ui.followButton, "clicked()", self._onFollow),
        ]
        for widget, signal, slot in self._connections:
            widget.connect(signal, slot)

    def release(self) -> None:
        """Listen no more."""
        for widget, signal, slot in self._connections:
            widget.disconnect(signal, slot)

    def reset(self) -> None:
        """Take note that nothing runs any more."""
        self.run.show(running=False)

    def refresh(self) -> None:
        """Show whether the buttons may be pressed, and if not, why."""
        panel = self._panel
        can = panel.desk.follows(panel.parameterNode.selectedSegmentId)
        self.ui.otherMaskButton.enabled = can and not self.run.isRunning
        self.ui.followButton.enabled = can or self.run.isRunning
        for button, (does, misses) in self._toolTips.items():
            button.toolTip = does if button.enabled else misses

    def _onOther(self) -> None:
        self._panel.attempt(lambda: self._panel.desk.next_candidate(self._panel.selected()))

    def _onFollow(self) -> None:
        panel = self._panel
        if self.run.end(_("Cancelling; what is finished is kept")):
            return

        def start() -> None:
            segmentId = panel.selected()
            self.run.show(running=True)
            panel.desk.follow(segmentId, self._onProgress, self.reset)

        panel.attempt(start)

    def _onProgress(self, _name: str, share: float) -> None:
        self.run.tell("", share)
