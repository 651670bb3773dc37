"""Draw the module's icon: three vertebrae from the side, the middle one selected, and a click on it.

Run as `python Screenshots/icon.py`; needs PySide6, and writes SAMSpine.svg and SAMSpine.png (128 x 128).
"""

from __future__ import annotations

import os
from pathlib import Path

ICONS = Path(__file__).resolve().parents[1] / "SAMSpine" / "Resources" / "Icons"
BONE, CHOSEN, DISC, EDGE, CLICK = "#e8e0c8", "#f0a030", "#8fb8d0", "#5a5344", "#2e9e4f"


def vertebra(y: int, lean: int, colour: str) -> str:
    """Return a body with waisted sides, and a spinous process to the right of it."""
    left, right = 20 + lean, 72 + lean
    body = (
        f"M{left} {y} Q{(left + right) // 2} {y + 4} {right} {y} Q{right - 7} {y + 14} {right} {y + 28} "
        f"Q{(left + right) // 2} {y + 24} {left} {y + 28} Q{left + 7} {y + 14} {left} {y} Z"
    )
    spine = ((-5, 8), (16, 10), (34, 24), (14, 20), (-5, 18))
    process = "M" + " L".join(f"{right + dx} {y + dy}" for dx, dy in spine) + " Z"
    style = f'fill="{colour}" stroke="{EDGE}" stroke-width="2.5" stroke-linejoin="round"'
    return f'<path d="{process}" {style}/><path d="{body}" {style}/>'


def icon() -> str:
    """Return the icon as SVG."""
    discs = "".join(
        f'<rect x="{24 + lean}" y="{y}" width="46" height="8" rx="4" fill="{DISC}"/>'
        for y, lean in ((38, -3), (77, -3))
    )
    bones = vertebra(9, 0, BONE) + vertebra(47, -6, CHOSEN) + vertebra(87, 0, BONE)
    click = f'<circle cx="40" cy="61" r="7" fill="{CLICK}" stroke="#ffffff" stroke-width="2.5"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 128 128">{discs}{bones}{click}</svg>\n'


def main() -> None:
    """Write both files."""
    from PySide6 import QtCore, QtGui, QtSvg

    ICONS.joinpath("SAMSpine.svg").write_text(icon(), encoding="utf-8")
    picture = QtGui.QImage(128, 128, QtGui.QImage.Format.Format_ARGB32)
    picture.fill(QtCore.Qt.GlobalColor.transparent)
    painter = QtGui.QPainter(picture)
    QtSvg.QSvgRenderer(QtCore.QByteArray(icon().encode())).render(painter)
    painter.end()
    picture.save(str(ICONS / "SAMSpine.png"))


if __name__ == "__main__":
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    main()
