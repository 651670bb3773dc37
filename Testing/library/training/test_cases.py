"""Cases: what a label map becomes before training."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.errors import LabelError, VolumeError
from SAMSpineLib.io.writing import write_volume
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.training.cases import OTHER, Case, load_phantom, phantom_files, read_manifest, to_own_values
from SAMSpineLib.training.synthetic.settings import PhantomSettings
from SAMSpineLib.volume import Volume

TABLE = spine_labels()


def _turned(angle, spacing):
    matrix = np.eye(4)
    c, s = np.cos(angle), np.sin(angle)
    matrix[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag(spacing)
    matrix[:3, 3] = (-30, 12, 700)
    return matrix


def test_totalsegmentators_numbers_become_ours_and_its_organs_stay_targets():
    ids = np.array([[[0, 27, 31, 25, 50, 1, 90]]])
    names = ["L5", "L1", "sacrum", "C1"]
    expected = [0, *(TABLE.by_name(name).value for name in names), OTHER + 1, OTHER + 90]
    assert to_own_values(ids, "totalsegmentator", TABLE)[0, 0].tolist() == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
def test_verses_numbers_are_ours_whatever_type_they_come_in(dtype):
    ids = np.array([[[0, 1, 19, 24, 25, 26, 28]]], dtype)
    own = to_own_values(ids, "verse", TABLE)
    assert own[0, 0].tolist() == [0, 1, 19, 24, 25, 26, 28]
    assert own.dtype == np.int16


def test_our_own_numbers_stay_and_an_empty_map_is_empty():
    ids = np.array([[[0, 7, 122, 200, 99]]])
    assert to_own_values(ids, "samspine", TABLE)[0, 0].tolist() == [0, 7, 122, 200, OTHER + 99]
    assert not to_own_values(np.zeros((2, 2, 2), np.uint8), "verse", TABLE).any()


@pytest.mark.parametrize("bad", [-1024, 60_000, 2.5, np.nan])
def test_what_is_no_label_map_is_refused_instead_of_wrapping_around(bad):
    labels = np.array([[[0, 1, bad]]])
    with pytest.raises(LabelError, match="whole numbers from 0"):
        to_own_values(labels, "verse", TABLE)


def test_an_unknown_numbering_is_answered_with_the_known_ones():
    with pytest.raises(LabelError, match="'samspine', 'totalsegmentator', 'verse'.*got 'ours'"):
        to_own_values(np.zeros((1, 1, 1), int), "ours", TABLE)


def test_a_structure_knows_its_deepest_place_and_its_bounds_in_millimetres():
    labels = np.zeros((12, 40, 40), np.int16)
    labels[2:9, 10:30, 5:25] = 21  # 20 x 20 x 7 voxels with a thin tail
    labels[5, 20, 25:38] = 21
    matrix = _turned(0.7, (1.0, 1.5, 3.0))
    image = Volume.from_array(np.zeros(labels.shape, np.int16), matrix)
    (found,) = Case.build(image, labels).structures
    inside = np.round(image.grid.to_ijk(found.places)).astype(int)[:, ::-1]
    assert (labels[tuple(inside.T)] == 21).all()
    k, j, i = np.round(image.grid.to_ijk(found.core)).astype(int)[::-1]
    assert k == 5
    assert abs(i - 14.5) <= 4
    assert 13 <= j <= 26
    every = image.grid.to_ras(np.argwhere(labels)[:, ::-1])
    assert (found.bounds[0] <= every.min(axis=0) + 1e-6).all()
    assert (found.bounds[1] >= every.max(axis=0) - 1e-6).all()
    assert np.allclose(found.bounds.mean(axis=0), image.grid.to_ras([21, 19.5, 5]))


def test_structures_too_small_to_learn_from_are_left_out_and_none_at_all_is_an_error():
    labels = np.zeros((10, 10, 10), np.int16)
    labels[:4, :4, :4], labels[9, 9, 9] = 20, 21
    image = Volume.from_array(np.zeros(labels.shape, np.int16), np.eye(4), name="scan 12")
    assert [s.value for s in Case.build(image, labels).structures] == [20]
    with pytest.raises(LabelError, match="'scan 12' has none of 65 voxels"):
        Case.build(image, labels, smallest=65)


def test_a_phantom_is_labelled_by_our_table_with_the_rest_above_it(case):
    values = {s.value for s in case.structures}
    known = {label.value for label in TABLE}
    assert {21, 22, 23} <= values
    assert any(value > OTHER for value in values)
    assert all(value in known or value > OTHER for value in values)
    for structure in case.structures:
        index = case.image.grid.voxel_at(structure.core)
        assert case.labels[index] == structure.value


def test_phantoms_are_made_once_and_read_back_alike(tmp_path, monkeypatch):
    monkeypatch.setattr("SAMSpineLib.training.cases.TRAINING_PHANTOMS", PhantomSettings.small())
    (path,) = phantom_files(tmp_path, 1, first_seed=3)
    stamp = path.stat().st_mtime_ns
    assert [p.stat().st_mtime_ns for p in phantom_files(tmp_path, 1, first_seed=3)] == [stamp]
    assert [p.name for p in tmp_path.iterdir()] == ["phantom_000003.npz"]
    stored = load_phantom(path)
    assert stored.image.shape == stored.labels.shape
    assert np.allclose(stored.image.grid.spacing, 2.0)
    for structure in stored.structures:
        assert stored.labels[stored.image.grid.voxel_at(structure.core)] == structure.value


def _scan(folder, name, array, matrix=None):
    write_volume(folder / name, Volume.from_array(array, np.eye(4) if matrix is None else matrix))


@pytest.fixture
def folder(tmp_path):
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[2:9, 2:9, 2:9], labels[12:15, 2:9, 2:9], labels[15:18, 2:9, 2:9] = 24, 31, 32
    _scan(tmp_path, "ct.nii.gz", np.arange(8000, dtype=np.int16).reshape(20, 20, 20) % 700)
    _scan(tmp_path, "labels.nii.gz", labels)
    return tmp_path


def _manifest(folder, *lines, head="image,labels,ids,weight"):
    path = folder / "manifest.csv"
    path.write_text("\n".join((head, *lines)) + "\n", encoding="utf-8")
    return path


def test_a_manifests_segments_of_the_sacrum_become_one_bone(folder):
    (case,) = read_manifest(_manifest(folder, "ct.nii.gz,labels.nii.gz,samspine,0.25"))
    assert [s.value for s in case.structures] == [24, 26]
    assert (case.labels == 26).sum() == 6 * 7 * 7
    assert case.weight == 0.25


def test_labels_on_another_grid_are_brought_to_the_images(folder):
    labels = np.zeros((7, 20, 20), np.uint8)
    labels[1:4] = 24
    _scan(folder, "thick.nii.gz", labels, np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 3, 1.0], [0, 0, 0, 1]]))
    (case,) = read_manifest(_manifest(folder, "ct.nii.gz,thick.nii.gz,verse,"))
    assert case.weight == 1
    assert np.flatnonzero((case.labels == 24).any(axis=(1, 2))).tolist() == list(range(3, 12))


@pytest.mark.parametrize(
    ("lines", "head", "message"),
    [
        ([], "image,labels,ids", "or any row"),
        (["ct.nii.gz,labels.nii.gz"], "image,labels", "lacks the columns .*ids"),
        (["ct.nii.gz,labels.nii.gz,verse,much"], "image,labels,ids,weight", "line 2: .*weight above 0"),
        (["ct.nii.gz,labels.nii.gz,verse,0"], "image,labels,ids,weight", "line 2: .*weight above 0"),
        (["ct.nii.gz,labels.nii.gz,verse,nan"], "image,labels,ids,weight", "line 2: .*weight above 0"),
        (["ct.nii.gz,labels.nii.gz,verse", "ct.nii.gz"], "image,labels,ids", "line 3: expected image,labels,ids"),
        (["nowhere.nii.gz,labels.nii.gz,verse"], "image,labels,ids", "nowhere"),
    ],
)
def test_a_manifest_that_cannot_be_used_says_where_and_why(folder, lines, head, message):
    with pytest.raises(VolumeError, match=message):
        read_manifest(_manifest(folder, *lines, head=head))


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(VolumeError, match=r"none\.csv' does not exist"):
        read_manifest(tmp_path / "none.csv")
