"""Mouse in the slice views to prompts: what is drawn with the left button, where it was drawn in the patient."""

from collections.abc import Callable, Sequence
from typing import Any

import slicer

from SAMSpineLib.mrml.marker import Marker
from SAMSpineSlicer.SliceMarkers import SliceMarkers

# Before the view's own handling of the left button (window and level), which is left out for what is ours.
PRIORITY = 100.0
LEAST_MOVE = 3.0
# The second of two quick clicks comes as a double click, with no press of its own; Slicer would maximise the view.
EVENTS = ("LeftButtonPressEvent", "LeftButtonDoubleClickEvent", "MouseMoveEvent", "LeftButtonReleaseEvent")
KIND_OF_TOOL = {
    "positivePoint": "point",
    "negativePoint": "point",
    "box": "box",
    "scribble": "scribble",
    "lasso": "lasso",
}


class SliceClicks:
    """Watches all slice views while it is installed. An event is consumed only if it is part of a drawing."""

    def __init__(
        self,
        drawn: Callable[[str, Sequence[Any], bool, Any], None],
        removed: Callable[[Marker], None],
        picked: Callable[[tuple[float, float, float]], None],
    ) -> None:
        """Take whom to tell.

        Args:
            drawn: kind, places (RAS mm), whether it is positive, and which way the view faces (RAS).
            removed: the prompt that was clicked on.
            picked: the place (RAS mm) of a click without a tool.
        """
        self._drawn, self._removed, self._picked = drawn, removed, picked
        self.tool = "none"
        self.views: dict[str, SliceMarkers] = {}
        self._markers: Sequence[Marker] = ()
        self._tags: list[tuple[Any, int]] = []
        self._view = ""
        self._pixels: list[tuple[float, float]] = []
        self._swallow = False

    def install(self) -> None:
        """Watch the views there are now; without a layout there are none."""
        manager = slicer.app.layoutManager()
        if manager is None or self._tags:
            return
        for name in manager.sliceViewNames():
            widget = manager.sliceWidget(name)
            view, node = widget.sliceView(), widget.mrmlSliceNode()
            markers = self.views[name] = SliceMarkers(view, node)
            markers.show(self._markers)
            interactor = view.interactor()
            for event in EVENTS:
                tag = interactor.AddObserver(event, self._onEvent(name), PRIORITY)
                self._tags.append((interactor, tag))
            self._tags.append((node, node.AddObserver("ModifiedEvent", lambda *_, m=markers: m.update())))

    def remove(self) -> None:
        """Leave the views as they were."""
        for source, tag in self._tags:
            source.RemoveObserver(tag)
        self._tags.clear()
        for markers in self.views.values():
            markers.remove()
        self.views.clear()
        self._pixels, self._swallow = [], False

    def reinstall(self) -> None:
        """Watch the views of another layout."""
        if self._tags:
            self.remove()
            self.install()

    def show(self, markers: Sequence[Marker]) -> None:
        """Draw these prompts in all views."""
        self._markers = markers
        for view in self.views.values():
            view.show(markers)

    def _onEvent(self, name: str) -> Callable[[Any, str], None]:
        handlers = dict(zip(EVENTS, (self._press, self._press, self._move, self._release), strict=True))

        def handle(interactor: Any, event: str) -> None:
            if handlers[event](name, interactor):
                self._abort(interactor, name, event)

        return handle

    def _abort(self, interactor: Any, name: str, event: str) -> None:
        """Keep an event from everyone after us."""
        place = (len(EVENTS) + 1) * list(self.views).index(name) + EVENTS.index(event)  # one more tag: the slice node's
        interactor.GetCommand(self._tags[place][1]).SetAbortFlag(1)

    def _press(self, name: str, interactor: Any) -> bool:
        x, y = interactor.GetEventPosition()
        self._view, self._pixels = name, [(x, y)]
        if self.tool == "none" or _isTaken(interactor):
            return False
        plane = self.views[name].plane
        marker = plane.hit(self._markers, x, y)
        self._swallow = True
        if marker is not None:
            self._pixels = []
            self._removed(marker)
        elif KIND_OF_TOOL[self.tool] == "point":
            self._pixels = []
            self._drawn("point", [plane.to_ras(x, y)], self.tool == "positivePoint", plane.normal)
        return True

    def _move(self, name: str, interactor: Any) -> bool:
        if not self._swallow or not self._pixels or name != self._view:
            return False
        x, y = interactor.GetEventPosition()
        last = self._pixels[-1]
        if abs(x - last[0]) + abs(y - last[1]) >= LEAST_MOVE:
            self._pixels.append((x, y))
            self.views[name].stroke(self._outline())
        return True

    def _release(self, name: str, interactor: Any) -> bool:
        pixels, self._pixels = self._pixels, []
        x, y = interactor.GetEventPosition()
        if not self._swallow:
            if self.tool == "none" and pixels == [(x, y)] and name == self._view and not _isTaken(interactor):
                self._picked(self.views[name].plane.to_ras(x, y))
            return False
        self._swallow = False
        if pixels:
            self.views[name].stroke([])
            self._finish(name, [*pixels, (x, y)])
        return True

    def _finish(self, name: str, pixels: list[tuple[float, float]]) -> None:
        """Hand over what was drawn by dragging."""
        plane, kind = self.views[name].plane, KIND_OF_TOOL[self.tool]
        if kind == "box":
            if len(pixels) > 2:
                self._drawn(kind, plane.rectangle(pixels[0], pixels[-1]), True, plane.normal)
        elif kind == "scribble" or len(pixels) > 3:
            self._drawn(kind, [plane.to_ras(x, y) for x, y in pixels], True, plane.normal)

    def _outline(self) -> list[tuple[float, float]]:
        if KIND_OF_TOOL[self.tool] != "box":
            return self._pixels
        (x0, y0), (x1, y1) = self._pixels[0], self._pixels[-1]
        return [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]


def _isTaken(interactor: Any) -> bool:
    """Tell whether a click is meant for somebody else: with a modifier, or while markups are being placed."""
    if interactor.GetShiftKey() or interactor.GetControlKey() or interactor.GetAltKey():
        return True
    node = slicer.app.applicationLogic().GetInteractionNode()
    return node is not None and node.GetCurrentInteractionMode() != node.ViewTransform
