"""A volume in an engine, what has been done with it, and the dialogues that do more."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from SAMSpineLib.engine.autonomous.fits import AtlasTransform
from SAMSpineLib.engine.service.call import BREATH, Dialogue, Request, asked, check, posted
from SAMSpineLib.engine.service.protocol import Notify
from SAMSpineLib.engine.service.step_log import Sent, StepLog
from SAMSpineLib.engine.service.upload import Parcel, Way, turns_of
from SAMSpineLib.engine.service.wire import (
    Message,
    apply_update,
    coloured_message,
    read_prompt,
    read_transform,
    read_update,
)
from SAMSpineLib.errors import EngineError
from SAMSpineLib.lesson_order import LessonOrder
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.prompts import Prompt
from SAMSpineLib.volume import Volume

LabelMap = npt.NDArray[np.uint16]
Prompts = tuple[Prompt, ...]
Tell = Callable[[Message], None]
IN_LINES = ("add_all", "segment_spine", "propagate", "teach")

PAGE = 4096  # bytes; memory comes in no smaller portions


@dataclass(eq=False)
class Told:
    """What the lines of a long answer have said so far; nothing of it counts before the last."""

    tell: Tell | None = None
    rows: list[Message] = field(default_factory=list)
    orders: list[Message] | None = None
    notices: list[str] = field(default_factory=list)
    result: Message | None = None
    error: Message | None = None
    finished: bool = False

    def take(self, line: Message) -> None:
        """Take one line; the first of an answer makes what a cut answer has said undone."""
        if "job" in line:
            self.rows, self.notices, self.orders = [], [], None
        if "progress" in line and self.tell is not None:
            self.tell(line["progress"])
        if "update" in line:
            self.rows.append(line)
        self.notices += [line["notice"]] if "notice" in line else []
        self.orders = line.get("orders", self.orders)
        self.result = line.get("result", self.result)
        self.error = line if "error" in line else self.error
        self.finished = self.finished or "end" in line


class RemoteState:
    """One volume that an engine has open for one client."""

    def __init__(self, volume: Volume, labels: npt.NDArray[np.integer] | None, notify: Notify) -> None:
        """Prepare to open a volume, with an earlier label map (K, J, I) of its shape or without one."""
        self.volume = volume
        self.labels: LabelMap = np.zeros(volume.shape, np.uint16) if labels is None else labels.astype(np.uint16)
        self.log = StepLog()
        self.prompts: dict[int, Prompts] = {}
        self.quality: dict[int, float | None] = {}
        self.closed = False
        self.session = ""
        self.follows: dict[int, bool] = {}
        self.steps = 0
        self._notify = notify
        self._parcel: Parcel | None = None
        self._earlier = None if labels is None else Parcel(self.labels.copy())

    def begun(self, *, replaces: str | None, way: Way) -> Dialogue[None]:
        """Bring the volume to the engine, as far as it is not there, and begin a session on it."""
        if self._parcel is None:
            yield from self._touched()
            self._parcel = Parcel(self.volume.array)
        yield from self._parcel.sent(way)
        if self._earlier is not None:
            yield from self._earlier.sent(Way(), share=0.0)
        message = {
            "array": self._parcel.digest,
            "labels": self._earlier.digest if self._earlier is not None else None,
            "ijk_to_ras": self.volume.ijk_to_ras.tolist(),
            "name": self.volume.name,
            "modality": self.volume.modality,
            "replaces": replaces or None,
        }
        reply = yield from asked(posted("/sessions", message))
        self.session, self.steps = reply["session"], 0

    def _touched(self) -> Dialogue[None]:
        """Write the label map, a little at a time: memory that is only promised costs the first clicks 30 ms each."""
        written = self.labels.reshape(-1).view(np.uint8)
        for part in turns_of(written.nbytes):
            written[part][::PAGE] |= 0
            yield BREATH

    def step(self, message: Message, label: int, after: Callable[[Prompts], Prompts]) -> Dialogue[MaskUpdate]:
        """Do one step of one label, which makes `after` of its prompts."""
        (row,) = yield from self._sent(message, self.labels)
        before = self.prompts.get(label, ())
        self._done(Sent(message), label, after(before))
        return read_update(row["update"])

    def back_or_forth(self, action: str) -> Dialogue[MaskUpdate]:
        """Undo or redo a step."""
        (row,) = yield from self._sent({"action": action}, self.labels)
        update = read_update(row["update"])
        # Without a label, the engine had nothing to undo.
        step = (self.log.undo() if action == "undo" else self.log.redo()) if update.label else None
        if step is not None:
            self.prompts[step.label] = step.before if action == "undo" else step.after
        return update

    def job(
        self, message: Message, tell: Tell, given: Mapping[int, Prompts] | None = None
    ) -> Dialogue[tuple[tuple[MaskUpdate, ...], Told]]:
        """Do many steps at once, and log those that came to an end; `given` are the prompts where the client chose."""
        told = Told(tell)
        rows = yield from self._sent(message, self.labels, told)
        updates = tuple(read_update(row["update"]) for row in rows)
        finished = {update.label for update in updates}
        orders = message.get("orders", ()) if told.orders is None else told.orders
        orders = [row for row in orders if row["label"]["value"] in finished]
        if given is None:
            given = {row["label"]["value"]: tuple(read_prompt(one) for one in row["prompts"]) for row in orders}
        sent = Sent({"action": "add_all", "orders": orders})
        for update in updates:
            self._done(sent, update.label, (*self.prompts.get(update.label, ()), *given[update.label]))
        return updates, told

    def repeatable(
        self, message: Message, tell: Tell, after: Callable[[Prompts], Prompts]
    ) -> Dialogue[tuple[tuple[MaskUpdate, ...], Told]]:
        """Do long work that no prompt stands for, which makes `after` of prompts, and log the message itself.

        What was cancelled is repeated as far as it went, if the engine has said how far.
        """
        told = Told(tell)
        rows = yield from self._sent(message, self.labels, told)
        updates = tuple(read_update(row["update"]) for row in rows)
        seen = (told.result or {}).get("slices")
        sent = Sent(message if told.error is None or seen is None else {**message, "most": max(1, seen)})
        for update in updates:
            self._done(sent, update.label, after(self.prompts.get(update.label, ())))
        return updates, told

    def taught(self, order: LessonOrder, tell: Tell, *, way: Way) -> Dialogue[Told]:
        """Bring labelled volumes to the engine and let it be taught; nothing of the session changes."""
        rows = []
        for one in order.volumes:
            voxels, labels = Parcel(one.volume.array), Parcel(one.labels.astype(np.uint16))
            yield from voxels.sent(way)
            yield from labels.sent(Way(), share=0.0)
            rows.append(
                {
                    "array": voxels.digest, "labels": labels.digest, "ijk_to_ras": one.volume.ijk_to_ras.tolist(),
                    "modality": one.volume.modality, "subject": one.subject, "complete": one.complete,
                }
            )  # fmt: skip
        structures = [coloured_message(one) for one in order.structures]
        message = {
            "action": "teach",
            "name": order.name,
            "structures": structures,
            "volumes": rows,
            "steps": order.steps,
        }
        told = Told(tell)
        yield from self._sent(message, self.labels, told)
        return told

    def cancelled(self) -> Dialogue[None]:
        """End the job that is under way."""
        check((yield Request("DELETE", f"/sessions/{self.session}/jobs/{self.steps + 1}")))

    def transforms(self, count: int) -> Dialogue[tuple[AtlasTransform, ...]]:
        """Fetch as many transforms of atlases, one after the other."""
        found = []
        for number in range(count):
            request = Request("GET", f"/sessions/{self.session}/transforms/{number}", share=number / count)
            found.append(read_transform((yield from asked(request))))
        return tuple(found)

    def revived(self, *, way: Way) -> Dialogue[tuple[int, ...]]:
        """Begin a new session and repeat every step; return the labels whose voxels differ from before."""
        yield from self.begun(replaces=self.session, way=way)
        labels = np.zeros(self.volume.shape, np.uint16) if self._earlier is None else self._earlier.array.copy()
        for sent in list(self.log.replay()):
            told = Told() if sent.message["action"] in IN_LINES else None
            yield from self._sent(sent.message, labels, told)
            if told is not None and told.error is not None:
                msg = f"What was done before could not be repeated: {told.error['error']['message']}"
                raise EngineError(msg)
        different = labels != self.labels
        found = {*np.unique(labels[different]).tolist(), *np.unique(self.labels[different]).tolist()} - {0}
        self.labels[...] = labels
        return tuple(sorted(found))

    def _sent(self, message: Message, labels: LabelMap, told: Told | None = None) -> Dialogue[list[Message]]:
        """Send one numbered message, write what it changed into a label map, and return its rows."""
        self._check_open()
        kind = "steps" if told is None else "jobs"
        numbered = {"step": self.steps + 1, "key": secrets.token_hex(8), **message}
        request = posted(f"/sessions/{self.session}/{kind}", numbered, on_line=told.take if told is not None else None)
        if told is None:
            reply = yield from asked(request)
            rows, notices = reply["rows"], reply["notices"]
        else:
            check((yield request))
            rows, notices = told.rows, told.notices
            if not told.finished:
                msg = "The engine's answer ended early; try again"
                raise EngineError(msg)
        self._check_open()
        self.steps += 1
        for row in rows:
            apply_update(read_update(row["update"]), row["update"], labels)
            self.quality[row["update"]["label"]] = row["quality"]
            self.follows[row["update"]["label"]] = row["follows"]
        for notice in notices:
            self._notify(notice)
        return list(rows)

    def _check_open(self) -> None:
        if self.closed:
            msg = "This belongs to a volume that is no longer open"
            raise EngineError(msg)

    def _done(self, sent: Sent, label: int, prompts: Prompts) -> None:
        """Log a step of a label and what its prompts are now."""
        self.log.push(sent, label, self.prompts.get(label, ()), prompts)
        self.prompts[label] = prompts
