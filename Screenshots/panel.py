"""Take the picture of the panel: on the test host, with a synthetic spine segmented by autonomous mode and one click.

Run as `python Screenshots/panel.py`; needs PySide6 and slicer-core, takes half a minute, and writes panel.png.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
WIDTH, HEIGHT = 430, 980


def main() -> None:
    """Write the picture."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    sys.path.insert(0, str(FOLDER.parent / "Testing" / "host"))
    from slicerhost.driver import Driver
    from slicerhost.host import Host

    from SAMSpineLib.training.synthetic.phantom import make_phantom
    from SAMSpineLib.training.synthetic.settings import PhantomSettings

    phantom = make_phantom(1, PhantomSettings.small())
    host = Host(FOLDER.parent / "SAMSpine" / "SAMSpine.py")
    host.open()
    user = Driver(host, phantom.image, phantom.labels.array)
    host.press(host.ui.autonomousButton)
    user.settle()
    user.choose("L3")
    user.click("L3")
    user.settle()
    panel = host.module.widgetRepresentation()
    panel.setFixedSize(WIDTH, HEIGHT)
    host.process()
    panel.grab().save(str(FOLDER / "panel.png"))
    host.close()


if __name__ == "__main__":
    main()
