"""Hundreds of clicks on three volumes: memory stays, no observer is left, and an idle panel uses no processor time."""

from __future__ import annotations

import gc
import os
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

# SAMSPINE_SOAK_CLICKS=1000 for the long run.
CLICKS = int(os.environ.get("SAMSPINE_SOAK_CLICKS", "150"))
ROUNDS = 3


def resident_mib() -> float:
    """Return the memory of this process (MiB); Linux only."""
    status = Path("/proc/self/status")
    if not status.is_file():
        pytest.skip("needs /proc")
    line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def observers(user: Any) -> int:
    """Count who listens to the views' interactors, the slice nodes, the scene and the volumes."""
    views = [user.host.view(name) for name in ("Red", "Yellow", "Green")]
    watched = [one.sliceView().interactor() for one in views] + [one.mrmlSliceNode() for one in views]
    return sum(len(_tags(source)) for source in [*watched, user.host.scene])


def actors(user: Any) -> int:
    """Count what is drawn over the slices."""
    views = [user.host.view(name).sliceView() for name in ("Red", "Yellow", "Green")]
    renderers = [view.renderWindow().GetRenderers().GetFirstRenderer() for view in views]
    return sum(renderer.GetViewProps().GetNumberOfItems() for renderer in renderers)


def _tags(source: Any) -> list[str]:
    """Return one entry for each observer of a VTK object, from what it prints of itself."""
    return [line for line in str(source).splitlines() if line.strip().startswith("Event:")]


def test_many_clicks_on_three_volumes(spine: Any) -> None:
    random = np.random.default_rng(1)
    volumes = [spine.volume, spine.load(spine.image), spine.load(spine.image)]
    memory, listeners = [], []
    for _ in range(ROUNDS):
        for volume in volumes:
            spine.look_at(volume)
            for n in range(CLICKS // (ROUNDS * len(volumes))):
                if n % 8 == 0:
                    spine.choose(("L2", "L3", "L4")[(n // 8) % 3])
                spine.tool("P" if n % 3 else "N")
                inside = np.argwhere(spine.truth == (21, 22, 23)[(n // 8) % 3])
                place = spine.image.grid.to_ras(inside[random.integers(len(inside))][::-1])
                spine.host.click("Red", tuple(place.tolist()))
                if n % 10 == 9:
                    spine.host.key("Ctrl+Z")
            spine.settle(300)
        gc.collect()
        memory.append(resident_mib())
        listeners.append(observers(spine))
    assert listeners[-1] == listeners[0]
    assert memory[-1] - memory[0] < 40, memory
    assert spine.voxels("L3").any()


def test_an_idle_panel_and_its_engine_use_no_processor_time(spine_alone: Any) -> None:
    spine_alone.choose("L3")
    spine_alone.click("L3")
    spine_alone.settle()
    stat = Path(f"/proc/{spine_alone.panel.connection.engine.handshake.pid}/stat")
    if not stat.is_file():
        pytest.skip("needs /proc")

    def used() -> tuple[float, float]:
        ticks = stat.read_text(encoding="utf-8").rpartition(")")[2].split()[11:13]
        return time.process_time(), sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    spine_alone.host.process()
    spine_alone.host.run_for(1)
    before = used()
    spine_alone.host.run_for(3)
    after = used()
    assert after[1] - before[1] <= 0.03
    assert after[0] - before[0] < 0.1


def test_nothing_is_left_when_the_panel_goes(l3: Any) -> None:
    l3.host.leave()
    before, drawn = observers(l3), actors(l3)
    l3.host.open()
    l3.click("L4", key="N")
    l3.settle()
    l3.host.leave()
    assert observers(l3) == before
    assert actors(l3) == drawn


def test_nothing_holds_a_panel_that_was_reloaded(host: Any) -> None:
    panel = weakref.ref(host.widget.panel)
    host.widget.onReload()
    host.process()
    gc.collect()
    assert panel() is None
