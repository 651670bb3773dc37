"""The page itself: bar, drawer, views, status. Labels and buttons only; what they do is the application's."""

from __future__ import annotations

from functools import partial
from typing import Any

from trame.ui.vuetify3 import VAppLayout
from trame.widgets import html
from trame.widgets import vuetify3 as v3

from SAMSpineLib.app.application import Application
from SAMSpineLib.app.attributes import plain
from SAMSpineLib.app.keys import KEYS, key_of
from SAMSpineLib.app.saving import described
from SAMSpineLib.app.stage import SLICES, WINDOWS
from SAMSpineLib.app.views import ORIENTATIONS, layouts
from SAMSpineLib.labels import spine_labels

TOOL_BUTTONS = (
    ("positivePoint", "mdi-plus-circle-outline", "Point inside"),
    ("negativePoint", "mdi-minus-circle-outline", "Point outside"),
    ("box", "mdi-vector-square", "Box"),
    ("scribble", "mdi-draw", "Scribble"),
    ("lasso", "mdi-lasso", "Lasso"),
)
SMALL: dict[str, Any] = {"density": "compact", "hide_details": True, "variant": "outlined"}


def initial_state(state: Any) -> None:
    """Set everything that the page shows before anything is open."""
    state.update(
        {
            "trame__title": "SAMSpine", "trame__favicon": None, "theme": "dark", "message": "", "busy": "",
            "loading": "", "is_uploading": False, "volume_name": "", "tool": "", "selected": "", "segments": [],
            "running": False, "progress": 0.0, "stage": "", "method": "centres", "choices": [], "timing": [0.0, 0.0],
            "choice_title": "", "can_follow": False, "teach_name": "", "teach_all": False, "teach_complete": False,
            "steps": 0, "window": "Bone", "opacity": 0.5, "outline": False, "surfaces": True, "crosshair": True,
            "layout": "Four-Up", "orientations": list(ORIENTATIONS),
            "keys": {key.sequence: key.action for key in KEYS}, "new_name": None, "new_number": None,
            "names": [label.name for label in spine_labels()],
        }
    )  # fmt: skip
    state.update({f"markers_{view}": [] for view in SLICES})
    state.update({f"frame_{view}": None for view in SLICES})


def build_page(app: Application) -> None:
    """Lay the page out."""
    with VAppLayout(app.server) as layout:
        layout.root.theme = ("theme",)
        with v3.VAppBar(density="compact", elevation=1):
            _bar(app)
        with v3.VNavigationDrawer(width=300, permanent=True):
            _drawer(app)
        with v3.VMain(style="height: 100vh"), html.Div(style="height: 100%; display: flex"):
            app.layouts.initialize_layout_grid(layout)
        with v3.VFooter(app=True, height=30, classes="py-0"):
            _status()
        _choice_dialog(app)


def _bar(app: Application) -> None:
    v3.VAppBarTitle("SAMSpine {{ volume_name ? '- ' + volume_name : '' }}", style="flex: 0 1 auto; min-width: 9em")
    _menu("Open", "mdi-folder-open-outline", "open-menu", [
        ("Image, scene or zip ...", "choose volume"),
        ("Folder of DICOM files ...", "folder volume"),
        ("Segmentation to go on with ...", "choose segmentation"),
        ("Synthetic spine", "phantom"),
    ])  # fmt: skip
    saving = [(one["title"], f"save {one['key']}") for one in described()]
    _menu("Save", "mdi-content-save-outline", "save-menu", saving)
    v3.VDivider(vertical=True, classes="mx-2")
    _button(app, "undo", "mdi-undo", "Undo")
    _button(app, "redo", "mdi-redo", "Redo")
    v3.VDivider(vertical=True, classes="mx-2")
    v3.VBtn("Segment the spine", v_if=("!running",), id="act-run", click=(app.act, "['run']"), variant="tonal",
            disabled=("!volume_name",), prepend_icon="mdi-auto-fix", size="small")  # fmt: skip
    with html.Div(v_if=("running",), classes="d-flex align-center", style="min-width: 22em"):
        v3.VProgressLinear(
            model_value=("progress",), height=16, color="primary", rounded=True, **plain(aria_label="Progress")
        )
        html.Span("{{ stage }}", id="stage", classes="mx-2 text-caption", style="white-space: nowrap")
        v3.VBtn("Cancel", id="act-cancel", click=(app.act, "['cancel']"), size="small", variant="tonal")
    v3.VSelect(v_model=("method",), items=("methods", METHODS), v_if=("!running",), id="method",
               style="max-width: 11em", classes="mx-2", **plain(aria_label="Method"), **SMALL)  # fmt: skip
    v3.VSpacer()
    v3.VSelect(v_model=("layout",), items=("layouts", list(layouts())), id="layout", style="max-width: 12em",
               **plain(aria_label="Layout"), **SMALL)  # fmt: skip
    v3.VBtn(icon="mdi-theme-light-dark", click="theme = theme === 'dark' ? 'light' : 'dark'", id="theme",
            density="compact", classes="mx-2", **plain(aria_label="Dark or light", title="Dark or light"))  # fmt: skip


