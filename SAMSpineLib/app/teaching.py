"""Teach on the page: what segments are, from the slices that they have voxels in, then use what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from SAMSpineLib.engine.autonomous.methods import TAUGHT
from SAMSpineLib.lesson_order import LessonResult
from SAMSpineLib.models.store.adding import slug

if TYPE_CHECKING:
    from SAMSpineLib.app.application import Application

DONE = "'{name}' was taught in {steps} steps; it is the model now, and 'as taught' finds it in an image"


class Teaching:
    """Teaches for an application."""

    def __init__(self, app: Application) -> None:
        """Belong to an application."""
        self._app = app

    def start(self) -> None:
        """Teach what the selected segment is, or all that have voxels.

        Raises:
            SAMSpineError: if there is nothing to teach.
        """
        app = self._app
        if app.state.running:
            return
        segment_id = app.selected()
        together, complete = bool(app.state.teach_all), bool(app.state.teach_complete)
        taught = app.bench.node.GetName() if together else app.bench.label_of(segment_id).name
        name = str(app.state.teach_name or "").strip() or slug(taught)
        ids = list(app.bench.labels) if together else [segment_id]
        app.desk.teach(name, ids, app.begin_run("Teaching"), self._finished, complete=complete)

    def _finished(self, result: LessonResult | None) -> None:
        app = self._app
        app.state.running = False
        if result is None:
            return
        app.use(result.name)
        app.state.method = TAUGHT
        app.tell(DONE.format(name=result.name, steps=result.steps))
