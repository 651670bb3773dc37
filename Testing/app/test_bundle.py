"""Scene bundles that come from elsewhere: nothing is taken from outside of them, and what is wrong is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("trame_slicer", reason="needs the extra `app`")

from SAMSpineLib.app.bundle import read_bundle
from SAMSpineLib.errors import VolumeError
from SAMSpineLib.io import write_volume
from SAMSpineLib.volume import Volume

SCENE = """<?xml version="1.0"?>
<MRML version="Slicer 5.8.0">
 <Volume id="V1" name="other" references="storage:S1;"/>
 <Volume id="V2" name="spine ct" references="storage:S2;{volume}"/>
 <Segmentation id="G1" name="spine" references="storage:S3;referenceImageGeometryRef:V2;{segmentation}"/>
 <VolumeArchetypeStorage id="S1" fileName="{one}"/>
 <VolumeArchetypeStorage id="S2" fileName="Data/spine%20ct.nrrd"/>
 <SegmentationStorage id="S3" fileName="Data/spine.seg.nrrd"/>
 {ours}
</MRML>
"""
OURS = (
    '<ScriptedModule id="M" singletonTag="SAMSpine" references="inputVolume:V2;segmentation:G1;"'
    ' parameter0= "promptLog {&quot;a&quot;: 1}" parameter1= "selectedSegmentId L3"/>'
)


def a_bundle(folder: Path, **parts: str) -> Path:
    (folder / "Data").mkdir()
    for name, value in (("other.nrrd", 1), ("spine_20ct.nrrd", 2)):
        write_volume(folder / "Data" / name, Volume.from_array(np.full((2, 3, 4), value, np.int16), np.eye(4)))
    (folder / "Data" / "spine.seg.nrrd").write_bytes(b"")
    path = folder / "scene.mrml"
    path.write_text(SCENE.format(**{"volume": "", "segmentation": "", "one": "Data/other.nrrd", "ours": ""} | parts))
    return path


@pytest.mark.parametrize("ours", [OURS, ""], ids=["of our panel", "of another module"])
def test_volume_segments_and_prompts_are_found(tmp_path: Path, ours: str) -> None:
    found = read_bundle(a_bundle(tmp_path, ours=ours))
    assert (found.name, found.segmentation_id, found.volume.array.max()) == ("spine ct", "G1", 2)
    assert found.segments == tmp_path / "Data" / "spine.seg.nrrd"
    assert (found.prompts, found.selected) == (('{"a": 1}', "L3") if ours else ("", ""))


@pytest.mark.parametrize(
    "name", ["../secret.nrrd", "{}/secret.nrrd", "file://{}/secret.nrrd", "http://elsewhere/ct.nrrd"]
)
def test_a_file_outside_of_the_bundle_is_not_opened(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    write_volume(tmp_path / "secret.nrrd", Volume.from_array(np.ones((2, 3, 4), np.int16), np.eye(4)))
    ours = OURS.replace("inputVolume:V2", "inputVolume:V1")
    with pytest.raises(VolumeError, match="no volume in this scene"):
        read_bundle(a_bundle(inside, ours=ours, one=name.format(tmp_path)))


def test_what_lies_under_two_transforms_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="harden them in Slicer"):
        read_bundle(a_bundle(tmp_path, volume="transform:T1;"))


def test_a_damaged_description_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scene.mrml"
    path.write_text("<MRML><Volume")
    with pytest.raises(VolumeError, match="damaged or no scene"):
        read_bundle(path)
