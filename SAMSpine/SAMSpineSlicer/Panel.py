"""What happens between the widgets of the .ui file, the parameter node and the engine."""

from typing import Any

from SAMSpineSlicer.ParameterNode import ParameterNode


class Panel:
    """The behaviour of the panel. Its lifetime is that of the widget: enter, exit any number of times, cleanup once."""

    def __init__(self, ui: Any) -> None:
        """Take the widgets of SAMSpine.ui by name."""
        self.ui = ui
        self.parameterNode: ParameterNode | None = None

    def setParameterNode(self, parameterNode: ParameterNode | None) -> None:
        """Show another state, or none while the scene is being closed."""
        self.parameterNode = parameterNode

    def enter(self) -> None:
        """Come into view: keys and clicks are ours from here on."""

    def exit(self) -> None:
        """Go out of view: give keys and clicks back."""

    def cleanup(self) -> None:
        """Stop timers, processes and observers for good."""
