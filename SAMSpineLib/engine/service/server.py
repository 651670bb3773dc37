"""The engine as an HTTP service: routes only. What they do is in `hosting`, what they say in `messages`.

The event loop computes nothing: sessions work in threads of their own, and voxels are packed there too.
"""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

from fastapi import Body, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException

from SAMSpineLib.engine.service import messages as say
from SAMSpineLib.engine.service.guard import Guard
from SAMSpineLib.engine.service.hosted import BusyError, failure
from SAMSpineLib.engine.service.hosting import Hosting
from SAMSpineLib.engine.service.memory import gpu_memory, process_bytes
from SAMSpineLib.engine.service.protocol import BYTES_TYPE, LINES_TYPE, MESSAGE_TYPE, PROTOCOL
from SAMSpineLib.engine.service.wire import Message, error_message
from SAMSpineLib.errors import EngineError, EngineLostError, PromptError, SAMSpineError

LOOPBACK = ("127.0.0.1", "::1")
# Status of what an engine refuses; any other error of ours is the content of the message: 422.
STATUS: dict[type[SAMSpineError], int] = {BusyError: 429, EngineLostError: 404, EngineError: 409}
REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {"model": say.ErrorOut, "description": text}
    for code, text in (
        (400, "not to be read, or another version of the protocol"),
        (401, "no token, or a wrong one"),
        (404, "nothing there; a session that the engine does not know"),
        (408, "arrives too slowly"),
        (409, "not in this state"),
        (413, "too large"),
        (422, "understood, and wrong"),
        (429, "too much at once"),
    )
}
LINES = {200: {"content": {LINES_TYPE: {"schema": {"type": "string"}}}, "description": "lines of JSON"}}


def build_app(hosting: Hosting, *, token: str) -> FastAPI:
    """Return the service of an engine; every route but /health needs the token."""
    app = FastAPI(
        title="SAMSpine engine", version=_version(), docs_url=None, redoc_url=None,
        responses=REFUSALS, redirect_slashes=False,
    )  # fmt: skip
    app.add_middleware(Guard, token=token, settings=hosting.settings)
    _speak_of_errors(app)
    _tell(app, hosting)
    _take_arrays(app, hosting)
    _serve_sessions(app, hosting)
    return app


def _tell(app: FastAPI, hosting: Hosting) -> None:
    """Add what anybody may ask."""

    @app.get("/health")
    async def health() -> say.Health:
        """Tell that the engine is there; needs no token."""
        return say.Health()

    @app.get("/info")
    async def info() -> say.Info:
        """Tell what the engine is and how it fares."""
        return say.Info(
            version=_version(), protocol=PROTOCOL, model=hosting.model_name, device=hosting.networks.device,
            ready=hosting.networks.ready, sessions=hosting.count, sessions_limit=hosting.settings.sessions,
            voxel_bytes=hosting.arrays.nbytes, voxel_bytes_limit=hosting.settings.memory_bytes,
            cache_bytes=hosting.patches.nbytes, process_bytes=process_bytes(), gpu=gpu_memory(),
        )  # fmt: skip


def _take_arrays(app: FastAPI, hosting: Hosting) -> None:
    """Add how voxels come in."""
    arrays = hosting.arrays

    @app.post("/arrays/{digest}")
    async def begin_array(digest: say.Digest, about: say.ArrayAbout) -> say.ArrayState:
        """Say which voxels (K, J, I) are to come under a SHA-256, and learn how much of them is here."""
        k, j, i = about.shape
        stored = await hosting.at_desk(arrays.begin, digest, (k, j, i), about.dtype)
        return say.ArrayState(received=stored.received, complete=stored.complete)

    body = {"requestBody": {"content": {BYTES_TYPE: {"schema": {"type": "string", "format": "binary"}}}}}

    @app.put("/arrays/{digest}/voxels", openapi_extra=body)
    async def add_piece(
        digest: say.Digest, offset: Annotated[int, Query(ge=0, le=2**48)], request: Request
    ) -> say.ArrayState:
        """Send the next piece, compressed by zlib; `offset` counts expanded bytes. Learn how much is here now."""
        piece = await request.body()
        stored = await hosting.at_desk(arrays.add_piece, digest, offset, piece)
        return say.ArrayState(received=stored.received, complete=stored.complete)

    @app.post("/arrays/{digest}/shared")
    async def take_shared(digest: say.Digest, shared: say.SharedName, request: Request) -> say.ArrayState:
        """Hand the voxels over in shared memory; on one machine only."""
        if request.client is None or request.client.host not in LOOPBACK:
            msg = "Shared memory works on one machine only; upload the volume instead"
            raise EngineError(msg)
        stored = await hosting.at_desk(arrays.take_shared, digest, shared.name)
        return say.ArrayState(received=stored.received, complete=stored.complete)


