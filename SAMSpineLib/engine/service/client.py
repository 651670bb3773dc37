"""A session in another process that looks like the one in this process; it blocks as that one does.

with RemoteSession.in_child() as session:          # or RemoteSession.at("https://box:8723", token)
    session.set_volume(read_volume(path))
    session.select(spine_labels().by_name("L3"))
    update = session.add(Point((10.0, -20.0, 30.0)))

If the engine dies, it is started again, the volume opened and every step repeated, and `notify` hears one line.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from SAMSpineLib.engine.autonomous.fits import AtlasTransform
from SAMSpineLib.engine.autonomous.result import AutoResult
from SAMSpineLib.engine.service.call import BREATH, BREATHED, Call, Request
from SAMSpineLib.engine.service.child import EngineProcess
from SAMSpineLib.engine.service.mirror import SessionMirror
from SAMSpineLib.engine.service.protocol import Notify
from SAMSpineLib.errors import EngineError, EngineLostError, MissingExtraError
from SAMSpineLib.labels import Label
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.progress import Counted, StageProgress
from SAMSpineLib.prompts import Prompt
from SAMSpineLib.volume import Volume

if TYPE_CHECKING:
    import requests

    from SAMSpineLib.engine.service.protocol import Segmenter
    from SAMSpineLib.engine.session import Session

    def _have_one_surface(remote: RemoteSession, local: Session) -> tuple[Segmenter, Segmenter]:
        """Let the type checker hold both to it."""
        return remote, local


Result = TypeVar("Result")
CONNECT_SECONDS = 10.0
PATIENCE = (0.0, 0.2, 1.0, 3.0)


class CutError(EngineError):
    """The connection was cut, or could not be made."""


class HttpTransport:
    """Sends calls one after the other over one connection, and waits for their answers."""

    def __init__(self, url: str, token: str, *, verify: bool | Path = True) -> None:
        """Speak to the engine at an address; `verify` may name the certificate (PEM) to trust."""
        try:
            import requests
        except ImportError as error:
            package = "requests"
            raise MissingExtraError(package, "server") from error
        self.url, self.token = url.rstrip("/"), token
        self._errors = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
        self._wire = requests.Session()
        self._wire.trust_env = False
        self._wire.verify = verify if isinstance(verify, bool) else str(verify)

    def send(self, call: Call[Result], *, progress: Callable[[float], None] | None = None) -> Result:
        """Bring a call to its end and return its result.

        Args:
            call: of a mirror.
            progress: is told the share (0..1) that is done, where a call needs several requests.

        Raises:
            CutError: if the engine does not answer; the call may be sent again.
            SAMSpineError: what the engine refuses.
        """
        while not self._exchanged(call):
            if progress is not None:
                progress(call.request.share)
        return call.result

    def close(self) -> None:
        """Hang up."""
        self._wire.close()

    def _exchanged(self, call: Call[Any]) -> bool:
        """Send one request; True if that was the last."""
        request = call.request
        if request is BREATH:
            return call.accept(BREATHED)
        try:
            with self._answer(request) as answer:
                if request.on_line is None:
                    return call.accept(answer.status_code, answer.content)
                for chunk in answer.iter_content(None):
                    call.feed(chunk)
                return call.accept(answer.status_code)
        except self._errors as error:
            call.cut()
            msg = f"The engine at {self.url} does not answer"
            raise CutError(msg) from error

    def _answer(self, request: Request) -> requests.Response:
        return self._wire.request(
            request.method,
            self.url + request.path,
            data=request.body,
            headers=request.headers(self.token),
            stream=request.on_line is not None,
            timeout=(CONNECT_SECONDS, None),
        )


class RemoteSession:
    """The surface of `engine.session.Session` (see `protocol.Segmenter`), computed elsewhere."""

    def __init__(self, transport: HttpTransport, *, engine: EngineProcess | None = None, **mirror: Any) -> None:  # noqa: ANN401
        """Speak over a transport; with `engine`, start that again where it has died.

        Args:
            transport: to an engine that runs.
            engine: the child process that it is, if it is ours.
            mirror: see `SessionMirror`.
        """
        self.mirror = SessionMirror(**mirror)
        self._notify: Notify = mirror.get("notify") or (lambda _text: None)
        self._transport, self._engine = transport, engine
        self._lost = False

    @classmethod
    def at(cls, url: str, token: str, *, verify: bool | Path = True, notify: Notify | None = None) -> RemoteSession:
        """Use an engine that runs somewhere."""
        return cls(HttpTransport(url, token, verify=verify), notify=notify)

    @classmethod
    def in_child(cls, command: Sequence[str] | None = None, *, notify: Notify | None = None) -> RemoteSession:
        """Start an engine of one's own; see `child.serve_command`."""
        engine = EngineProcess(command)
        hello = engine.start()
        return cls(HttpTransport(hello.url, hello.token), engine=engine, notify=notify, shared_memory=True)

    def __enter__(self) -> RemoteSession:
        """Return the session."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let the engine forget the session; an engine of one's own ends."""
        if self._engine is not None:
            self._engine.stop()
        elif self.mirror.is_open:
            # An engine that is gone has forgotten it.
            with contextlib.suppress(CutError):
                self._transport.send(self.mirror.close())
        self._transport.close()

    def set_volume(
        self,
        volume: Volume,
        labels: npt.NDArray[np.integer] | None = None,
        *,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        """Open a volume; `progress` is told the share (0..1) that was sent. See `Session.set_volume`."""
        self._do(self.mirror.open(volume, labels), progress=progress)

    @property
    def volume(self) -> Volume:
        """The open volume."""
        return self.mirror.volume

    def select(self, label: Label, *, overwrite: bool = False) -> None:
        """Choose the structure that prompts speak of."""
        self.mirror.select(label, overwrite=overwrite)

    @property
    def label(self) -> Label:
        """The selected structure."""
        return self.mirror.label

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """Prompts of the selected label, in order."""
        return self.mirror.prompts

    @property
    def result(self) -> npt.NDArray[np.uint16]:
        """The label map (K, J, I); a read-only view, and nothing is transferred."""
        return self.mirror.result

    def mask(self, value: int) -> npt.NDArray[np.uint8]:
        """Return one label's mask (K, J, I) of 0 and 1."""
        return self.mirror.mask(value)

    def quality(self, value: int) -> float | None:
        """Return the Dice that the model expects of a label (0..1), None where it was not prompted."""
        return self.mirror.quality(value)

    def add(self, prompt: Prompt) -> MaskUpdate:
        """Add a prompt for the selected label; see `Session.add`."""
        return self._do(self.mirror.add(prompt))

    def add_all(
        self, orders: Mapping[Label, Sequence[Prompt]], *, progress: Counted | None = None
    ) -> tuple[MaskUpdate, ...]:
        """Prompt several labels; see `Session.add_all`. What `progress` raises ends the work."""
        ending = _Ending(self._cancel)
        tell = None if progress is None else lambda *words: ending.guarded(lambda: progress(*words))
        return ending.raised_or(lambda: self._do(self.mirror.add_all(orders, progress=tell)))

    def follows(self, value: int) -> bool:
        """Tell whether a label can be followed from a prompted slice."""
        return self.mirror.follows(value)

    def next_candidate(self) -> MaskUpdate:
        """Take the next of the masks that were offered on the slice that was prompted last."""
        return self._do(self.mirror.next_candidate())

    def propagate(
        self, labels: Sequence[Label] | None = None, *, progress: Counted | None = None
    ) -> tuple[MaskUpdate, ...]:
        """Follow labels through the stack; see `Session.propagate`. What `progress` raises ends the work."""
        ending = _Ending(self._cancel)
        tell = None if progress is None else lambda *words: ending.guarded(lambda: progress(*words))
        return ending.raised_or(lambda: self._do(self.mirror.propagate(labels, progress=tell)))

    def segment_spine(
        self,
        *,
        method: str = "centres",
        progress: StageProgress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> AutoResult:
        """Find, name and segment every vertebra; see `pipeline.segment_spine`."""
        ending = _Ending(self._cancel)

        def tell(stage: str, share: float) -> None:
            if cancelled is not None and cancelled():
                ending.end()
            elif progress is not None:
                ending.guarded(lambda: progress(stage, share))

        return ending.raised_or(lambda: self._do(self.mirror.segment_spine(method=method, progress=tell)))

    def transforms(self, result: AutoResult) -> tuple[AtlasTransform, ...]:
        """Fetch the transforms of the atlases that took part in the last autonomous run, which had this result."""
        return self._do(self.mirror.transforms(len(result.fits)))

    def remove(self, prompt: Prompt) -> MaskUpdate:
        """Take one prompt of the selected label back; see `Session.remove`."""
        return self._do(self.mirror.remove(prompt))

    def clear(self) -> MaskUpdate:
        """Remove the selected label's prompts and voxels."""
        return self._do(self.mirror.clear())

    def undo(self) -> MaskUpdate:
        """Take back the last step of any label."""
        return self._do(self.mirror.undo())

    def redo(self) -> MaskUpdate:
        """Do again what `undo` took back."""
        return self._do(self.mirror.redo())

    def _cancel(self) -> None:
        self._transport.send(self.mirror.cancel())

    def _do(self, call: Call[Result], *, progress: Callable[[float], None] | None = None) -> Result:
        """Bring a call to its end, whatever happens to the engine meanwhile."""
        for wait in PATIENCE:
            if wait:
                time.sleep(wait)
            try:
                if self._lost:
                    self._revive(call)
                return self._transport.send(call, progress=progress)
            except CutError as error:
                last: EngineError = error
                self._lost = self._lost or self._restarted()
            except EngineLostError as error:
                last, self._lost = error, True
        raise last

    def _restarted(self) -> bool:
        """Start our engine again if it has died; True if it had."""
        if self._engine is None or self._engine.is_alive(within=1.0):
            return False
        hello = self._engine.start()
        self._transport.close()
        self._transport = HttpTransport(hello.url, hello.token)
        return True

    def _revive(self, call: Call[Any]) -> None:
        """Bring a new engine to where the old one was, and a call to its beginning."""
        if call.needs_session and self.mirror.is_open:
            steps = self.mirror.steps_in_effect
            changed = self._transport.send(self.mirror.revive())
            done = f"the volume was opened again and {steps} step(s) repeated"
            less = f"; labels that came out differently: {', '.join(map(str, changed))}" if changed else ""
            self._notify(f"The engine was lost and is back: {done}{less}")
        self._lost = False
        call.restart()


class _Ending:
    """Ends a run early when the one who watches it says so or fails, and lets what is finished arrive first."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        """Know how to end it."""
        self._cancel = cancel
        self._raised: list[BaseException] = []
        self._ended = False

    def end(self) -> None:
        """End it, once."""
        if not self._ended:
            self._ended = True
            self._cancel()

    def guarded(self, work: Callable[[], None]) -> None:
        """Do something for the watcher; what it raises ends the run and is kept."""
        if self._ended:
            return
        try:
            work()
        except BaseException as error:  # also an interrupt: it is raised again when what is finished has arrived
            self._raised.append(error)
            self.end()

    def raised_or(self, work: Callable[[], Result]) -> Result:
        """Return what some work gives, or raise what was kept."""
        try:
            return work()
        finally:
            if self._raised:
                raise self._raised[0]
