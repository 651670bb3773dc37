"""The registrations of an autonomous run as transform nodes, to look at an atlas where it was laid over the patient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from SAMSpineLib.engine.autonomous.fits import AtlasTransform
from SAMSpineLib.mrml.transforms import write_transform
from SAMSpineLib.mrml.workbench import Workbench

# Of each node: the volume that its atlas was laid over.
ATTRIBUTE = "SAMSpine.AtlasOf"


def add_transforms(bench: Workbench, transforms: Sequence[AtlasTransform]) -> list[Any]:
    """Add a transform node for each, named after atlas and level, in the place of those of an earlier run.

    An atlas under such a node lies over the volume where that is in the world. The nodes are returned.
    """
    scene, volume = bench.volume_node.GetScene(), bench.volume_node
    for node in nodes_of(bench):
        scene.RemoveNode(node)
    added = []
    for one in transforms:
        name = f"{one.atlas} to {bench.table.by_value(one.value).name}"
        node = write_transform(scene, one.displacement, name, one.grid)
        node.SetAttribute(ATTRIBUTE, volume.GetID())
        node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
        added.append(node)
    return added


def nodes_of(bench: Workbench) -> list[Any]:
    """Return the transform nodes of atlases that were laid over the volume on a bench."""
    nodes = bench.volume_node.GetScene().GetNodesByClass("vtkMRMLGridTransformNode")
    found = [nodes.GetItemAsObject(n) for n in range(nodes.GetNumberOfItems())]
    return [node for node in found if node.GetAttribute(ATTRIBUTE) == bench.volume_node.GetID()]
