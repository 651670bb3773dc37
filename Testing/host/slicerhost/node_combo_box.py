"""qMRMLNodeComboBox: a list of the scene's nodes of some classes."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets
from vtkmodules.util.misc import calldata_type
from vtkmodules.vtkCommonCore import VTK_OBJECT


class NodeComboBox(QtWidgets.QWidget):
    """Selects a node; without `noneEnabled` the first that comes is selected, as in Slicer.

    `addEnabled` and its like are set by the .ui file as dynamic properties; the entries "Create new ..." are not shown,
    `addNode()` stands for choosing them.
    """

    currentNodeChanged = QtCore.Signal(object)
    currentNodeIDChanged = QtCore.Signal(str)
    nodeActivated = QtCore.Signal(object)
    nodeAddedByUser = QtCore.Signal(object)
    SLICER_SIGNALS = {
        "nodeActivated(vtkMRMLNode*)": "nodeActivated",
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged",
        "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser",
    }

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._observed: list[tuple[Any, int]] = []
        observed = self._observed  # the scene outlives the widget, and calls nobody who is gone
        self.destroyed.connect(lambda *_: _stop(observed))
        self._node: Any = None
        self._box = QtWidgets.QComboBox(self)
        self._box.activated.connect(self._activated)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)

    def setMRMLScene(self, scene: Any) -> None:
        _stop(self._observed)
        self._scene = scene
        if scene is not None:
            self._observe(scene.NodeAddedEvent, self._added)
            self._observe(scene.NodeRemovedEvent, self._removed)
            self._observe(scene.EndBatchProcessEvent, lambda *_: self._refill())
        self._refill()

    def mrmlScene(self) -> Any:
        return self._scene

    def _observe(self, event: int, callback: Any) -> None:
        self._observed.append((self._scene, self._scene.AddObserver(event, callback)))

    @calldata_type(VTK_OBJECT)
    def _added(self, _scene: Any, _event: str, node: Any) -> None:
        if self._accepts(node):
            self._refill()

    @calldata_type(VTK_OBJECT)
    def _removed(self, _scene: Any, _event: str, node: Any) -> None:
        if node is self._node:
            self.setCurrentNode(None)
        if self._accepts(node):
            self._refill()

    def _accepts(self, node: Any) -> bool:
        kinds = self.property("nodeTypes") or []
        heirs = self.property("showChildNodeTypes") is not False
        fits = any(node.IsA(kind) if heirs else node.GetClassName() == kind for kind in kinds)
        return fits and not node.GetHideFromEditors()

    def nodes(self) -> list[Any]:
        """List what is offered, in the order of the scene."""
        if self._scene is None:
            return []
        every = [self._scene.GetNthNode(index) for index in range(self._scene.GetNumberOfNodes())]
        return [node for node in every if self._accepts(node)]

    def nodeCount(self) -> int:
        return len(self.nodes())

    def _refill(self) -> None:
        nodes = self.nodes()
        self._box.clear()
        if self.property("noneEnabled"):
            self._box.addItem(self.property("noneDisplay") or "None", "")
        for node in nodes:
            self._box.addItem(node.GetName(), node.GetID())
        if self._node is None and nodes and not self.property("noneEnabled"):
            self.setCurrentNode(nodes[0])
        self._box.setCurrentIndex(self._box.findData(self._node.GetID() if self._node else ""))

    def currentNode(self) -> Any:
        return self._node

    def setCurrentNode(self, node: Any) -> None:
        if node is self._node or (node is not None and not self._accepts(node)):
            return
        self._node, before = node, self._box.currentText
        self._box.setCurrentIndex(self._box.findData(node.GetID() if node else ""))
        if self._box.currentText == before:
            return  # as in Slicer with Qt 6
        self.currentNodeChanged.emit(node)
        self.currentNodeIDChanged.emit(node.GetID() if node else "")

    def choose(self, node: Any) -> None:
        """Do what picking a node from the list does."""
        self._box.activated.emit(self._box.findData(node.GetID()))

    def _activated(self, index: int) -> None:
        self.setCurrentNodeID(self._box.itemData(index) or "")
        self.nodeActivated.emit(self._node)

    def setCurrentNodeID(self, node_id: str) -> None:
        self.setCurrentNode(self._scene.GetNodeByID(node_id) if self._scene and node_id else None)

    @property
    def currentNodeID(self) -> str:
        return self._node.GetID() if self._node else ""

    def addNode(self, kind: str = "") -> Any:
        """Do what the entry "Create new ..." does."""
        kind = kind or self.property("nodeTypes")[0]
        base = self.property("baseName") or kind.removeprefix("vtkMRML").removesuffix("Node")
        node = self._scene.AddNewNodeByClass(kind, self._scene.GenerateUniqueName(base))
        self.nodeAddedByUser.emit(node)
        self.setCurrentNode(node)
        return node


def _stop(observed: list[tuple[Any, int]]) -> None:
    for scene, tag in observed:
        scene.RemoveObserver(tag)
    observed.clear()
