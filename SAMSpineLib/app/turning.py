"""Slice views off the axes: three angles for each on the page, about the place of the crosshair."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets import vuetify3 as v3

from SAMSpineLib.app.attributes import plain
from SAMSpineLib.app.stage import SLICES, Stage
from SAMSpineLib.mrml.reformat import turn

# What each angle is about, in the order of `mrml.reformat.turn`.
ANGLES = {"tilt": "About the horizontal line", "swing": "About the vertical line", "spin": "In the plane"}
MOST = 90  # degrees


def angle_keys(view: str) -> list[str]:
    """Return the names of a view's angles (degrees) in the page's state."""
    return [f"{name}_{view}" for name in ANGLES]


class Turning:
    """Lets the slice views follow their angles."""

    def __init__(self, state: Any, stage: Stage) -> None:
        """Begin with every view on its own axes."""
        self._state, self._stage = state, stage
        self.reset()
        for view in SLICES:
            state.change(*angle_keys(view))(lambda view=view, **_: self.follow(view))

    def reset(self, view: str | None = None) -> None:
        """Turn a view, or all of them, back to axial, sagittal or coronal."""
        for one in SLICES if view is None else [view]:
            self._state.update(dict.fromkeys(angle_keys(one), 0))
            self.follow(one)

    def follow(self, view: str) -> None:
        """Show a view's plane at its angles, if that changes anything."""
        degrees = [float(self._state[key] or 0) for key in angle_keys(view)]
        node = self._stage.slice_node(view)
        orientation = self._state[f"orientation_{view}"]
        if any(degrees) or node.GetOrientation() != orientation:
            turn(node, orientation, (degrees[0], degrees[1], degrees[2]), self._stage.crosshair())


def angle_furniture(view: str) -> None:
    """Put the button and the sliders for a view's angles on the page."""
    zero = "; ".join(f"{key} = 0" for key in angle_keys(view))
    turned = " || ".join(angle_keys(view))
    with v3.VMenu(close_on_content_click=False, location="bottom start"):
        with v3.Template(v_slot_activator="{ props }"):
            v3.VBtn(
                icon="mdi-rotate-orbit", v_bind="props", density="compact", size="small", theme="dark",
                variant=(f"{turned} ? 'flat' : 'text'",), color=(f"{turned} ? 'primary' : undefined",),
                id=f"turn-{view}",
                **plain(aria_label=f"Turn the {view} view", title="Turn off the axes, about the crosshair"),
            )  # fmt: skip
        with v3.VCard(classes="pa-3", min_width=300, id=f"turn-{view}-card"):
            for key, title in zip(angle_keys(view), ANGLES.values(), strict=True):
                html.Div(f"{title}: {{{{ {key} }}}}°", classes="text-caption")
                v3.VSlider(
                    v_model=(key,), min=-MOST, max=MOST, step=1, density="compact", hide_details=True,
                    id=f"slider-{key}", **plain(aria_label=f"{title}, {view} view, degrees"),
                )  # fmt: skip
            # The menu would take Enter for Tab.
            v3.VBtn("Back to the axes", click=zero, size="small", variant="tonal", id=f"unturn-{view}",
                    disabled=(f"!({turned})",),
                    raw_attrs=["@keydown.enter.stop"])  # fmt: skip
