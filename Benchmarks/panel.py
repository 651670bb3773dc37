"""What a click costs the panel: how long Slicer's main thread is held up, and how much later than in one process it is.

python -m Benchmarks panel

Runs the real panel on the test host (offscreen) with an engine in a child process; needs PySide6 and slicer-core.
The main thread is "held" from one turn of the event loop to the next: wall time, and time on the processor, which other
programs of a busy machine do not lengthen.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from SAMSpineLib.engine.session import Session
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.build import build_promptable
from SAMSpineLib.prompts import Point
from SAMSpineLib.resampling import sample
from SAMSpineLib.training.synthetic.phantom import make_phantom
from SAMSpineLib.training.synthetic.settings import PhantomSettings
from SAMSpineLib.volume import Grid, Volume, slices_of

HOST = Path(__file__).resolve().parents[1] / "Testing" / "host"
LEVELS = ("L3", "L2", "L4")
TURN_MS = 2
SIZE, SPACING, CLICKS = (512, 512, 300), (0.75, 0.75, 1.0), 12


class Ticker:
    """Notes, at every turn of the event loop, how long the one before took (ms)."""

    def __init__(self, qt: Any) -> None:
        """Begin at once."""
        self.wall: list[float] = []
        self.cpu: list[float] = []
        self._last = (time.perf_counter(), time.thread_time())
        self._timer = qt.QTimer()
        self._timer.connect("timeout()", self._tick)
        self._timer.start(TURN_MS)  # rarely enough to leave the processor to the engine

    def _tick(self) -> None:
        now = (time.perf_counter(), time.thread_time())
        self.wall.append(1000 * (now[0] - self._last[0]))
        self.cpu.append(1000 * (now[1] - self._last[1]))
        self._last = now

    def stop(self) -> tuple[float, float]:
        """Return the longest turn (ms): wall time, and time on the processor."""
        self._tick()
        self._timer.stop()
        return max(self.wall), max(self.cpu)


def spine_of() -> tuple[Volume, np.ndarray]:
    """Return a synthetic spine in the middle of a CT of usual size (512 x 512 x 300), and its labels."""
    phantom = make_phantom(1, PhantomSettings.small())
    old, matrix = phantom.image.grid, np.diag([*SPACING, 1.0])
    middle = old.to_ras((np.array(old.shape[::-1]) - 1) / 2)
    matrix[:3, 3] = middle - np.array(SPACING) * (np.array(SIZE) - 1) / 2
    grid = Grid((SIZE[2], SIZE[1], SIZE[0]), matrix)
    array, labels = np.full(grid.shape, -1000, np.int16), np.zeros(grid.shape, np.uint16)
    extent = grid.extent_of(old)
    if extent is not None:
        crop = grid.crop(extent)
        array[slices_of(extent)] = sample(phantom.image.array, old, crop, fill=-1000.0).astype(np.int16)
        for name in LEVELS:
            value = spine_labels().by_name(name).value
            inside = sample((phantom.labels.array == value).astype(np.float32), old, crop, fill=0.0) > 0.5
            labels[slices_of(extent)][inside] = value
    return Volume(array, grid, "ct"), labels


def in_one_process(volume: Volume, places: list[tuple[str, Any]]) -> list[float]:
    """Return the seconds of each click in a session of this process."""
    session, seconds = Session(build_promptable()), []
    session.set_volume(volume)
    for name, place in places:
        session.select(spine_labels().by_name(name))
        started = time.perf_counter()
        session.add(Point(place))
        seconds.append(time.perf_counter() - started)
    return seconds


def on_the_panel(
    volume: Volume, truth: np.ndarray, places: list[tuple[str, Any]]
) -> tuple[dict[str, float], list[float]]:
    """Return what opening and clicks cost on the test host, and the seconds of each click."""
    sys.path.insert(0, str(HOST))
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from slicerhost.driver import Driver
    from slicerhost.host import Host, qt

    host = Host(HOST.parents[1] / "SAMSpine" / "SAMSpine.py")
    host.open()
    user = Driver(host, volume, truth)
    user.choose(places[0][0])
    ticker, started = Ticker(qt), time.perf_counter()
    user.tool("P")
    user.settle()
    opening, opened = time.perf_counter() - started, ticker.stop()
    clicks, seconds, held = [], [], []
    for name, place in places:
        user.choose(name)
        user.settle()
        user.host._at("Red", place)  # scrolls there: what a user has done before he clicks
        user.host.process()
        ticker, started = Ticker(qt), time.perf_counter()
        host.click("Red", place)
        clicks.append(1000 * (time.perf_counter() - started))
        user.settle()
        seconds.append(time.perf_counter() - started)
        held.append(ticker.stop())
    host.close()
    walls, cpus = zip(*held, strict=True)
    return {
        "panel_opening_seconds": opening,
        "panel_opening_held": opened[0],
        "panel_opening_held_cpu": opened[1],
        "panel_press": median(clicks),
        "panel_held_longest": max(walls),
        "panel_held_median": median(walls),
        "panel_held_longest_cpu": max(cpus),
        "panel_held_median_cpu": median(cpus),
    }, seconds


def places_of(volume: Volume, truth: np.ndarray, count: int) -> list[tuple[str, Any]]:
    """Return places inside vertebrae, one after the other in each, the same in every run."""
    random, found = np.random.default_rng(3), []
    for n in range(count):
        name = LEVELS[n % len(LEVELS)]
        inside = np.argwhere(truth == spine_labels().by_name(name).value)
        r, a, s = volume.grid.to_ras(inside[random.integers(len(inside))][::-1]).tolist()
        found.append((name, (r, a, s)))
    return found


def measure() -> dict[str, float]:
    """Return the figures, in milliseconds but for those that say seconds."""
    volume, truth = spine_of()
    places = places_of(volume, truth, CLICKS)
    alone = in_one_process(volume, places)
    panel, seconds = on_the_panel(volume, truth, places)
    overhead = [1000 * (there - here) for there, here in zip(seconds, alone, strict=True)]
    return {
        "panel_click_in_one_process": 1000 * median(alone),
        "panel_click": 1000 * median(seconds),
        "panel_click_overhead": median(overhead),
        **panel,
    }
