"""Start the app: one process, one user, until it is interrupted."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from SAMSpineLib.app.application import Application
from SAMSpineLib.app.guard import Guard, is_loopback, middleware
from SAMSpineLib.app.page import build_page, initial_state
from SAMSpineLib.app.routes import add_routes
from SAMSpineLib.app.uploads import Uploads
from SAMSpineLib.atlas.atlas import Atlas
from SAMSpineLib.engine.fallback import Networks
from SAMSpineLib.errors import OutputError, SAMSpineError

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
    networks: Networks,
    atlases: Callable[[], Sequence[Atlas]],
    ready: Callable[[str], None],
) -> None:
    """Serve the page until interrupted; `ready` is given its address.

    Raises:
        OutputError: if the address cannot be listened on.
    """
    token = None if is_loopback(settings.host) else secrets.token_urlsafe(24)
    port = free_port(settings.host, settings.port)
    name = "127.0.0.1" if settings.host == "0.0.0.0" else settings.host  # noqa: S104 - compared, not bound
    name = f"[{name}]" if ":" in name else name
    url = f"http://{name}:{port}/" + (f"?token={token}" if token else "")
    os.environ["WSLINK_READY_MSG"] = ""
    # What is sent are JPEGs, mostly: to compress them again takes time and saves nothing.
    os.environ.setdefault("WSLINK_WS_COMPRESS", "0")
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        # Else VTK tries for seconds, and for each view, to find a screen that is not there.
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    with tempfile.TemporaryDirectory(prefix="samspine-app-", ignore_cleanup_errors=True) as folder:
        asyncio.run(
            _serve(settings, port, Guard(token), (networks, atlases, Uploads(Path(folder))), lambda: ready(url))
        )


Parts = tuple[Networks, Callable[[], Sequence[Atlas]], Uploads]


async def _serve(settings: Settings, port: int, guard: Guard, parts: Parts, ready: Callable[[], None]) -> None:
    from trame.app import get_server

    server: Any = get_server("samspine", client_type="vue3")
    server.enable_module(
        {"serve": {ASSETS: str(WEB)}, "scripts": [f"{ASSETS}/app.js"], "styles": [f"{ASSETS}/app.css"]}
    )
    initial_state(server.state)
    networks, atlases, uploads = parts
    app = Application(server, networks, atlases, uploads)
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
        await app.open_path(settings.image, kind="volume", series=settings.series)
    else:
        await open_phantom(app)
    app.preload()


async def open_phantom(app: Application) -> None:
    """Open a small synthetic spine."""
    from SAMSpineLib.training.synthetic.phantom import make_phantom
    from SAMSpineLib.training.synthetic.settings import PhantomSettings

    app.state.loading = "a synthetic spine"
    app.state.flush()
    try:
        phantom = await asyncio.to_thread(make_phantom, 1, PhantomSettings.small())
        app.show(phantom.image, "Synthetic spine")
        app.tell("A synthetic spine to try with: choose a tool and click on a vertebra, or open your own image")
    except SAMSpineError as error:
        app.tell(str(error))
    finally:
        app.state.loading = ""
        app.refresh()


def connect(app: Application) -> None:
    """Connect what the page and its script ask for with the application."""
    server, state = app.server, app.state
    server.trigger("drawn")(app.drawn)
    server.trigger("act")(app.act)
    server.trigger("pick")(app.pick)
    server.trigger("jump")(app.jump)
    server.trigger("pickAt")(app.pick_at)
    server.trigger("visible")(app.set_visible)
    server.trigger("uploaded")(app.open_uploaded)

    async def phantom() -> None:
        await open_phantom(app)

    server.trigger("phantom")(phantom)

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
    state.change("orientation_Red", "orientation_Green", "orientation_Yellow")(app.orientation_changed)
