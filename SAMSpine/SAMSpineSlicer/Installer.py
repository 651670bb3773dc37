"""What the engine needs besides Slicer: asked for once, installed with consent, never at import."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from SAMSpineLib.errors import EngineError
from SAMSpineSlicer.ParameterNode import ParameterNode

NAME = "SAMSpine"
# Slicer brings these or another extension does: an installation must not replace them.
NEVER_INSTALLED = ["SimpleITK", "numpy", "scipy", "requests", "torch", "torchvision"]
# Slicer 5.10 has a SimpleITK of its own, which no dependency may replace; sam2 would fetch a PyTorch to be built with.
PIP_OPTIONS = {"monai": "--no-deps ", "sam2": "--no-build-isolation "}
REQUIREMENTS = Path(__file__).resolve().parents[1] / "Resources" / "requirements.txt"


class Installer:
    """The button "Install...": PyTorch through its own extension, the rest through Slicer's pip."""

    def __init__(self, ui: Any, tell: Callable[[str], None]) -> None:
        """Take the widgets by name, and whom to tell."""
        self.ui, self._tell = ui, tell
        self.isNeeded = bool(self.missing())
        ui.installButton.visible = self.isNeeded
        ui.installButton.connect("clicked()", self.install)

    def release(self) -> None:
        """Listen no more."""
        self.ui.installButton.disconnect("clicked()", self.install)

    def missing(self) -> list[str]:
        """Return what is not installed, by the names under which it is imported."""
        return [name for name in ("torch", *requirements()) if importlib.util.find_spec(_imported(name)) is None]

    def isReady(self, state: ParameterNode) -> bool:
        """Tell whether an engine can be had: one of our own, or a server."""
        return bool(state.serverAddress) or not self.isNeeded

    def check(self, state: ParameterNode) -> None:
        """Refuse to begin without an engine.

        Raises:
            EngineError: saying what to do.
        """
        if not self.isReady(state):
            raise EngineError(_('Press "Install..." first, or name a server under "Advanced"'))

    def install(self) -> None:
        """Ask, then install; what fails is told in one line."""
        missing = self.missing()
        question = _("SAMSpine needs {names}: about 3 GB are downloaded into Slicer's own Python. Go on?")
        if missing and slicer.util.confirmOkCancelDisplay(question.format(names=", ".join(missing))):
            try:
                done = self._installTorch() and self._installRest()
            except (RuntimeError, OSError, ImportError) as error:
                self._tell(_("The installation failed: {error}").format(error=error))
                return
            if not done:
                return
        self.isNeeded = bool(self.missing())
        self.ui.installButton.visible = self.isNeeded
        self._tell(_("Everything is installed") if not self.isNeeded else _("Something is still missing"))

    def _installTorch(self) -> bool:
        """Install PyTorch with the extension that knows which one fits this computer."""
        if importlib.util.find_spec("torch") is not None:
            return True
        if importlib.util.find_spec("PyTorchUtils") is None:
            self._tell(_('Install the extension "PyTorch" with the Extensions Manager, restart Slicer, and come back'))
            return False
        import PyTorchUtils

        self._tell(_("Installing PyTorch; this takes some minutes"))
        return PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=False) is not None

    def _installRest(self) -> bool:
        """Install the other packages, and leave alone what Slicer has."""
        self._tell(_("Installing the engine"))
        if importlib.util.find_spec("slicer.packaging") is not None:
            from slicer import packaging

            wanted = packaging.load_requirements(str(REQUIREMENTS))
            packaging.pip_install(wanted, skip_packages=NEVER_INSTALLED, requester=NAME)
            return True
        for name in self.missing():
            slicer.util.pip_install(PIP_OPTIONS.get(name, "") + name)
        return True


def requirements() -> list[str]:
    """Return the packages of the requirements file."""
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _imported(requirement: str) -> str:
    """Return under which name a package is imported."""
    return requirement.partition(">")[0].partition("[")[0].strip().replace("-", "_")
