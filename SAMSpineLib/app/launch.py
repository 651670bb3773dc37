"""Start the app: one process, one user, until it is interrupted."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from SAMSpineLib.app.application import Application, Engine
from SAMSpineLib.app.graphics import check_graphics, choose_window, keep_triton_out
from SAMSpineLib.app.guard import Guard, is_loopback, middleware
from SAMSpineLib.app.page import build_page, initial_state
from SAMSpineLib.app.routes import add_routes
from SAMSpineLib.app.stage import SLICES
from SAMSpineLib.app.uploads import Uploads
from SAMSpineLib.atlas.atlas import Atlas
from SAMSpineLib.errors import OutputError

_LOG = logging.getLogger(__name__)
WEB = Path(__file__).with_name("web")
ASSETS = "samspine_web"


@dataclass(frozen=True)
class Settings:
    """What to open and where to listen; beyond this machine a token is made, and is part of the address."""

    image: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    series: str | None = None


def free_port(host: str, port: int) -> int:
    """Return a port that can be listened on: the one asked for, or for 0 any free one.

    Raises:
        OutputError: if it cannot.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family) as listening:
            return int(listening.getsockname()[1])
    except (OSError, OverflowError) as error:
        msg = f"{host}, port {port}, cannot be listened on: {error}; choose another with --port"
        raise OutputError(msg) from error


def run_app(
    settings: Settings,
    engine: Engine,
    atlases: Callable[[], Sequence[Atlas]],
    ready: Callable[[str], None],
) -> None:
    """Serve the page until interrupted; `ready` is given its address.

    Raises:
        OutputError: if the address cannot be listened on.
        GraphicsError: if this machine cannot draw.
    """
    token = None if is_loopback(settings.host) else secrets.token_urlsafe(24)
    port = free_port(settings.host, settings.port)
    name = "127.0.0.1" if settings.host == "0.0.0.0" else settings.host  # noqa: S104 - compared, not bound
    name = f"[{name}]" if ":" in name else name
    url = f"http://{name}:{port}/" + (f"?token={token}" if token else "")
    os.environ["WSLINK_READY_MSG"] = ""
    # What is sent are JPEGs, mostly: to compress them again takes time and saves nothing.
    os.environ.setdefault("WSLINK_WS_COMPRESS", "0")
    choose_window()
    check_graphics()
    keep_triton_out()
    with tempfile.TemporaryDirectory(prefix="samspine-app-", ignore_cleanup_errors=True) as folder:
        asyncio.run(_serve(settings, port, Guard(token), (engine, atlases, Uploads(Path(folder))), lambda: ready(url)))


Parts = tuple[Engine, Callable[[], Sequence[Atlas]], Uploads]


async def _serve(settings: Settings, port: int, guard: Guard, parts: Parts, ready: Callable[[], None]) -> None:
    from trame.app import get_server

    server: Any = get_server("samspine", client_type="vue3")
    server.enable_module(
        {"serve": {ASSETS: str(WEB)}, "scripts": [f"{ASSETS}/app.js"], "styles": [f"{ASSETS}/app.css"]}
    )
    initial_state(server.state)
    app = Application(server, *parts)
    build_page(app)
    connect(app)

    def bound(wslink_server: Any) -> None:
        wslink_server.app.middlewares.append(middleware(guard))
        add_routes(wslink_server.app.router, app)

    server.controller.on_server_bind.add(bound)
    loop = asyncio.get_running_loop()
    waiting: list[asyncio.Task[None]] = []

    def is_ready(**_: Any) -> None:
        ready()
        waiting.append(loop.create_task(_opened(app, settings)))
        waiting[0].add_done_callback(_log_fault)

    server.controller.on_server_ready.add(is_ready)
    try:
        await server.start(
            port=port, host=settings.host, exec_mode="coroutine", open_browser=False, show_connection_info=False,
            timeout=0, disable_logging=True,
        )  # fmt: skip
    finally:
        app.worker.close()


def _log_fault(task: asyncio.Task[None]) -> None:
    """Let the server's log know of what nobody waits for."""
    if not task.cancelled() and task.exception() is not None:
        _LOG.error("The first image could not be opened", exc_info=task.exception())


async def _opened(app: Application, settings: Settings) -> None:
    """Open what was asked for; a synthetic spine where nothing was."""
    if settings.image is not None:
        await app.opening.open_path(settings.image, kind="volume", series=settings.series)
    else:
        await app.opening.open_phantom()
    app.preload()


def connect(app: Application) -> None:
    """Connect what the page and its script ask for with the application."""
    server, state = app.server, app.state
    server.trigger("drawn")(app.drawn)
    server.trigger("act")(app.act)
    server.trigger("pick")(app.pick)
    server.trigger("jump")(app.jump)
    server.trigger("pickAt")(app.pick_at)
    server.trigger("visible")(app.set_visible)
    server.trigger("uploaded")(app.opening.open_uploaded)
    server.trigger("phantom")(app.opening.open_phantom)
    server.trigger("choose")(app.opening.choose)

    def named(key: str, action: Callable[[str], None]) -> None:
        def changed(**_: Any) -> None:
            name = state[key]
            if name:
                state[key] = None
                action(name)

        state.change(key)(changed)

    named("new_name", app.add)
    named("new_number", app.renumber)
    state.change("window", "opacity", "outline", "surfaces", "crosshair")(app.look_changed)
    state.change("layout")(app.layout_changed)
    for view in SLICES:
        state.change(f"orientation_{view}")(lambda view=view, **_: app.orientation_changed(view))
