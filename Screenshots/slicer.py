"""Take the picture of the module in 3D Slicer: autonomous mode, and one click.

Run as `Slicer --additional-module-paths SAMSpine --python-script Screenshots/slicer.py OUT.png [CT]`; without a CT it
is a synthetic spine.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import slicer

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER.parent / "Testing" / name) for name in ("module", "host")]
SECONDS_TO_COMPUTE, SECONDS_TO_DRAW = 900.0, 3.0
NEARER = 0.95
WIDTH = 1250


def main(arguments: list[str]) -> None:
    """Write the picture."""
    from realslicer.host import Host
    from slicerhost.driver import Driver

    out, *case = arguments
    image, truth = _case(case)
    host = Host(FOLDER.parent / "SAMSpine" / "SAMSpine.py")
    host.open()
    slicer.util.findChild(slicer.util.mainWindow(), "DataProbeCollapsibleWidget").collapsed = True
    user = Driver(host, image, truth)
    host.press(host.ui.autonomousButton)
    user.settle(SECONDS_TO_COMPUTE)
    host.press(host.ui.show3DButton)
    user.tool("P")
    host.press_cell(host.ui.segmentsTable, host.ui.segmentsTable.rowCount // 2, 2)
    _look_at_surfaces()
    host.run_for(SECONDS_TO_DRAW)
    user.settle()
    slicer.util.mainWindow().grab().save(out)
    _make_small(Path(out))


def _make_small(file: Path) -> None:
    """Bring a picture to a common width and to 256 colours of its own: a third of the size."""
    from PIL import Image

    picture = Image.open(file).convert("RGB")
    picture.thumbnail((WIDTH, WIDTH))
    picture.quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)


def _look_at_surfaces() -> None:
    """Fill the 3D view with the spine, seen from the front and the left."""
    view = slicer.app.layoutManager().threeDWidget(0).threeDView()
    view.mrmlViewNode().SetBoxVisible(False)
    view.resetFocalPoint()
    camera = slicer.modules.cameras.logic().GetViewActiveCameraNode(view.mrmlViewNode()).GetCamera()
    camera.Azimuth(40)
    camera.Dolly(NEARER)
    view.renderWindow().GetRenderers().GetFirstRenderer().ResetCameraClippingRange()


def _case(arguments: list[str]) -> tuple[Any, np.ndarray]:
    """Return an image, and the truth of it where it is known."""
    from SAMSpineLib.io import read_volume
    from SAMSpineLib.training.synthetic.phantom import make_phantom
    from SAMSpineLib.training.synthetic.settings import PhantomSettings

    if arguments:
        image = read_volume(Path(arguments[0]))
        return image, np.zeros(image.shape, np.uint8)
    phantom = make_phantom(1, PhantomSettings.small())
    return phantom.image, phantom.labels.array


main([argument for argument in sys.argv[1:] if not argument.startswith("-")])
slicer.util.exit(0)
