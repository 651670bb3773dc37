"""Opening: from files or a browser to what is on show, with a question where there is a choice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SAMSpineLib.app.bundle import Bundle, read_bundle
from SAMSpineLib.app.loading import Choice, Found, found_in, numberings_of, read_image, read_labels_on
from SAMSpineLib.app.uploads import without_folder
from SAMSpineLib.errors import PromptError, SAMSpineError
from SAMSpineLib.io.dicom_seg import DicomSource, read_dicom_source
from SAMSpineLib.mrml.prompt_log import prompts_in, with_prompts
from SAMSpineLib.mrml.segments import write_labelmap
from SAMSpineLib.mrml.workbench import Workbench

if TYPE_CHECKING:
    from SAMSpineLib.app.application import Application

NOT_DICOM = (
    "A DICOM SEG belongs to a DICOM series, and this volume is none: open the DICOM files, or save another format"
)


class Opening:
    """What the page can open. Reading is done beside the page, the scene is changed in its own thread."""

    def __init__(self, app: Application) -> None:
        """Open things for an application."""
        self._app, self._state = app, app.state
        self._asked: Callable[[str], Awaitable[None]] | None = None
        # The images that the open volume was read from, or why no DICOM SEG can refer to them.
        self.source: DicomSource | str = NOT_DICOM

    async def open_path(self, path: Path, *, kind: str = "any", series: str | None = None) -> None:
        """Open a file or folder: an image, a scene, or a segmentation to go on with."""
        await self._loading(path.name, self._found(path, kind, series))

    async def open_uploaded(self, name: str, kind: str) -> None:
        """Open what the browser has sent."""
        uploads = self._app.uploads
        try:
            folder = uploads.place(name)
            await asyncio.to_thread(uploads.unfold, name)
        except SAMSpineError as error:
            self._app.tell(str(error))
            return
        await self.open_path(folder, kind=kind)

    async def open_phantom(self) -> None:
        """Open a small synthetic spine."""
        await self._loading("a synthetic spine", self._phantom())

    async def choose(self, value: str) -> None:
        """Go on with one of the choices that were offered; an empty one is none of them."""
        asked, self._asked = self._asked, None
        self._state.choices = []
        if asked is not None and value:
            await asked(value)
        elif asked is not None:
            self._app.tell("Nothing was opened")

    def _ask(self, title: str, choices: Sequence[Choice], then: Callable[[str], Awaitable[None]]) -> None:
        self._asked = then
        self._state.choice_title = title
        self._state.choices = [{"title": one.text, "value": one.value} for one in choices]
        self._app.tell(title)

    async def _loading(self, name: str, work: Awaitable[None]) -> None:
        """Do something with the page's word on it; what the user can mend becomes a line of the page."""
        self._state.loading = name
        self._state.flush()
        try:
            await work
        except SAMSpineError as error:
            self._app.tell(without_folder(str(error), self._app.uploads.folder))
        finally:
            self._state.loading = ""
            self._app.refresh()

    async def _found(self, path: Path, kind: str, series: str | None) -> None:
        if path.suffix.lower() == ".mrb" and path.is_file():
            path = await asyncio.to_thread(self._app.uploads.unpacked, path)
        found = await asyncio.to_thread(found_in, path, kind=kind)
        if found.is_scene:
            self._show_bundle(await asyncio.to_thread(read_bundle, found.path))
        elif found.is_segmentation:
            await self._numbered(found.path)
        elif found.series and series is None:
            self._ask(
                "There are several series: which one?",
                found.series,
                lambda uid: self._loading(path.name, self._image(found, uid)),
            )
        else:
            await self._image(found, series)

    async def _image(self, found: Found, series: str | None) -> None:
        volume, name, notices = await asyncio.to_thread(read_image, found, series=series)
        self.source = NOT_DICOM
        self._app.show(volume, name)
        self._app.tell("; ".join((f"{name} is open: choose a tool and click on a vertebra", *notices)))
        if found.is_dicom:
            node = self._app.stage.volume_node
            source = await asyncio.to_thread(_source_of, found.path, series)
            if node is self._app.stage.volume_node:
                self.source = source

    async def _phantom(self) -> None:
        from SAMSpineLib.training.synthetic.phantom import make_phantom
        from SAMSpineLib.training.synthetic.settings import PhantomSettings

        phantom = await asyncio.to_thread(make_phantom, 1, PhantomSettings.small())
        self.source = NOT_DICOM
        self._app.show(phantom.image, "Synthetic spine")
        self._app.tell("A synthetic spine to try with: choose a tool and click on a vertebra, or open your own image")

    # To go on with.

    async def _numbered(self, path: Path) -> None:
        table = self._app.bench.table
        choices = await asyncio.to_thread(numberings_of, path, table)
        if len(choices) > 1:
            self._ask(
                f"Which numbering is {path.name} in?",
                choices,
                lambda ids: self._loading(path.name, self._labels(path, ids)),
            )
        else:
            await self._labels(path, choices[0].value if choices else None)

    async def _labels(self, path: Path, ids: str | None) -> None:
        app, bench = self._app, self._app.bench
        labels = await asyncio.to_thread(read_labels_on, path, bench.table, bench.volume.grid, ids=ids)
        if bench is not app.desk.bench:
            return
        written = write_labelmap(bench.node, bench.table, labels, bench.grid)
        app.tell(f"Segments to go on with: {len(written)}")
        app.go_on(Workbench(bench.volume_node, bench.node), selected=written[0])

    def _show_bundle(self, bundle: Bundle) -> None:
        app = self._app
        self.source = NOT_DICOM
        app.show(bundle.volume, bundle.name)
        if bundle.segments is None:
            app.tell("; ".join((f"{bundle.name} is open, without segments", *bundle.notices)))
            return
        bench = app.stage.read_segments(bundle.segments)
        app.tell("; ".join((f"{bundle.name} is open; segments to go on with: {len(bench.labels)}", *bundle.notices)))
        app.go_on(bench, _prompts_for(bench.node, bundle), bundle.selected)


def _prompts_for(node: Any, bundle: Bundle) -> str:
    """Return the prompts of a bundle as those of the node that its segments are in now; unreadable ones stay so."""
    try:
        return with_prompts("", node.GetID(), prompts_in(bundle.prompts, bundle.segmentation_id))
    except PromptError:
        return bundle.prompts


def _source_of(path: Path, series: str | None) -> DicomSource | str:
    try:
        return read_dicom_source(path, series=series)
    except SAMSpineError as error:
        return str(error)