METHODS = [
    {"title": "by network", "value": "centres"},
    {"title": "by atlases too", "value": "atlas"},
    {"title": "by MA-SAM", "value": "ma-sam"},
    {"title": "by MaskSAM", "value": "masksam"},
    {"title": "as taught", "value": "sam2rad"},
]


def _menu(title: str, icon: str, name: str, entries: list[tuple[str, str]]) -> None:
    """Add a menu of titles and what the page's script does for each."""
    with v3.VMenu():
        with v3.Template(v_slot_activator="{ props }"):
            v3.VBtn(title, v_bind="props", prepend_icon=icon, id=name, size="small", variant="text")
        with v3.VList(density="compact", id=f"{name}-list"):
            for text, click in entries:
                v3.VListItem(title=text, **plain(data_samspine=click))


def _button(app: Application, action: str, icon: str, title: str, **more: Any) -> None:
    text = f"{title} ({key_of(action)})"
    v3.VBtn(icon=icon, click=(app.act, f"['{action}']"), density="comfortable", size="small", variant="text",
            id=f"act-{action}", **plain(title=text, aria_label=text), **more)  # fmt: skip


def _drawer(app: Application) -> None:
    with html.Div(classes="pa-2 d-flex", style="gap: 4px"):
        for tool, icon, title in TOOL_BUTTONS:
            text = f"{title} ({key_of(tool)})"
            v3.VBtn(icon=icon, click=(app.act, f"['{tool}']"), density="comfortable", rounded="lg",
                    id=f"tool-{tool}", **plain(title=text, aria_label=text, aria_pressed=(f"tool === '{tool}'",)),
                    variant=(f"tool === '{tool}' ? 'flat' : 'text'",),
                    color=(f"tool === '{tool}' ? 'primary' : undefined",))  # fmt: skip
    with html.Div(classes="px-2 d-flex align-center", style="gap: 4px"):
        _button(app, "previousVertebra", "mdi-arrow-up", "Previous vertebra")
        _button(app, "nextVertebra", "mdi-arrow-down", "Next vertebra")
        _button(app, "clearPrompts", "mdi-eraser", "Clear")
        v3.VAutocomplete(v_model=("new_name",), items=("names",), label="Add", id="add-name", **SMALL)
    with html.Div(classes="px-2 pt-2"):
        v3.VAutocomplete(v_model=("new_number",), items=("names",), label="Rename, chain follows", id="renumber",
                         disabled=("!selected",), **SMALL)  # fmt: skip
    with html.Div(classes="px-2 pt-2 d-flex align-center", style="gap: 4px"):
        _button(app, "otherMask", "mdi-layers-triple-outline", "Other mask", disabled=("!can_follow || running",))
        _button(app, "follow", "mdi-arrow-expand-vertical", "Follow along the slices",
                disabled=("!can_follow || running",))  # fmt: skip
        v3.VSpacer()
        _teach(app)
    v3.VDivider(classes="my-2")
    _segments(app)
    v3.VDivider(classes="my-2")
    _look()


