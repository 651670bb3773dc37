"""A button that starts something long and ends it: it says "Cancel" meanwhile, and a bar shows how far it is."""

from typing import Any

from slicer.i18n import tr as _


class RunButton:
    """What autonomous mode, following along the slices and Teach have in common."""

    def __init__(self, panel: Any, button: Any, bar: Any) -> None:
        """Take the panel, whose engine does the work, and the widgets."""
        self._panel, self._button, self._bar = panel, button, bar
        self._titles = {False: button.text, True: _("Cancel")}
        self.isRunning = False

    def show(self, *, running: bool) -> None:
        """Show that something runs, or that nothing does."""
        self.isRunning = running
        self._button.text = self._titles[running]
        self._bar.visible = running
        self._bar.value = 0

    def tell(self, said: str, share: float) -> None:
        """Show how far it is: a share (0..1), and a word for what is being done, or none."""
        self._bar.value = round(100 * share)
        if said:
            self._bar.format = f"{said} %p%"

    def end(self, said: str) -> bool:
        """End what runs, saying so; True if there was anything."""
        if self.isRunning:
            self._panel.tell(said)
            self._panel.connection.queue.post_beside(self._panel.desk.mirror.cancel())
        return self.isRunning
