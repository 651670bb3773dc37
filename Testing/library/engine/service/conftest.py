"""A served engine on a real socket, with networks that know the answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from SAMSpineLib.engine.networks import Networks
from SAMSpineLib.engine.service.client import HttpTransport, RemoteSession
from SAMSpineLib.engine.service.hosting import Hosting
from SAMSpineLib.engine.service.listening import Address, QuietServer, bound, build_server
from SAMSpineLib.engine.service.settings import ServiceSettings
from SAMSpineLib.models.localiser.localisation import LEVEL_VALUES, Localisation
from SAMSpineLib.training.localiser_targets import localiser_target
from SAMSpineLib.volume import Grid, Volume

TOKEN = "a token for tests only"
LEVELS = {20: (0.0, 0.0, 24.0), 21: (0.0, 0.0, -2.0), 22: (0.0, 0.0, -28.0)}


class Oracle:
    """A localiser that sees three balls, and tells its progress in quarters; `hold` keeps it at a quarter."""

    pause = 0.0

    def __init__(self) -> None:
        self.localisation = _three_balls()
        self.started, self.hold = threading.Event(), threading.Event()
        self.hold.set()

    def localise(self, volume: Volume, *, progress: Callable[[float], None] | None = None) -> Localisation:
        self.started.set()
        for share in (0.25, 0.5, 0.75, 1.0):
            if progress is not None:
                progress(share)
            time.sleep(self.pause)
            self.hold.wait(20)
        return self.localisation


def _three_balls() -> Localisation:
    spacing = 3.0
    grid = Grid.centred_on((0.0, 0.0, 0.0), shape=(26, 28, 30), spacing=spacing)
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    ras = grid.to_ras(np.stack([i, j, k], axis=-1))
    labels = np.zeros(grid.shape, np.int32)
    for value, centre in LEVELS.items():
        labels[np.linalg.norm(ras - centre, axis=-1) < 11] = value
    centres = {value: np.asarray(centre) for value, centre in LEVELS.items()}
    truth = localiser_target(labels, grid, centres)
    one_hot = np.arange(len(LEVEL_VALUES))[:, None, None, None] == np.maximum(truth.levels, 0)
    likely = np.where(truth.levels >= 0, np.where(one_hot, 0.9, 0.1 / 24), 1 / 25)
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, :3] *= 2
    return Localisation(
        grid, truth.bone.astype(np.float32) * 0.95, truth.heat, truth.offsets,
        Grid(truth.levels.shape, matrix), np.log(likely).astype(np.float32), np.zeros(grid.shape, np.float32),
    )  # fmt: skip


@dataclass(eq=False)
class Served:
    """An engine that listens in a thread of this process."""

    hosting: Hosting
    server: QuietServer
    port: int
    model: Any
    localiser: Any
    sessions: list[RemoteSession] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def session(self, **mirror: Any) -> RemoteSession:
        self.sessions.append(RemoteSession(HttpTransport(self.url, TOKEN), **mirror))
        return self.sessions[-1]


@contextmanager
def serving(
    model: Any,
    localiser: Any = None,
    *,
    certificate: Path | None = None,
    key: Path | None = None,
    networks: Networks | None = None,
    **settings: Any,
) -> Iterator[Served]:
    """Serve networks until the end of the block."""
    localiser = localiser or Oracle()
    networks = networks or Networks(lambda device: model, lambda device: localiser)
    hosting = Hosting(networks, ServiceSettings(**settings), model_name="fake")
    address = Address(certificate=certificate, key=key)
    socket = bound(address)
    server = build_server(hosting, address, TOKEN)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
    thread.start()
    served = Served(hosting, server, socket.getsockname()[1], model, localiser)
    try:
        yield served
    finally:
        for session in served.sessions:
            session.close()
        server.stop()
        thread.join(10)
        assert not thread.is_alive(), "the server did not end"


class Outside:
    """Somebody who speaks plain HTTP."""

    def __init__(self, engine: Any, token: str = TOKEN) -> None:
        self.engine, self.headers = engine, {"Authorization": f"Bearer {token}"}

    def __call__(self, method: str, path: str, message: Any = None, **words: Any) -> requests.Response:
        data = words.pop("data", None if message is None else json.dumps(message).encode())
        headers = {**self.headers, "Content-Type": "application/json", **words.pop("headers", {})}
        return requests.request(method, self.engine.url + path, data=data, headers=headers, timeout=20, **words)

    def open(self, ct: Volume) -> str:
        session = self.engine.session()
        session.set_volume(ct)
        return f"/sessions/{session.mirror._open_state.session}"


@pytest.fixture(scope="session")
def visitor() -> type[Outside]:
    return Outside


@pytest.fixture
def outside(engine) -> Outside:
    return Outside(engine)


@pytest.fixture(scope="session")
def serve() -> Callable[..., Any]:
    return serving


@pytest.fixture(scope="session")
def token() -> str:
    return TOKEN


@pytest.fixture(scope="session")
def oracle() -> type[Oracle]:
    return Oracle


@pytest.fixture
def engine(fake) -> Iterator[Served]:
    with serving(fake()) as served:
        yield served


@pytest.fixture
def there(served, ct):
    """Give a session with a volume open, of the engine that a module serves."""
    session = served.session()
    session.set_volume(ct)
    return session


@pytest.fixture
def lose_engine(there, served) -> Callable[[], None]:
    """Give what loses all that the engine knows, goes back and forth, and finds everything as it was."""

    def lose() -> None:
        before = there.result.copy()
        served.hosting.close(there.mirror._state.session)
        told: list[str] = []
        there._notify = told.append
        there.undo()
        there.redo()
        np.testing.assert_array_equal(there.result, before)
        assert "differently" not in told[0]

    return lose
