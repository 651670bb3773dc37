"""What a scanner does to Hounsfield units, measured where the answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np

from SAMSpineLib.training.synthetic.bone import Skeleton
from SAMSpineLib.training.synthetic.ct_physics import Scanner, scan
from SAMSpineLib.volume import Grid

SHAPE = (32, 48, 48)
MIDDLE = (16, 24, 24)
GRID = Grid.centred_on((0.0, 0.0, 0.0), shape=SHAPE, spacing=1.0)


def scanned(hounsfield: np.ndarray, scanner: Scanner, *, metal: np.ndarray | None = None) -> np.ndarray:
    far, none = np.full(SHAPE, 50.0, np.float32), np.zeros(SHAPE, np.uint8)
    fields: dict[str, Any] = dict.fromkeys(("distance", "canal", "cord", "plate", "arch", "relief"), far)
    skeleton = Skeleton(
        grid=GRID, owner=none, labels=none, metal=far if metal is None else metal, warp=None, **fields
    )  # fmt: skip
    image = scan(np.random.default_rng(0), hounsfield.astype(np.float32), skeleton, scanner)
    assert image.dtype == np.int16
    return image.astype(float)


def wall(axis: int, low: float = 40.0, high: float = 800.0) -> np.ndarray:
    """Half of the field is bone, beginning at the middle of an axis (K, J, I)."""
    field = np.full(SHAPE, low)
    np.moveaxis(field, axis, 0)[MIDDLE[axis] :] = high
    return field


def edge_width(image: np.ndarray, axis: int) -> float:
    """Return how many voxels lie between a tenth and nine tenths of an edge's height."""
    centre = tuple(slice(None) if n == axis else MIDDLE[n] for n in range(3))
    profile = image[centre]
    share = (profile - profile[0]) / (profile[-1] - profile[0])
    return float(((share > 0.1) & (share < 0.9)).sum())


def test_thick_slices_blur_along_the_patient_and_not_across() -> None:
    thick = Scanner(blur=0.3, thickness=5.0)
    assert edge_width(scanned(wall(0), thick), 0) >= edge_width(scanned(wall(0), Scanner(blur=0.3)), 0) + 2
    assert edge_width(scanned(wall(2), thick), 2) == edge_width(scanned(wall(2), Scanner(blur=0.3)), 2)


def test_a_soft_kernel_blurs_and_a_sharp_one_overshoots() -> None:
    soft, sharp = scanned(wall(2), Scanner(blur=1.5)), scanned(wall(2), Scanner(blur=0.3, overshoot=0.8))
    assert edge_width(soft, 2) > edge_width(sharp, 2)
    assert soft.max() <= 801
    assert sharp.max() > 850
    assert sharp.min() < 0


def test_noise_is_as_strong_as_asked_and_coarser_with_a_soft_kernel() -> None:
    def neighbours(image: np.ndarray) -> float:
        return float(np.corrcoef(image[..., 1:].ravel(), image[..., :-1].ravel())[0, 1])

    water = np.zeros(SHAPE)
    fine, coarse = (scanned(water, Scanner(noise=30.0, grain=grain)) for grain in (0.3, 1.5))
    for image in (fine, coarse):
        assert 20 < image.std() < 40
        assert abs(image.mean()) < 5
    assert neighbours(coarse) > neighbours(fine) + 0.3
    assert scanned(water, Scanner()).std() == 0


def test_beam_hardening_bends_the_field_by_its_depth() -> None:
    image = scanned(np.zeros(SHAPE), Scanner(noise=1.0, cupping=20.0)).mean(axis=0)
    middle, corners = image[22:26, 22:26].mean(), image[[0, 0, -1, -1], [0, -1, 0, -1]].mean()
    assert 35 < corners - middle < 45


def test_streaks_run_from_left_to_right() -> None:
    image = scanned(np.zeros(SHAPE), Scanner(noise=1.0, streaks=20.0))
    along, down = np.abs(np.diff(image, axis=2)).mean(), np.abs(np.diff(image, axis=1)).mean()
    assert down > 2 * along


def test_metal_throws_dark_and_bright_rays_into_its_own_slices_only() -> None:
    metal = np.full(SHAPE, 50.0, np.float32)
    metal[10:13, 22:26, 22:26] = -1.0
    image = scanned(np.full(SHAPE, 40.0), Scanner(), metal=metal)
    near = image[11, 10:38, 10:38]
    assert near.max() > 70
    assert near.min() < 10
    assert (image[:10] == 40).all()
    assert (image[13:] == 40).all()


def test_a_miscalibrated_scanner_shifts_everything_and_scales_bone() -> None:
    image = scanned(wall(2), Scanner(offset=10.0, gain=1.1))
    assert image[16, 24, 5] == 50
    assert image[16, 24, 45] == 890


def test_a_round_field_is_padded_and_no_value_leaves_the_range_of_ct() -> None:
    image = scanned(wall(1, low=-3000.0, high=9000.0), Scanner(circle=True))
    assert image[16, 47, 47] == -1024
    assert image[16, 40, 24] == 3071
    assert (image.min(), image.max()) == (-1024, 3071)


def test_protocols_differ_in_everything_that_matters_to_a_network() -> None:
    rng = np.random.default_rng(0)
    drawn = [Scanner.draw(rng, clean=False) for _ in range(200)]
    assert {one.thickness for one in drawn} == {0.8, 1.0, 1.5, 2.0, 3.0, 5.0}
    for name in ("blur", "overshoot", "noise", "grain", "cupping", "streaks", "offset", "gain"):
        assert len({getattr(one, name) for one in drawn}) > 20, name
    assert {one.circle for one in drawn} == {False, True}
    assert Scanner.draw(rng, clean=True) == Scanner()
