"""Take the picture of the app: one click on each vertebra, in a real browser.

Run as `python Screenshots/app.py [CT MASK]`; MASK, in VerSe's numbering, says where to click. Without them it is a
synthetic spine. Needs the extras app and test and a Chromium, and writes app.png.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent / "Testing" / "app"))

from appdriver import Case, browsing, chromium, screen_on, serve  # noqa: E402 - it lies beside the tests

from SAMSpineLib.io import convert_ids, place_labels, read_volume, write_volume  # noqa: E402
from SAMSpineLib.labels import spine_labels  # noqa: E402
from SAMSpineLib.training.synthetic.phantom import make_phantom  # noqa: E402
from SAMSpineLib.training.synthetic.settings import PhantomSettings  # noqa: E402

MOST = 10


def main(arguments: list[str]) -> None:
    """Write the picture."""
    path = chromium()
    if path is None:
        sys.exit("There is no Chromium here: name one in CHROMIUM")
    with tempfile.TemporaryDirectory() as folder:
        case = _real(*map(Path, arguments)) if arguments else _synthetic(Path(folder))
        with serve(Path(folder), str(case.path)) as served, browsing(path) as browser:
            screen = screen_on(browser, served)
            names = _names(case)
            for name in names:
                screen.page.evaluate("name => window.trame.state.set('new_name', name)", name)
                screen.wait("state('segments').find(one => one.id === state('selected'))?.name === argument", name)
                place = case.centre(name)
                screen.show("Red", place)
                screen.choose("positivePoint")
                screen.after(lambda place=place: screen.click("Red", place))
            middle = case.centre(names[len(names) // 2])
            screen.show("Yellow", middle)
            screen.page.evaluate("window.trame.state.set('crosshair', false)")
            screen.page.click("#fit-ThreeD")
            screen.page.wait_for_timeout(4000)
            screen.page.screenshot(path=str(FOLDER / "app.png"))


def _names(case: Case) -> list[str]:
    """Return the vertebrae that are wholly in the image, head to foot, at most MOST of them."""
    inner = case.labels[2:-2]
    whole = [
        label.name
        for label in spine_labels()
        if label.group in ("thoracic", "lumbar")
        and (inner == label.value).any()
        and not (case.labels[[0, 1, -1, -2]] == label.value).any()
    ]
    return whole[-MOST:]


def _real(image: Path, mask: Path) -> Case:
    volume, truth = read_volume(image), read_volume(mask)
    labels = convert_ids(truth.array, spine_labels())
    return Case(image, place_labels(labels, truth.grid, volume.grid), volume.grid)


def _synthetic(folder: Path) -> Case:
    phantom = make_phantom(1, PhantomSettings.small())
    path = folder / "Synthetic_spine.nii.gz"
    write_volume(path, phantom.image)
    return Case(path, np.asarray(phantom.labels.array), phantom.labels.grid)


if __name__ == "__main__":
    main(sys.argv[1:])
