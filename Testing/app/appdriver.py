"""The app as a person uses it: started as a process, driven by mouse and keys in a real browser.

For the tests, the picture and the benchmark; needs playwright and a Chromium.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60.0


def chromium() -> str | None:
    """Return the path of the system's browser, None if there is none; CHROMIUM names another."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@dataclass
class Case:
    """An image with its truth: `labels` (K, J, I) in the table's values on the image's own grid."""

    path: Path
    labels: Any
    grid: Any

    def centre(self, name: str) -> np.ndarray:
        """Return a place (RAS mm) well inside a vertebra's body."""
        from scipy import ndimage

        from SAMSpineLib.labels import spine_labels

        inside = self.labels == spine_labels().by_name(name).value
        depth = ndimage.distance_transform_edt(inside, sampling=self.grid.spacing[::-1])
        return self.grid.to_ras(np.array(np.unravel_index(depth.argmax(), depth.shape))[::-1])

    def mask(self, name: str) -> np.ndarray:
        from SAMSpineLib.labels import spine_labels

        return self.labels == spine_labels().by_name(name).value


@dataclass
class Served:
    """A running app."""

    url: str
    process: subprocess.Popen[str]
    log: Path

    @property
    def complaints(self) -> list[str]:
        """Lines of the log that speak of something wrong."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [line for line in lines if re.search(r"error|traceback|exception|warn", line, re.IGNORECASE)]


@contextmanager
def serve(folder: Path, *arguments: str) -> Iterator[Served]:
    """Run `samspine app` until the tests are done with it."""
    log = folder / "server.log"
    command = [sys.executable, "-m", "SAMSpineLib", "app", "--no-browser", *arguments]
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT)
    try:
        line = process.stdout.readline() if process.stdout is not None else ""
        found = re.search(r"http://\S+", line)
        assert found, log.read_text(encoding="utf-8")
        yield Served(found.group(), process, log)
    finally:
        process.terminate()
        process.wait(timeout=SECONDS)


@contextmanager
def browsing(path: str) -> Iterator[Any]:
    """Run a browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@dataclass
