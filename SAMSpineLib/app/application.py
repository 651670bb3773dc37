"""What happens between the page, the scene and the engine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from trame_slicer.core import SlicerApp

from SAMSpineLib.app.keys import TOOLS
from SAMSpineLib.app.local_mirror import HERE, LocalMirror
from SAMSpineLib.app.opening import Opening
from SAMSpineLib.app.saving import Contents
from SAMSpineLib.app.stage import SLICES, Stage
from SAMSpineLib.app.teaching import Teaching
from SAMSpineLib.app.turning import Turning
from SAMSpineLib.app.uploads import Uploads
from SAMSpineLib.app.views import build_views, drawn_lines, frame_of, observe_slices, pixels_of
from SAMSpineLib.app.worker import Worker
from SAMSpineLib.atlas.atlas import Atlas
from SAMSpineLib.engine.autonomous.result import AutoResult
from SAMSpineLib.engine.networks import Networks
from SAMSpineLib.engine.service.call import Call, Dialogue
from SAMSpineLib.errors import PromptError, SAMSpineError
from SAMSpineLib.lesson_order import Teacher
from SAMSpineLib.mrml.desk import Desk
from SAMSpineLib.mrml.finding import segment_at
from SAMSpineLib.mrml.review_list import segment_rows
from SAMSpineLib.mrml.segment_labels import add_segment
from SAMSpineLib.mrml.slice_plane import SlicePlane
from SAMSpineLib.mrml.workbench import Workbench
from SAMSpineLib.progress import StageProgress
from SAMSpineLib.volume import Volume

_LOG = logging.getLogger(__name__)
TABLE_DELAY = 0.03  # seconds: what a click has changed is drawn before it is listed


@dataclass(frozen=True)
class Engine:
    """What computes: `networks` and a `teacher` for each model by its name, and the `model` to begin with."""

    model: str
    networks: Callable[[str], Networks]
    teacher: Callable[[str], Teacher]


STAGES = {"localise": "Looking for vertebrae", "register": "Registering atlases", "segment": "Segmenting"}


class Application:
    """The behaviour of the page; all of it runs in the event loop's thread, but for what the worker does."""

    def __init__(self, server: Any, engine: Engine, atlases: Callable[[], Sequence[Atlas]], uploads: Uploads) -> None:
        """Make the views on a trame server, with nothing open."""
        self.server, self.state, self.uploads = server, server.state, uploads
        self._engine, self._atlases = engine, atlases
        self.networks, self._teacher = engine.networks(engine.model), engine.teacher(engine.model)
        self.stage = Stage(SlicerApp())
        self.layouts = build_views(server, self.stage.app)
        self.turning = Turning(self.state, self.stage)
        self.worker = Worker(self.refresh)
        self.desk = Desk(self.worker.post, tell=self.tell, changed=self.refresh, new_mirror=self._new_mirror)
        self._dirty = self._dirty_markers = False
        self._aimed = False
        self._wish = ""
        self.opening, self.teaching = Opening(self), Teaching(self)
        observe_slices(self.stage.app, lambda _: self._refresh_markers_soon())
        self._actions: dict[str, Callable[[], None]] = {
            "undo": self.desk.undo,
            "redo": self.desk.redo,
            "nextVertebra": lambda: self.step(1),
            "previousVertebra": lambda: self.step(-1),
            "clearPrompts": lambda: self.desk.clear(self.selected()),
            "otherMask": lambda: self.desk.next_candidate(self.selected()),
            "follow": self.follow,
            "teach": self.teaching.start,
            "noTool": lambda: self.set_tool(""),
            "run": self.run,
            "cancel": self.cancel,
            "resetViews": self.stage.reset_views,
        }
        self._actions |= {tool: partial(self.set_tool, tool) for tool in TOOLS}

    def _new_mirror(self) -> LocalMirror:
        loop = asyncio.get_running_loop()

        def notify(text: str) -> None:
            loop.call_soon_threadsafe(self.tell, text)

        return LocalMirror(self.networks, self._atlases, notify, self._teacher)

    def use(self, model: str) -> None:
        """Answer with another model from now on; segments and prompts stay."""
        bench, prompts = self.bench, self.desk.log("")
        self.networks, self._teacher = self._engine.networks(model), self._engine.teacher(model)
        self.desk.lay(bench, prompts)
        self.desk.open()

    def preload(self) -> None:
        """Bring the network into memory before the first click, in the engine's thread.

        Not beside other work: while torch is being imported, scipy takes it for complete.
        """

        def begin() -> Dialogue[None]:
            yield HERE
            self.networks.preload()

        self.worker.post(Call("Loading the network", begin), None, lambda _: None, lambda error: self.tell(str(error)))

    # What is open.

    @property
    def bench(self) -> Workbench:
        """The volume and segmentation on show.

        Raises:
            PromptError: if there is none.
        """
        if self.desk.bench is None:
            msg = "Open a volume first"
            raise PromptError(msg)
        return self.desk.bench

    def show(self, volume: Volume, name: str) -> None:
        """Put a volume on show, with nothing segmented, and bring it to the engine.

        Raises:
            SAMSpineError: if it cannot be used.
        """
        self._end_run()
        self._aimed = False
        self.desk.drop()
        bench = self.stage.show(volume, name)
        self.turning.reset()
        self.stage.set_window(self.state.window)
        self._apply_look()
        self.desk.lay(bench)
        self.select(add_segment(bench.node, "L3", bench.table))
        self.desk.open()
        self.state.volume_name = name
        self._refresh()

    def go_on(self, bench: Workbench, prompts: str = "", selected: str = "") -> None:
        """Work on segments that came from elsewhere, with their prompts (`mrml.prompt_log`) or without."""
        self.desk.lay(bench, prompts)
        self.desk.open()
        chosen = selected if selected in bench.labels else next(iter(bench.labels), "")
        if chosen:
            self._look_at(chosen)

    def contents(self) -> Contents:
        """Return what can be saved.

        Raises:
            PromptError: if no volume is open.
        """
        return Contents(self.bench, self.opening.source, self.desk.log(""), self.state.selected)

    # What the user does.

    def act(self, action: str) -> None:
        """Do what a key or button stands for."""
        if action in self._actions:
            self.attempt(self._actions[action])

    def attempt(self, action: Callable[[], None]) -> None:
        """Do something for the user; what he can mend becomes a line of the page."""
        try:
            self.tell("")
            action()
        except SAMSpineError as error:
            self.tell(str(error))

    def tell(self, text: str) -> None:
        """Show one line for the user."""
        self.state.message = text
        self.refresh()

    def drawn(self, view: str, kind: str, shares: Sequence[Sequence[float]], positive: bool) -> None:
        """Take what was drawn over a slice: a prompt for the selected segment, or on a prompt to take that back."""
        self.attempt(lambda: self._drawn(view, kind, shares, positive))

    def _drawn(self, view: str, kind: str, shares: Sequence[Sequence[float]], positive: bool) -> None:
        if kind not in ("point", "box", "scribble", "lasso") or not shares:
            msg = f"There is no prompt '{kind}'"
            raise PromptError(msg)
        node = self.stage.slice_node(view)
        plane, pixels = SlicePlane(node), pixels_of(node, shares)
        marker = plane.hit(self.desk.markers(), *pixels[0])
        if marker is not None:
            self.desk.remove(marker)
            return
        if kind == "box":
            places = plane.rectangle(pixels[0], pixels[-1])
        else:
            places = tuple(plane.to_ras(x, y) for x, y in pixels)
        self.desk.click(self.selected(), kind, places, positive=positive, normal=plane.normal)  # type: ignore[arg-type]

    def selected(self) -> str:
        """Return the segment that prompts go to; one that was removed is made again.

        Raises:
            SAMSpineError: if there is none, or no volume.
        """
        _ = self.bench
        segment_id = self.desk.recall(self.state.selected, self._wish)
        self.select(segment_id)
        return segment_id

    def select(self, segment_id: str) -> None:
        """Let prompts go to a segment from now on."""
        self._wish = self.bench.label_of(segment_id).name
        self.state.selected = segment_id
        self.refresh()

    def pick(self, segment_id: str) -> None:
        """Select a segment and look at it."""
        self.attempt(lambda: self._look_at(segment_id))

    def _look_at(self, segment_id: str) -> None:
        self.select(segment_id)
        self.stage.jump_to(self.bench, segment_id)

    def jump(self, place: Sequence[float]) -> None:
        """Let all slice views go through a place (RAS mm)."""
        r, a, s = (float(one) for one in place)
        self.stage.jump((r, a, s))

    def pick_at(self, place: Sequence[float]) -> None:
        """Select the segment at a place (RAS mm), if there is one."""
        r, a, s = (float(one) for one in place)
        segment_id = segment_at(self.desk.bench, (r, a, s)) if self.desk.bench is not None else None
        if segment_id is not None:
            self.select(segment_id)

    def add(self, name: str) -> None:
        """Select the segment of a name, made if need be."""
        self.attempt(lambda: self.select(add_segment(self.bench.node, name, self.bench.table)))

    def step(self, step: int) -> None:
        """Go to the next vertebra towards the feet (negative: the head)."""
        bench, before = self.bench, self.selected()
        following = bench.next_segment(before, step)
        bench.complete(before)
        self._look_at(following)

    def renumber(self, name: str) -> None:
        """Give the selected vertebra another name, and let the chain follow."""
        self.attempt(lambda: self._renumber(name))

    def _renumber(self, name: str) -> None:
        segment_id = self.selected()
        self.desk.renumber(segment_id, name)
        self.select(segment_id)

    def set_tool(self, tool: str) -> None:
        """Choose what drawing in a slice means; the tool that is chosen already is put away."""
        self.state.tool = "" if tool == self.state.tool else tool

    def set_visible(self, segment_id: str) -> None:
        """Show a segment that is hidden, hide one that is shown."""
        shown = next((row["visible"] for row in self.state.segments if row["id"] == segment_id), True)
        self.stage.set_visible(segment_id, visible=not shown)
        self.refresh()

    # The spine at once.

    def run(self) -> None:
        """Find, name and segment every vertebra."""
        if self.state.running:
            return
        _ = self.bench
        self.desk.segment_spine(self.state.method, self.begin_run(STAGES["localise"]), self._finished)

    def follow(self) -> None:
        """Follow the selected segment along the slices."""
        if self.state.running:
            return
        segment_id = self.selected()
        self.desk.follow(segment_id, self.begin_run("Following"), self._followed)

    def begin_run(self, stage: str) -> StageProgress:
        """Show that something long begins; return what is to be told how far it is, from any thread."""
        loop = asyncio.get_running_loop()
        self.state.update({"running": True, "progress": 0.0, "stage": stage})

        def progress(name: str, share: float) -> None:
            loop.call_soon_threadsafe(self._on_progress, name, share)

        return progress

    def _followed(self) -> None:
        self.state.running = False

    def _on_progress(self, stage: str, share: float) -> None:
        if self.state.running:
            self.state.update({"progress": round(100 * share, 1), "stage": STAGES.get(stage, stage)})
            self.state.flush()

    def _finished(self, result: AutoResult | None) -> None:
        self.state.running = False
        if result is None or self.desk.bench is None:
            return
        if result.levels and not result.message:
            what = "structures" if result.structures else "vertebrae"
            self.tell(f"{len(result.levels)} {what} were found; those to look at first are marked")
        self._aimed = False
        if self.desk.review:
            self.stage.jump(self.bench.to_world(self.desk.review[0].place))

    def cancel(self) -> None:
        """End a long run; what it has finished stays."""
        if self.state.running:
            self.state.stage = "Ending"
            self._end_run()

    def _end_run(self) -> None:
        if isinstance(self.desk.mirror, LocalMirror):
            self.desk.mirror.stop()
        if self.desk.mirror is None:
            self.state.running = False

    # How it looks.

    def _apply_look(self) -> None:
        self.stage.set_look(opacity=float(self.state.opacity), outline=bool(self.state.outline))
        self.stage.set_surfaces(wanted=bool(self.state.surfaces))
        self.stage.set_crosshair(wanted=bool(self.state.crosshair))

    def look_changed(self, **_: Any) -> None:
        """Follow the controls of the page."""
        self.stage.set_window(self.state.window)
        self._apply_look()

    def layout_changed(self, **_: Any) -> None:
        """Lay the views out as the page says."""
        if self.layouts.has_layout(self.state.layout):
            self.layouts.set_layout(self.state.layout)

    def orientation_changed(self, view: str) -> None:
        """Turn a slice view as the page says."""
        self.stage.set_orientation(view, self.state[f"orientation_{view}"])
        self.turning.reset(view)

    def refresh(self) -> None:
        """Show what has changed when there is time, once for all changes until then."""
        if not self._dirty:
            self._dirty = True
            _soon(self._refresh, TABLE_DELAY)

    def _refresh(self) -> None:
        self._dirty = False
        rows = segment_rows(self.bench) if self.desk.bench is not None else []
        flags = {row.segment_id: ", ".join(row.flags) for row in self.desk.review}
        if not self._aimed and any(row.millilitres for row in rows):
            self._aimed = True
            self.stage.set_surfaces(wanted=bool(self.state.surfaces))
            self.stage.aim_at_segments()
        self.state.segments = [
            {
                "id": row.segment_id, "name": row.name, "visible": row.visible, "done": row.status == "completed",
                "colour": "rgb({}, {}, {})".format(*(round(255 * part) for part in row.colour)),
                "ml": f"{row.millilitres:.1f}" if row.millilitres else "", "flags": flags.get(row.segment_id, ""),
            }
            for row in rows
        ]  # fmt: skip
        self.state.busy, self.state.steps = self.worker.doing, self.worker.steps
        self.state.can_follow = self.desk.follows(self.state.selected)
        self.state.timing = [round(1000 * one, 1) for one in (self.worker.timing.engine, self.worker.timing.node)]
        self._refresh_markers()

    def _refresh_markers_soon(self) -> None:
        if not self._dirty_markers:
            self._dirty_markers = True
            _soon(self._refresh_markers)

    def _refresh_markers(self) -> None:
        self._dirty_markers = False
        markers = self.desk.markers()
        for view in SLICES:
            node = self.stage.slice_node(view)
            self.state[f"markers_{view}"] = drawn_lines(node, markers)
            self.state[f"frame_{view}"] = frame_of(node)
        self.state.flush()


def _soon(action: Callable[[], None], seconds: float = 0.0) -> None:
    """Do something in a later turn of the event loop, or now where none runs yet."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        action()
        return
    loop.call_later(seconds, action)