def _teach(app: Application) -> None:
    """Add a button that opens what there is to say before the selected segment is taught."""
    with v3.VMenu(close_on_content_click=False):
        with v3.Template(v_slot_activator="{ props }"):
            v3.VBtn("Teach ...", v_bind="props", id="teach-menu", size="small", variant="tonal",
                    disabled=("!selected",), prepend_icon="mdi-school-outline")  # fmt: skip
        with v3.VCard(classes="pa-3", width=300):
            html.Div("The slices in which the selected segment has voxels teach a SAM what it is; three are the least.",
                     classes="text-caption mb-2")  # fmt: skip
            v3.VTextField(v_model=("teach_name",), label="Name of the model", id="teach-name", **SMALL)
            v3.VCheckbox(v_model=("teach_all",), label="All segments together", id="teach-all",
                         density="compact", hide_details=True)  # fmt: skip
            v3.VCheckbox(v_model=("teach_complete",), label="All of it is labelled", id="teach-complete",
                         density="compact", hide_details=True)  # fmt: skip
            v3.VBtn("Teach", click=(app.act, "['teach']"), id="act-teach", size="small", variant="tonal",
                    disabled=("running",))  # fmt: skip


def _segments(app: Application) -> None:
    table = html.Div(id="segments", classes="samspine-segments", **plain(role="listbox", aria_label="Segments"))
    row = partial(
        html.Div, v_for="one in segments", key=("one.id",), classes="samspine-row", click=(app.pick, "[one.id]"),
        raw_attrs=[
            *plain(role="option", tabindex="0")["raw_attrs"], "@keydown.enter=\"trigger('pick', [one.id])\"",
            *plain(aria_selected=("one.id === selected",), data_segment=("one.id",))["raw_attrs"],
        ],
    )  # fmt: skip
    with table, row():
        html.Span(classes="samspine-chip", style=("'background:' + one.colour",))
        html.Span("{{ one.name }}", style="flex: 1")
        v3.VIcon("mdi-alert-outline", size="small", color="warning", v_if=("one.flags",), **plain(title=("one.flags",)))
        v3.VIcon("mdi-check", size="small", v_if=("one.done",))
        html.Span("{{ one.ml ? one.ml + ' cm³' : '' }}", classes="text-caption")
        v3.VBtn(icon=("one.visible ? 'mdi-eye' : 'mdi-eye-off'",), density="compact", size="small", variant="text",
                raw_attrs=[
                    "@click.stop=\"trigger('visible', [one.id])\"", "@keydown.enter.stop",
                    *plain(aria_label=("(one.visible ? 'Hide ' : 'Show ') + one.name",))["raw_attrs"],
                ])  # fmt: skip


def _look() -> None:
    with html.Div(classes="px-2 d-flex flex-column", style="gap: 6px"):
        v3.VSelect(v_model=("window",), items=("windows", list(WINDOWS)), label="Window", id="window", **SMALL)
        v3.VSlider(v_model=("opacity",), min=0, max=1, step=0.05, label="Opacity", id="opacity", density="compact",
                   hide_details=True, **plain(aria_label="Opacity"))  # fmt: skip
        for name, title in (("outline", "Outlines only"), ("surfaces", "Show 3D"), ("crosshair", "Crosshair")):
            v3.VCheckbox(v_model=(name,), label=title, id=name, density="compact", hide_details=True)


def _status() -> None:
    v3.VProgressCircular(indeterminate=True, v_if=("busy || loading || is_uploading",), size=16, width=2, id="busy")
    html.Span("{{ busy || (loading ? 'Opening ' + loading : '') }}", classes="text-caption mx-2", id="doing")
    html.Span("{{ message }}", classes="text-body-2", id="message", **plain(role="status", aria_live="polite"))
    v3.VSpacer()
    html.Span(id="place", classes="text-caption", **plain(aria_hidden="true"))


def _choice_dialog(app: Application) -> None:
    """Ask which of several things a file is."""
    dialog = v3.VDialog(
        model_value=("choices.length > 0",), update_modelValue="$event || trigger('choose', [''])", max_width=640,
        raw_attrs=[':aria-label="choice_title"'],
    )  # fmt: skip
    with dialog, v3.VCard(title=("choice_title",)):
        with v3.VList(id="choices"):
            v3.VListItem(v_for="one in choices", key=("one.value",), title=("one.title",),
                         click=(app.opening.choose, "[one.value]"))  # fmt: skip
        v3.VBtn("None of them", click=(app.opening.choose, "['']"))
