"""What it costs that the engine is another process: a click there and here, in turns, on a CT of 512 x 512 x 300.

The network answers at once, with as much as a vertebra is: what is left is the session's own work and the way.
`python -m Benchmarks.service` is that other process.
"""

from __future__ import annotations

import sys

import numpy as np

from Benchmarks.timing import InstantPromptable, click_places, median, milliseconds, open_session
from SAMSpineLib.engine.networks import Networks
from SAMSpineLib.engine.service.child import EngineProcess
from SAMSpineLib.engine.service.client import HttpTransport, RemoteSession
from SAMSpineLib.engine.service.hosting import Hosting
from SAMSpineLib.engine.service.listening import Address, bound, build_server, end_with_stdin, handshake
from SAMSpineLib.engine.service.upload import Way
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.prompts import Point
from SAMSpineLib.volume import Volume

SHAPE = (300, 512, 512)
TOKEN = "of this benchmark alone"  # noqa: S105 - no secret


def measure() -> dict[str, float]:
    """Time clicks and undos here and there (ms, median) and what the way costs; and how a volume gets there."""
    engine = EngineProcess([sys.executable, "-m", "Benchmarks.service"])
    hello = engine.start()
    try:
        remote = RemoteSession(HttpTransport(hello.url, hello.token), shared_memory=True)
        volume = noise(0)
        figures = {"service_open_shared_ms": milliseconds(lambda: remote.set_volume(volume))}
        figures["service_open_known_ms"] = milliseconds(lambda: remote.set_volume(volume))
        figures |= measure_clicks(remote, volume)
        remote.mirror.way = Way()
        other = noise(1)
        figures["service_open_upload_ms"] = milliseconds(lambda: remote.set_volume(other))
        return figures
    finally:
        engine.stop()


def measure_clicks(remote: RemoteSession, volume: Volume) -> dict[str, float]:
    """Click and undo here and there, in turns, so that whatever else the machine does slows both alike."""
    here = open_session(InstantPromptable(), volume)
    remote.select(spine_labels().by_name("L3"))
    times: dict[str, list[float]] = {"click_here": [], "click": [], "undo_here": [], "undo": []}
    for n, place in enumerate(click_places(40)):
        point = Point(place, positive=n % 2 == 0)
        for name, session in (("_here", here), ("", remote)):
            times[f"click{name}"].append(milliseconds(lambda session=session, point=point: session.add(point)))
        if n % 4 == 3:
            for name, session in (("_here", here), ("", remote)):
                times[f"undo{name}"].append(milliseconds(session.undo))
    if not np.array_equal(here.result, remote.result):
        print("the two sessions differ", file=sys.stderr)
    figures = {f"service_{name}_ms": median(all_times[1:]) for name, all_times in times.items()}
    for name in ("click", "undo"):
        pairs = zip(times[name][1:], times[f"{name}_here"][1:], strict=True)
        figures[f"service_{name}_overhead_ms"] = median(there - here for there, here in pairs)
    return figures


def noise(seed: int) -> Volume:
    """Return a CT's size of voxels that compress about as a CT's do, 1 mm apart, the middle at the origin."""
    matrix = np.eye(4)
    matrix[:3, 3] = [-n / 2 for n in SHAPE[::-1]]
    return Volume.from_array(np.random.default_rng(seed).integers(-100, 100, SHAPE, dtype=np.int16), matrix)


def serve() -> None:
    """Be the other process."""
    networks = Networks(lambda _: InstantPromptable(), lambda _: None)
    address = Address()
    server, listening = build_server(Hosting(networks), address, TOKEN), bound(address)
    end_with_stdin(server.stop)
    print(handshake(listening, address, TOKEN), flush=True)
    server.run(sockets=[listening])


if __name__ == "__main__":
    serve()
