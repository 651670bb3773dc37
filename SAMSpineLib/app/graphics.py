"""Whether this machine can draw, asked before a view is made: VTK takes the whole process down where it cannot."""

from __future__ import annotations

import os
import subprocess
import sys

from SAMSpineLib.errors import GraphicsError

SECONDS = 60.0
# One frame, drawn to memory, in a process of its own.
PROBE = """
from vtkmodules.vtkCommonCore import vtkLogger
vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)
import vtkmodules.vtkRenderingOpenGL2
from vtkmodules.vtkRenderingCore import vtkRenderer, vtkRenderWindow
window = vtkRenderWindow()
window.SetOffScreenRendering(1)
window.SetSize(8, 8)
window.AddRenderer(vtkRenderer())
window.Render()
"""
REMEDY = {
    "linux": "install Mesa (Debian, Ubuntu: apt install libegl1 libgl1-mesa-dri; Fedora: dnf install mesa-libEGL "
    "mesa-dri-drivers), which needs no graphics card",
}


def choose_window() -> None:
    """Let VTK draw to memory by EGL where there is no screen.

    Else it tries for seconds, and for each view, to find a screen that is not there.
    """
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")


def keep_triton_out() -> None:
    """Let torch do without triton, which is imported with torchvision; nothing of ours is compiled by it.

    It and Mesa's renderer bring an LLVM each, and whichever process loads Mesa's first dies of the other.
    """
    sys.modules.setdefault("triton", None)  # type: ignore[arg-type]


def check_graphics() -> None:
    """Draw one frame.

    Raises:
        GraphicsError: if that is not possible; it says what to install.
    """
    command = [sys.executable, "-c", PROBE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        failed = done.returncode != 0
    except subprocess.TimeoutExpired:
        failed = True
    if failed:
        remedy = REMEDY.get(sys.platform, "install or update the graphics driver")
        msg = f"The app draws with OpenGL 3.2 or later, on a screen or without one (EGL), and cannot here: {remedy}"
        raise GraphicsError(msg)
