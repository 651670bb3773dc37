"""SAMSpine: segmentation of the spine by itself or from clicks. The module's text, and the shell of its panel."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import slicer
from SAMSpineSlicer.Keys import keysAsHtml
from SAMSpineSlicer.SampleCT import registerSampleData
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class SAMSpine(ScriptedLoadableModule):
    """What Slicer shows of the module before its panel is opened."""

    def __init__(self, parent: Any) -> None:
        """Describe the module; what needs other modules waits until all of them are there."""
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("SAM Spine")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations", "Terminologies", "Volumes"]
        parent.contributors = ["The SAMSpine developers"]
        parent.helpText = _(
            "Segments and names the vertebrae of a CT: all of them at once, from clicks, or both. Whatever was found "
            "by itself is corrected with the same clicks, and undone with the same undo.<p>Keys, while this module is "
            "open and the mouse is in a slice view:"
        )
        parent.helpText += keysAsHtml() + self.getDefaultModuleDocumentationLink()
        parent.acknowledgementText = _(
            "The network is our own implementation of CT-SAM3D (Guo et al. 2024, arXiv:2403.15063). Not a medical "
            "device: for research only."
        )
        _addLibraryToPath()
        slicer.app.connect("startupCompleted()", self.onStartupCompleted)

    def onStartupCompleted(self) -> None:
        """Register what other modules offer: sample data, and the names of vertebrae."""
        if hasattr(slicer.modules, "sampledata"):
            registerSampleData(self.resourcePath("Icons/SAMSpine.png"))
        if hasattr(slicer.modules, "terminologies"):
            slicer.modules.terminologies.logic().LoadTerminologyFromFile(self.resourcePath("SAMSpine.term.json"))


def _addLibraryToPath() -> None:
    """Find the library in a checkout: Slicer puts this folder on the path, the library lies beside it.

    An installed extension has both in one folder.
    """
    if importlib.util.find_spec("SAMSpineLib") is None:
        sys.path.append(str(Path(__file__).resolve().parents[1]))


class SAMSpineWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The shell of the panel: Slicer's lifecycle. What the panel does is in SAMSpineSlicer.Panel."""

    def __init__(self, parent: Any = None) -> None:
        """Start empty; Slicer calls `setup` when the panel is shown for the first time."""
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.ui: Any = None
        self.panel: Any = None

    def setup(self) -> None:
        """Load the .ui file and hand its widgets over."""
        from SAMSpineSlicer.Panel import Panel

        ScriptedLoadableModuleWidget.setup(self)
        root, scene = slicer.util.loadUI(self.resourcePath("UI/SAMSpine.ui")), slicer.mrmlScene
        self.layout.addWidget(root)
        self.ui = slicer.util.childWidgetVariables(root)
        self.panel = Panel(self.ui)
        root.setMRMLScene(scene)
        self.addObserver(scene, scene.StartCloseEvent, self._onSceneChanges)
        # Widgets would read parameters that a scene of another face or version does not have, until defaults fill in.
        self.addObserver(scene, scene.StartImportEvent, self._onSceneChanges)
        self.addObserver(scene, scene.EndCloseEvent, self._onSceneReady)
        self.addObserver(scene, scene.EndImportEvent, self._onSceneReady)
        self._showParameterNode()
        if self.parent.isEntered:  # reloaded in full view; nobody calls `enter` then
            self.panel.enter()

    def enter(self) -> None:
        """Come into view."""
        self._showParameterNode()
        self.panel.enter()

    def exit(self) -> None:
        """Go out of view."""
        self.panel.exit()

    def cleanup(self) -> None:
        """Leave nothing behind; Slicer calls this on its way out and before a reload."""
        self.removeObservers()
        if self.panel is not None:
            self.panel.setParameterNode(None)
            self.panel.cleanup()
            self.panel = None

    def onReload(self) -> None:
        """Load the packages anew as well, not only this file."""
        for name in [one for one in sys.modules if one.partition(".")[0] in {"SAMSpineSlicer", "SAMSpineLib"}]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def _onSceneChanges(self, *_event: Any) -> None:
        self.panel.setParameterNode(None)

    def _onSceneReady(self, *_event: Any) -> None:
        self.panel.setParameterNode(None)  # what it knew of the scene may be gone
        if self.parent.isEntered:
            self._showParameterNode()

    def _showParameterNode(self) -> None:
        """Show the state that is in the scene, a fresh one if there is none."""
        from SAMSpineSlicer.ParameterNode import ParameterNode

        node = SAMSpineLogic().getParameterNode()
        if self.panel.parameterNode is None or self.panel.parameterNode.parameterNode is not node:
            self.panel.setParameterNode(ParameterNode(node))


class SAMSpineLogic(ScriptedLoadableModuleLogic):
    """Finds the parameter node; every decision is in SAMSpineLib, to be called without this module."""


class SAMSpineTest(ScriptedLoadableModuleTest):
    """The self-test of Slicer: the panel opens, and a saved state is read back."""

    def test_panelOpens(self) -> None:
        """Open the panel of an empty scene."""
        slicer.mrmlScene.Clear()
        self.assertIsNotNone(slicer.modules.samspine.widgetRepresentation().self().panel)
