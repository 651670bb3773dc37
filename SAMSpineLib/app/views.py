"""Slicer's slice and 3D views on the page: layouts, and what is drawn over a slice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from trame.widgets import html
from trame.widgets import vuetify3 as v3
from trame_slicer.app.logic.slice_view_logic import connect_slice_view_slider_to_state
from trame_slicer.app.ui.slider import Slider
from trame_slicer.core import LayoutManager, SlicerApp
from trame_slicer.rca_view import register_rca_factories
from trame_slicer.views import Layout, LayoutDirection, ScheduledRenderStrategy, ViewLayoutDefinition
from vtkmodules.vtkCommonCore import vtkObject

from SAMSpineLib.app.attributes import plain
from SAMSpineLib.app.stage import SLICES
from SAMSpineLib.app.turning import angle_furniture
from SAMSpineLib.mrml.marker import Marker
from SAMSpineLib.mrml.slice_plane import SlicePlane

ORIENTATIONS = ("Axial", "Coronal", "Sagittal")
POINT_PIXELS = 5.0
SLICE_DELAY, THREED_DELAY = 0.05, 0.1  # seconds
BLURRED_FPS = 10.0
GREEN, RED = "#33dd55", "#ff4444"
# Vue makes the lines; the draft of what is being drawn is the script's alone.
OVERLAY = """
<svg class="samspine-overlay" data-view="{view}" viewBox="0 0 1 1" preserveAspectRatio="none" aria-hidden="true">
  <polyline v-for="(one, index) in markers_{view}" :key="index" :points="one.points" :stroke="one.colour"
            :stroke-dasharray="one.pending ? '4 4' : 'none'" class="samspine-marker" />
</svg>
<svg class="samspine-draft" data-draft="{view}" viewBox="0 0 1 1" preserveAspectRatio="none" aria-hidden="true">
  <polyline />
