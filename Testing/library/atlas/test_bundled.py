"""The atlases that come with SAMSpine: all there, whole, small, and of known origin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from SAMSpineLib.atlas.atlas import Atlas
from SAMSpineLib.atlas.library import AtlasLibrary, default_library
from SAMSpineLib.atlas.shapes import shapes_for
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.resampling import sample_labels

LARGEST_MB = 3.0
USUAL_LEVELS = [*range(1, 8), *range(8, 20), *range(20, 25), 26]


@pytest.fixture(scope="module")
def library() -> AtlasLibrary:
    """Give the bundled library."""
    return default_library()


@pytest.fixture(scope="module")
def atlases(library: AtlasLibrary) -> list[Atlas]:
    """Give all bundled atlases."""
    return [library.load(name) for name in library.names]


def test_every_file_is_what_the_index_says_and_no_file_is_unknown(library: AtlasLibrary) -> None:
    assert library.verify() == library.names
    known = {file.file for entry in library.entries().values() for file in entry.files}
    assert {path.name for path in library.folder.iterdir()} == {*known, "index.json", "README.md"}


def test_they_are_small_and_hold_no_image(library: AtlasLibrary) -> None:
    sizes = [path.stat().st_size for path in library.folder.iterdir()]
    assert sum(sizes) < LARGEST_MB * 1e6
    assert [entry.image for entry in library.entries().values() if entry.image is not None] == []


@pytest.mark.parametrize("value", USUAL_LEVELS, ids=lambda value: spine_labels().by_value(value).name)
def test_every_level_has_at_least_three_shapes_of_its_own(value: int, atlases: list[Atlas]) -> None:
    own = [shape for shape in shapes_for(value, atlases) if shape.value == value]
    assert len({shape.atlas for shape in own}) >= 3
    centimetres = [np.count_nonzero(shape.mask) * shape.grid.voxel_volume / 1000 for shape in own]
    assert min(centimetres) > 3
    assert max(centimetres) / min(centimetres) > 1.2, "spines of different size were promised"


def test_a_level_is_one_piece(atlases: list[Atlas]) -> None:
    for atlas in atlases:
        for level in atlas.levels:
            if not atlas.is_cut(level.value):
                pieces, _ = ndimage.label(atlas.labels[atlas.boxes[level.value]] == level.value, np.ones((3, 3, 3)))
                sizes = np.bincount(pieces.ravel())[1:]
                assert sizes.max() > 0.97 * sizes.sum(), f"{atlas.name} {level.name}"


def places_of(atlas: Atlas, value: int) -> np.ndarray:
    """Give the voxels of a label (N, 3) in RAS mm."""
    box = atlas.boxes[value]
    kji = np.argwhere(atlas.labels[box] == value) + [side.start for side in box]
    return atlas.grid.to_ras(kji[:, ::-1])


def test_levels_stand_in_order_and_the_axes_are_those_of_the_patient(atlases: list[Atlas]) -> None:
    for atlas in atlases:
        np.testing.assert_allclose(atlas.grid.spacing, 1.5)
        values = [level.value for level in atlas.levels]
        assert set(values) <= set(range(1, 29))
        places = [places_of(atlas, value) for value in values]
        heights = [one[:, 2].mean() for one in places]
        assert heights == sorted(heights, reverse=True), "from head to foot"
        # A vertebra's body is its widest part and lies in front; left and right are alike.
        lumbar = places[values.index(22)]
        assert (lumbar[:, 1] > (lumbar[:, 1].min() + lumbar[:, 1].max()) / 2).mean() > 0.5
        assert abs(lumbar[:, 0].mean() - (lumbar[:, 0].min() + lumbar[:, 0].max()) / 2) < 6


def test_each_says_where_it_comes_from_and_is_described(library: AtlasLibrary) -> None:
    text = (library.folder / "README.md").read_text(encoding="utf-8")
    for entry in library.entries().values():
        assert entry.source
        assert entry.licence == "Apache-2.0"
        assert entry.source in text or entry.source.startswith("synthetic")
    assert "model's output" in library.entries()["trunk-ct"].source
    seeds = [int(name.split("-")[1]) for name in library.names if name.startswith("synthetic-")]
    assert f"--phantoms {len(seeds)} --seed {seeds[0]}" in text


@pytest.mark.slow
def test_the_documented_seed_makes_the_bundled_spine(library: AtlasLibrary) -> None:
    from SAMSpineLib.training.atlases import phantom_atlas

    made, bundled = phantom_atlas(5), library.load("synthetic-5")
    there = sample_labels(made.labels, made.grid, bundled.grid)
    # Other processors round otherwise: a voxel here and there may differ.
    assert (there == bundled.labels).mean() > 0.999


@pytest.mark.realdata
def test_the_trunk_lies_where_its_mask_lies(library: AtlasLibrary, data_dir: Path) -> None:
    from SAMSpineLib.io.numbering import read_labels

    path = data_dir / "ct" / "ts_example" / "example_seg_all_ts-ids.nii.gz"
    mask = read_labels(path, spine_labels(), ids="totalsegmentator").volume
    atlas = library.load("trunk-ct")
    there = sample_labels(mask.array, mask.grid, atlas.grid)
    for value in (20, 21, 22, 23, 24):
        both = np.count_nonzero((there == value) & (atlas.labels == value))
        assert 2 * both / (np.count_nonzero(there == value) + np.count_nonzero(atlas.labels == value)) > 0.99
