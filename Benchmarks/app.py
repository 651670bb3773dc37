"""How long after a click the mask is seen in a browser, and where the time goes.

python -m Benchmarks app

Runs `samspine app` on a small synthetic spine and clicks in the axial view. Total: from the mouse button's release to
the first frame whose pixel at the click has the segment's colour. Engine: in the engine's thread; node: the answer into
segment and surface; render: one frame of a slice view of that size, drawn and encoded, timed by itself in this process;
the rest is transport, with all that waits for its turn. Added: all but the engine. Needs the extras app and test, and a
Chromium (the figures are left out where there is none).
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Testing" / "app"))

CLICKS = 12
VIEW = (488, 359)
# Watch the frames of the axial view; undo in between makes each click the first one again.
WATCH = """
([x, y]) => {
  const item = document.querySelector("svg[data-view=Red]").closest(".layout-grid-item");
  const canvas = document.createElement("canvas");
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const coloured = (image) => {
    canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
    pen.drawImage(image, 0, 0);
    const [red, green] = pen.getImageData(x * canvas.width, y * canvas.height, 1, 1).data;
    return red - green > 25;
  };
  window.clicked = window.seen = null;
  // The page keeps a drawing to itself: only the window hears of it before.
  window.addEventListener("pointerup", () => { window.clicked = performance.now(); window.seen = null; }, true);
  item.addEventListener("load", (event) => {
    if (event.target.tagName === "IMG" && window.clicked && !window.seen && coloured(event.target)) {
      window.seen = performance.now();
    }
  }, true);
}
"""


def measure() -> dict[str, float]:
    """Return milliseconds: median and 95th percentile of each part."""
    from appdriver import chromium

    path = chromium()
    if path is None:
        return {}
    parts = np.array(_clicks(path))
    render = _render()
    rest = parts[:, 0] - parts[:, 1] - parts[:, 2] - render
    columns = {"total": parts[:, 0], "engine": parts[:, 1], "node": parts[:, 2], "transport": rest}
    columns["added"] = parts[:, 0] - parts[:, 1]
    figures = {"app_render_ms": render}
    for name, values in columns.items():
        figures[f"app_{name}_ms"] = float(np.median(values))
        figures[f"app_{name}_p95_ms"] = float(np.percentile(values, 95))
    return figures


def _clicks(path: str) -> list[tuple[float, float, float]]:
    """Return total, engine and node time (ms) of each click."""
    from appdriver import Case, browsing, screen_on, serve

    from SAMSpineLib.io import write_volume
    from SAMSpineLib.training.synthetic.phantom import make_phantom
    from SAMSpineLib.training.synthetic.settings import PhantomSettings

    phantom = make_phantom(1, PhantomSettings.small())
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "case.nii.gz"
        write_volume(image, phantom.image)
        case = Case(image, phantom.labels.array, phantom.labels.grid)
        with serve(Path(folder), str(image)) as served, browsing(path) as browser:
            screen = screen_on(browser, served)
            place = case.centre("L3")
            screen.show("Red", place)
            screen.choose("positivePoint")
            x, y = screen.pixel("Red", place)
            box = screen.page.locator("svg[data-view=Red]").bounding_box()
            screen.page.evaluate(WATCH, [(x - box["x"]) / box["width"], (y - box["y"]) / box["height"]])
            found = [_one_click(screen, x, y) for _ in range(CLICKS + 1)]
    return found[1:]  # the first one encodes the patch


def _one_click(screen: Any, x: float, y: float) -> tuple[float, float, float]:
    before = screen.state("steps")
    screen.page.mouse.click(x, y)
    screen.page.wait_for_function("window.seen && window.clicked && window.seen > window.clicked", timeout=20000)
    total = screen.page.evaluate("window.seen - window.clicked")
    screen.wait("state('steps') > argument && !state('busy')", before)
    engine, node = screen.state("timing")
    screen.after(lambda: screen.key("Control+z"))
    screen.page.wait_for_timeout(600)
    return total, engine, node


def _render() -> float:
    """Return the milliseconds (median) of one frame of a slice view with a segment: drawn, copied and encoded."""
    from SAMSpineLib.app.graphics import choose_window

    choose_window()
    return asyncio.run(_rendered())


async def _rendered() -> float:
    from trame.app import get_server
    from trame_rca.encoders import RcaImageEncoder
    from trame_slicer.core import SlicerApp
    from trame_slicer.rca_view.rca_view_factory import RcaWindow

    from SAMSpineLib.app.page import initial_state
    from SAMSpineLib.app.stage import Stage
    from SAMSpineLib.app.views import build_views
    from SAMSpineLib.mrml.segments import write_labelmap
    from SAMSpineLib.training.synthetic.phantom import make_phantom
    from SAMSpineLib.training.synthetic.settings import PhantomSettings

    server = get_server("benchmark", client_type="vue3")
    initial_state(server.state)
    stage = Stage(SlicerApp())
    build_views(server, stage.app)
    phantom = make_phantom(1, PhantomSettings.small())
    bench = stage.show(phantom.image, "case")
    labels = np.where(phantom.labels.array == bench.table.by_name("L3").value, phantom.labels.array, 0)
    write_labelmap(bench.node, bench.table, labels, phantom.labels.grid)
    view = stage.app.view_manager.get_view("Red")
    view.update_size(*VIEW)
    window, encoder = RcaWindow(view.render_window(), server.state, "cursor"), RcaImageEncoder.TURBO_JPEG
    times = []
    for _ in range(CLICKS):
        started = time.perf_counter()
        image, columns, rows = window.img_cols_rows
        encoder.encode(image, columns, rows, 50)
        times.append(1000 * (time.perf_counter() - started))
    return float(np.median(times[2:]))