class Screen:
    """A page of the app, with the words of a person who uses it."""

    page: Any
    served: Served
    wrong: list[str] = field(default_factory=list)
    heard: int = 0

    def take_wrong(self) -> list[str]:
        """Return what went wrong on the page and in the server since this was asked last."""
        said = self.served.complaints
        found, self.heard = [*self.wrong, *said[self.heard :]], len(said)
        self.wrong.clear()
        return found

    def state(self, name: str) -> Any:
        return self.page.evaluate("name => window.trame.state.get(name)", name)

    def wait(self, condition: str, argument: Any = None, *, seconds: float = SECONDS) -> None:
        """Wait until a condition on `state`, a function from names to values, holds."""
        script = f"argument => {{ const state = name => window.trame?.state?.get(name); return {condition}; }}"
        self.page.wait_for_function(script, arg=argument, timeout=1000 * seconds, polling=50)

    def wait_idle(self) -> None:
        self.wait("state('volume_name') && !state('busy') && !state('loading') && !state('running')")
        self.page.wait_for_function("window.samspine")  # after a reload the page's own script comes last

    def forgive(self, text: str) -> None:
        """Take the browser's own word on a refusal, which has to be there, out of what went wrong."""
        assert any(text in one for one in self.wrong)
        self.wrong[:] = [one for one in self.wrong if text not in one]

    def key(self, key: str) -> None:
        self.page.keyboard.press(key)

    def choose(self, tool: str) -> None:
        """Take a tool, if it is not in hand."""
        if self.state("tool") != tool:
            self.page.click(f"#tool-{tool}")
            self.wait("state('tool') === argument", tool)

    def segment(self, name: str) -> dict[str, Any]:
        return next((one for one in self.state("segments") if one["name"] == name), {})

    def frame(self, view: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        frame = self.state(f"frame_{view}")
        return tuple(np.array(frame[name]) for name in ("origin", "across", "down"))

    def pixel(self, view: str, ras: np.ndarray) -> tuple[float, float]:
        """Return where on the page a place (RAS mm) is, seen along the view's normal."""
        origin, across, down = self.frame(view)
        x, y = np.linalg.lstsq(np.stack([across, down], axis=1), np.asarray(ras) - origin, rcond=None)[0]
        box = self.page.locator(f"svg[data-view={view}]").bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def show(self, view: str, ras: np.ndarray) -> None:
        """Move the views to the slices through a place, and wait until one has followed."""
        self.page.evaluate("place => window.trame.trigger('jump', [place])", [float(one) for one in ras])
        depth = (
            "[0, 1, 2].reduce((sum, n) => { const f = state(argument.frame), m = (n + 1) % 3, k = (n + 2) % 3;"
            " const normal = f.across[m] * f.down[k] - f.across[k] * f.down[m];"
            " return sum + (argument.place[n] - f.origin[n]) * normal; }, 0)"
        )
        _, across, down = self.frame(view)
        area = float(np.linalg.norm(np.cross(across, down)))
        self.wait(f"Math.abs({depth}) < 2.5 * {area}", {"frame": f"frame_{view}", "place": [float(one) for one in ras]})

    def click(self, view: str, ras: np.ndarray) -> None:
        self.page.mouse.click(*self.pixel(view, ras))

    def drag(self, view: str, places: list[np.ndarray]) -> None:
        """Draw from place to place with the button held down."""
        first, *rest = [self.pixel(view, ras) for ras in places]
        self.page.mouse.move(*first)
        self.page.mouse.down()
        for x, y in rest:
            self.page.mouse.move(x, y, steps=3)
        self.page.mouse.up()

    def after(self, action: Any) -> None:
        """Do something that the engine answers, and wait for the answer."""
        before = self.state("steps")
        action()
        self.wait("state('steps') > argument && !state('busy')", before)

    def saved(self, name: str, folder: Path) -> Path:
        """Save as a person would, and return the file."""
        with self.page.expect_download() as download:
            self.page.evaluate("format => window.samspine.save(format)", name)
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        return path

    def labels(self, folder: Path, case: Case) -> np.ndarray:
        """Return what the nodes hold, as a label map (K, J, I) on the case's grid."""
        from SAMSpineLib.io import place_labels, read_segmentation

        found = read_segmentation(self.saved("seg.nrrd", folder))
        return place_labels(found.labels, found.grid, case.grid)

    def colours(self, view: str) -> np.ndarray:
        """Return the pixels (rows, columns, RGB) of a view as they are seen."""
        import io

        from PIL import Image

        box = self.page.locator(f"svg[data-view={view}]").bounding_box()
        return np.asarray(Image.open(io.BytesIO(self.page.screenshot(clip=box))).convert("RGB")).astype(int)


def screen_on(browser: Any, served: Served) -> Screen:
    """Open the page and note all that goes wrong on it, and every request to somebody else."""
    page = browser.new_page(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    screen = Screen(page, served)
    page.on("console", lambda said: screen.wrong.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: screen.wrong.append(str(error)))
    here = served.url.split("?")[0]

    def asked(request: Any) -> None:
        if not request.url.startswith((here, here.replace("http", "ws", 1), "data:", "blob:")):
            screen.wrong.append(f"asks somebody else: {request.url}")

    page.on("request", asked)
    page.goto(served.url)
    screen.wait_idle()
    return screen


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * np.count_nonzero(one & other) / max(np.count_nonzero(one) + np.count_nonzero(other), 1))


def upload(screen: Screen, paths: list[Path], *, waits: bool = True) -> None:
    """Choose files as the dialog does."""
    with screen.page.expect_file_chooser() as chooser:
        screen.page.click("#open-menu")
        title = "Segmentation to go on" if paths[0].name.endswith(LABELS) else "Image, scene or zip"
        screen.page.get_by_text(title).click()
    chooser.value.set_files([str(path) for path in paths])
    if waits:
        screen.wait("!state('is_uploading') && !state('loading')")


LABELS = (".seg.nrrd", "_label.nii.gz")


def write_series(folder: Path, volume: Any) -> None:
    """Write a volume of whole numbers as a CT series of DICOM files."""
    from SAMSpineLib.volume import ras_from_lps

    lps = ras_from_lps(volume.grid.ijk_to_ras)
    axes = lps[:3, :3] / volume.grid.spacing
    for k, plane in enumerate(np.asarray(volume.array)):
        place, spacing = lps[:3, :3] @ [0, 0, k] + lps[:3, 3], volume.grid.spacing
        content = slice_of(plane, place, [*axes[:, 0], *axes[:, 1]], spacing, number=k + 1)
        (folder / f"IM{k:04}").write_bytes(content)


def slice_of(
    plane: np.ndarray, place: Any, axes: Any, spacing: Any = (1, 1, 2), *, number: int = 1, series: int = 1
) -> bytes:
    """Return a slice (J, I) of a CT as a DICOM file: place, axes of rows and columns in LPS, spacing along I, J, K."""
    import io

    import pydicom

    data = pydicom.Dataset()
    data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    data.SOPInstanceUID = f"1.2.3.{series}.{number}"
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = "1.2.3", f"1.2.3.{series}", "1.2.3.9"
    data.Modality, data.SeriesDescription, data.SeriesNumber = "CT", f"series {series}", series
    data.PatientID = data.PatientName = "nobody"
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.InstanceNumber = number
    data.ImagePositionPatient = [float(one) for one in place]
    data.ImageOrientationPatient = [float(one) for one in axes]
    data.PixelSpacing, data.SliceThickness = [float(spacing[1]), float(spacing[0])], float(spacing[2])
    data.Rows, data.Columns = plane.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 1
    data.RescaleIntercept, data.RescaleSlope = 0, 1
    data.PixelData = np.ascontiguousarray(plane, np.int16).tobytes()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    into = io.BytesIO()
    pydicom.dcmwrite(into, data, enforce_file_format=True)
    return into.getvalue()