def _serve_sessions(app: FastAPI, hosting: Hosting) -> None:
    """Add what is done with a session."""

    @app.post("/sessions")
    async def open_session(about: say.OpenSession) -> say.Opened:
        """Open a volume that is here; `replaces` names a session to close first."""
        return say.Opened(session=await hosting.open(about.model_dump()))

    @app.delete("/sessions/{session}")
    async def close_session(session: say.SessionId) -> say.Done:
        """Close a session."""
        return say.Done(done=hosting.close(session))

    @app.post("/sessions/{session}/steps", response_model=say.StepDone)
    async def take_step(session: say.SessionId, step: say.Step) -> Response:
        """Do one step and learn what it changed; the last one sent again is not done again."""
        message = checked(step, hosting)
        return Response(await hosting.find(session).step(message), media_type=MESSAGE_TYPE)

    @app.post("/sessions/{session}/jobs", responses=LINES, response_class=StreamingResponse)  # type: ignore[arg-type]
    async def begin_job(session: say.SessionId, job: Annotated[say.Job, Body()]) -> StreamingResponse:
        """Do many steps and hear of them, line by line: progress, then updates, then the result or an error."""
        feed = await hosting.find(session).job(checked(job, hosting))
        return StreamingResponse(feed.read(), media_type=LINES_TYPE)

    @app.delete("/sessions/{session}/jobs/{step}")
    async def cancel_job(session: say.SessionId, step: say.StepNumber) -> say.Done:
        """End the long step of a number; what it has finished stays."""
        return say.Done(done=hosting.find(session).cancel(step))

    @app.get("/sessions/{session}/transforms/{number}", response_model=say.TransformOut)
    async def fetch_transform(session: say.SessionId, number: say.FitNumber) -> Response:
        """Fetch the transform of one of the atlases that took part in the last autonomous run, counted from 0."""
        return Response(await hosting.find(session).transform(number), media_type=MESSAGE_TYPE)

    @app.get("/sessions/{session}/result", response_model=say.PackedOut)
    async def fetch_result(session: say.SessionId) -> Response:
        """Fetch the whole label map; a client that applies each update needs it never."""
        return Response(await hosting.find(session).result(), media_type=MESSAGE_TYPE)


def checked(step: BaseModel, hosting: Hosting) -> Message:
    """Return a message whose prompts are not too many nor too long.

    Raises:
        PromptError: if they are.
    """
    message = step.model_dump()
    orders = message.get("orders", ())
    prompts = [message["prompt"]] if "prompt" in message else [one for row in orders for one in row["prompts"]]
    if len(prompts) + len(orders) > hosting.settings.prompts:
        msg = f"Expected at most {hosting.settings.prompts} prompts in one message, got {len(prompts)}"
        raise PromptError(msg)
    longest = max((len(one.get("points", ())) for one in prompts), default=0)
    if longest > hosting.settings.prompt_points:
        msg = f"A scribble or lasso may have {hosting.settings.prompt_points} points, got {longest}"
        raise PromptError(msg)
    return message


def _speak_of_errors(app: FastAPI) -> None:
    """Give every refusal the same form, and tell nobody how we look inside."""

    @app.exception_handler(SAMSpineError)
    async def refuse(_: Request, error: SAMSpineError) -> Response:
        status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 422)
        return _answer(status, error_message(error))

    @app.exception_handler(RequestValidationError)
    async def refuse_malformed(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][:12])
        kind = PromptError if "prompt" in place else EngineError
        text = f"The message is malformed at {place[:200]}: {first['msg'][:300]}"
        return _answer(422, error_message(kind(text)))

    @app.exception_handler(StarletteHTTPException)
    async def refuse_plainly(_: Request, error: HTTPException) -> Response:
        return _answer(error.status_code, error_message(EngineError(str(error.detail))), error.headers)

    @app.exception_handler(Exception)
    async def fail(_: Request, error: Exception) -> Response:
        return _answer(500, failure(error))


def _answer(status: int, message: Message, headers: Any = None) -> Response:  # noqa: ANN401 - as starlette has it
    return Response(json.dumps(message), status, headers, MESSAGE_TYPE)


def _version() -> str:
    try:
        return version("samspine")
    except PackageNotFoundError:
        return "unknown"
