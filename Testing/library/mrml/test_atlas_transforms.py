"""Registrations as nodes: an atlas under one lies over the patient, wherever the volume is in the world."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer")

from SAMSpineLib.engine.autonomous.fits import AtlasTransform
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.mrml.atlas_transforms import add_transforms, nodes_of
from SAMSpineLib.mrml.segments import create_segmentation
from SAMSpineLib.mrml.volumes import node_from_volume
from SAMSpineLib.mrml.workbench import Workbench
from SAMSpineLib.volume import Grid, Volume

L3 = spine_labels().by_name("L3").value
SHIFT = (4.0, -9.0, 17.0)


def shift(name: str, value: int = L3) -> AtlasTransform:
    """Return the transform of an atlas that lies `SHIFT` away from the patient."""
    grid = Grid.centred_on((0.0, 0.0, 0.0), shape=(8, 9, 10), spacing=3.0)
    return AtlasTransform(name, value, np.tile(np.float32(SHIFT), (*grid.shape, 1)), grid)


@pytest.fixture
def bench(scene: Any, a_volume: Volume) -> Workbench:
    volume = node_from_volume(scene, a_volume)
    return Workbench(volume, create_segmentation(scene, volume, "spine"))


def test_nodes_are_named_after_atlas_and_level_and_carry_the_atlas_to_the_patient(bench: Workbench) -> None:
    nodes = add_transforms(bench, [shift("first"), shift("second (label 21)")])
    assert [node.GetName() for node in nodes] == ["first to L3", "second (label 21) to L3"]
    found = nodes[0].GetTransformToParent().TransformPoint(*SHIFT)
    assert np.allclose(found, (0, 0, 0), atol=0.02)


def test_they_follow_the_volume_and_replace_those_of_an_earlier_run(scene: Any, bench: Workbench) -> None:
    parent = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    bench.volume_node.SetAndObserveTransformNodeID(parent.GetID())
    add_transforms(bench, [shift("first"), shift("second")])
    (node,) = add_transforms(bench, [shift("third")])
    assert nodes_of(bench) == [node]
    assert node.GetParentTransformNode() is parent
    foreign = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "mine")
    add_transforms(bench, [])
    assert nodes_of(bench) == []
    assert scene.IsNodePresent(foreign)
