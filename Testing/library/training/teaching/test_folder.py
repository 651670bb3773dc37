"""A folder teaches as a list of its images does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from SAMSpineLib.errors import VolumeError
from SAMSpineLib.training.teaching.images import read_images


def put(folder: Path, *names: str) -> None:
    """Write small images under names."""
    for name in names:
        sitk.WriteImage(sitk.GetImageFromArray(np.eye(6, dtype=np.uint8)), str(folder / name))


def test_images_lie_beside_their_labels(tmp_path):
    put(tmp_path, "sub-01_ses-2_ct.nii.gz", "sub-01_ses-2_seg-vert_msk.nii.gz", "b_image.png", "b_mask.png", "c.png")
    put(tmp_path, "c_labels.png", "sub-01_ses-3_ct.nii.gz", "sub-01_ses-3_seg.nii.gz", "alone.png")
    said: list[str] = []
    found = read_images(tmp_path, notify=said.append)
    assert sorted(one.volume.name for one in found) == ["b_image", "c", "sub-01_ses-2_ct", "sub-01_ses-3_ct"]
    assert sorted(one.subject for one in found) == ["b", "c", "sub-01", "sub-01"]
    assert all(one.complete for one in found)
    assert all((one.labels > 0).sum() == 6 for one in found)
    assert [one for one in said if "alone" in one] == ["Without labels, and left out: alone.png"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a.png", "b.png"], "holds no image with labels"),
        ([], "holds no image with labels"),
        (["a_mask.png"], "a_mask.png should be the labels of one image, there is none"),
        (["a.png", "a_us.png", "a_mask.png"], "there is a.png, a_us.png"),
        (["a.png", "a_mask.png", "a_seg.png"], "a_mask.png, a_seg.png should be the labels of one image"),
    ],
)
def test_what_does_not_pair_up_is_refused_with_what_to_do(tmp_path, names, said):
    put(tmp_path, *names)
    with pytest.raises(VolumeError, match="name them alike, as in a_ct.nii.gz beside a_seg.nii.gz") as caught:
        read_images(tmp_path)
    assert said in str(caught.value)
