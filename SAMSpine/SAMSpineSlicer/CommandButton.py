"""A button that runs a command of `samspine` beside Slicer and ends it: it says "Cancel" meanwhile."""

from collections.abc import Callable, Sequence
from typing import Any

from slicer.i18n import tr as _

from SAMSpineSlicer.SpineCommand import SpineCommand


class CommandButton:
    """What ranking a folder and teaching by one have in common."""

    def __init__(
        self,
        panel: Any,
        button: Any,
        words: Callable[[], Sequence[str]],
        done: Callable[[dict[str, Any]], None],
    ) -> None:
        """Take the panel, the button, and two functions.

        Args:
            panel: told what the command says.
            button: of the panel.
            words: asks the user what is needed and returns the command's words; none where the user gives up.
            done: given what the command found; not called where it failed, which the user is told.
        """
        self._panel, self._button, self._words, self._found = panel, button, words, done
        self._titles = {False: button.text, True: _("Cancel")}
        self.command = SpineCommand(panel.tell, self._onDone)
        button.connect("clicked()", self._onButton)

    def release(self) -> None:
        """Listen no more, and end what runs."""
        self._button.disconnect("clicked()", self._onButton)
        self.command.stop()

    def _onButton(self) -> None:
        if self.command.isRunning:
            self.command.stop()
            self._panel.tell(_("Cancelled"))
        else:
            self._panel.attempt(self._start)
        self._show()

    def _start(self) -> None:
        words = self._words()
        if words:
            self.command.start(*words)

    def _onDone(self, result: dict[str, Any]) -> None:
        self._show()
        if "error" in result:
            self._panel.tell(result["error"])
        else:
            self._panel.attempt(lambda: self._found(result))

    def _show(self) -> None:
        self._button.text = self._titles[self.command.isRunning]
