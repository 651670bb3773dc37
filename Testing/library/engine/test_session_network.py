"""The session with a real network (random weights): what must hold whatever it answers."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.engine.session import Session
from SAMSpineLib.engine.settings import EngineSettings
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.prompts import Point
from SAMSpineLib.volume import Volume

torch = pytest.importorskip("torch", reason="needs torch")
L3 = spine_labels().by_name("L3")
CLICKS = [Point((0.0, 0.0, 0.0)), Point((9.0, -4.0, 6.0), positive=False), Point((-12.0, 8.0, 2.0))]


@pytest.fixture(scope="module")
def network():
    from SAMSpineLib.models.ct_sam3d.config import CONFIGS
    from SAMSpineLib.models.ct_sam3d.network import CTSAM3D
    from SAMSpineLib.models.ct_sam3d.promptable import CTSAM3DPromptable

    torch.manual_seed(0)
    return CTSAM3DPromptable(CTSAM3D(CONFIGS["ct-sam3d-tiny"]), name="ct-sam3d-tiny")


def clicked(network, volume, clicks=CLICKS):
    session = Session(network, EngineSettings(max_patches=3))
    session.set_volume(volume)
    session.select(L3)
    for click in clicks:
        session.add(click)
    return session


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, np.float64])
def test_volumes_of_any_type_are_read_and_left_alone(network, ct, dtype):
    array = np.clip(ct.array, 0, 255).astype(dtype)
    array.flags.writeable = False
    before = array.copy()
    session = clicked(network, Volume.from_array(array, ct.ijk_to_ras))
    assert session.result.any()
    assert np.array_equal(array, before)


def test_the_same_clicks_give_the_same_mask_bit_for_bit(network, ct):
    assert np.array_equal(clicked(network, ct).result, clicked(network, ct).result)


def test_a_removed_click_was_never_there_bit_for_bit(network, ct):
    session = clicked(network, ct)
    session.remove(CLICKS[1])
    assert np.array_equal(session.result, clicked(network, ct, [CLICKS[0], CLICKS[2]]).result)


def test_undo_and_redo_are_bit_for_bit(network, ct):
    session = clicked(network, ct, CLICKS[:1])
    one = session.result.copy()
    session.add(CLICKS[1])
    two = session.result.copy()
    session.undo()
    assert np.array_equal(session.result, one)
    session.redo()
    assert np.array_equal(session.result, two)


def test_a_volume_smaller_than_a_patch_is_segmented(network, ct):
    small = Volume.from_array(ct.array[18:22, 20:25, 24:25], ct.grid.crop((24, 24, 20, 24, 18, 21)).ijk_to_ras)
    session = clicked(network, small, CLICKS[:1])
    assert session.result[small.grid.voxel_at(CLICKS[0].ras)] == L3.value


def test_what_was_encoded_once_is_not_encoded_again(network, ct):
    session = clicked(network, ct, CLICKS[:2])
    count = session.cache.encoded_count
    session.remove(CLICKS[1])
    session.add(CLICKS[1])
    assert session.cache.encoded_count == count > 0