</svg>
"""


class _InTurn(ScheduledRenderStrategy):  # type: ignore[misc]
    """Draws the view under the mouse at once, and others a moment later.

    Drawing holds up everything else, without a GPU for long: what somebody looks at should be on its way before.
    """

    def __init__(self, inner: Any, delay: float) -> None:
        super().__init__()
        self._inner, self._delay, self._waits = inner, delay, False

    def schedule_render(self) -> None:
        has_mouse = self._inner._scheduler.target_fps > BLURRED_FPS  # noqa: SLF001 - trame-slicer says it nowhere else
        if has_mouse:
            self._inner.schedule_render()
        elif not self._waits:
            self._waits = True
            asyncio.get_running_loop().call_later(self._delay, self._draw)

    def did_render(self) -> None:
        self._inner.did_render()

    def _draw(self) -> None:
        self._waits = False
        self._inner.schedule_render()


def layouts() -> dict[str, Layout]:
    """Return the layouts to choose from, named as in Slicer."""
    red, green = ViewLayoutDefinition.axial_view(), ViewLayoutDefinition.coronal_view()
    yellow, threed = ViewLayoutDefinition.sagittal_view(), ViewLayoutDefinition.threed_view()
    across, down = LayoutDirection.Horizontal, LayoutDirection.Vertical
    return {
        "Four-Up": Layout(down, [Layout(across, [red, threed]), Layout(across, [green, yellow])]),
        "Conventional": Layout(down, [threed, Layout(across, [red, yellow, green])]),
        "Sagittal and axial": Layout(across, [yellow, red]),
        "Red slice only": Layout(down, [red]),
        "Yellow slice only": Layout(down, [yellow]),
        "Green slice only": Layout(down, [green]),
        "3D only": Layout(down, [threed]),
    }


def build_views(server: Any, slicer_app: SlicerApp) -> LayoutManager:
    """Make the views and return who lays them out."""
    register_rca_factories(
        slicer_app.view_manager,
        server,
        slice_view_ui_f=_slice_furniture,
        three_d_view_ui_f=_threed_furniture,
        blur_fps=BLURRED_FPS,
    )
    manager = LayoutManager(slicer_app.scene, slicer_app.view_manager, server)
    # Each slice view observes an event that its interactor no longer sends, and trame-slicer sends it itself.
    vtkObject.GlobalWarningDisplayOff()
    try:
        manager.register_layout_dict(layouts())
    finally:
        vtkObject.GlobalWarningDisplayOn()
    threed = slicer_app.view_manager.get_threed_views()
    for view in slicer_app.view_manager.get_views():
        delay = THREED_DELAY if view in threed else SLICE_DELAY
        view.set_scheduled_render(_InTurn(view._scheduled_render, delay))  # noqa: SLF001 - there is no other way to it
    manager.set_layout("Four-Up")
    return manager


def _slice_furniture(server: Any, view_id: str, view: Any) -> None:
    """Put the drawing surface, the choice of orientation and the slider over a slice view."""
    with html.Div(classes="samspine-surface") as surface:
        surface.add_child(OVERLAY.format(view=view_id))
    with html.Div(classes="samspine-corner"):
        v3.VSelect(
            v_model=(f"orientation_{view_id}", view.get_orientation()),
            items=("orientations", list(ORIENTATIONS)),
            density="compact", variant="plain", hide_details=True, theme="dark",
            id=f"orientation-{view_id}", **plain(aria_label=f"Orientation of the {view_id} view"),
        )  # fmt: skip
        angle_furniture(view_id)
    with html.Div(classes="samspine-slider"):
        Slider(
            typed_state=connect_slice_view_slider_to_state(server, view),
            theme="dark", density="compact", id=f"slice-{view_id}", **plain(aria_label=f"Slice of the {view_id} view"),
        )  # fmt: skip


def _threed_furniture(_server: Any, view_id: str, view: Any) -> None:
    """Put a button over the 3D view that shows everything again."""
    with html.Div(classes="samspine-corner"):
        v3.VBtn(
            icon="mdi-fit-to-page-outline", variant="text", density="compact", theme="dark",
            click=view.reset_view, id=f"fit-{view_id}", **plain(aria_label=f"Show everything in the {view_id} view"),
        )  # fmt: skip


def observe_slices(slicer_app: SlicerApp, moved: Callable[[str], None]) -> None:
    """Call `moved` with the name of a slice view whenever it shows another slice, or the same one elsewhere."""
    for name in SLICES:
        view = slicer_app.view_manager.get_view(name)
        if view is not None:
            view.get_view_node().AddObserver("ModifiedEvent", lambda *_, name=name: moved(name))


def drawn_lines(slice_node: Any, markers: Sequence[Marker]) -> list[dict[str, Any]]:
    """Return the prompts that lie in a slice as polylines in shares (0..1) of the view, y downwards."""
    plane, (width, height) = SlicePlane(slice_node), slice_node.GetDimensions()[:2]
    lines = []
    for marker in markers:
        if plane.shows(marker):
            pixels = plane.outline(marker, POINT_PIXELS)
            closed = [*pixels, pixels[0]] if marker.kind == "point" else pixels
            shares = ((x / max(width, 1), 1 - y / max(height, 1)) for x, y in closed)
            lines.append(
                {
                    "points": " ".join(f"{x:.4f},{y:.4f}" for x, y in shares),
                    "colour": GREEN if marker.positive else RED,
                    "pending": marker.pending,
                }
            )
    return lines


def frame_of(slice_node: Any) -> dict[str, list[float]]:
    """Return where (RAS mm) a slice view's upper left corner is, and how far its upper and left edge reach."""
    plane, (width, height) = SlicePlane(slice_node), slice_node.GetDimensions()[:2]
    origin, right, below = (np.array(plane.to_ras(x, y)) for x, y in ((0, height), (width, height), (0, 0)))
    edges = {"origin": origin, "across": right - origin, "down": below - origin}
    return {name: edge.round(4).tolist() for name, edge in edges.items()}


def pixels_of(slice_node: Any, shares: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Return pixels of a slice view, y upwards, of shares (0..1) of it, y downwards."""
    width, height = slice_node.GetDimensions()[:2]
    return [(x * width, (1 - y) * height) for x, y in shares]
