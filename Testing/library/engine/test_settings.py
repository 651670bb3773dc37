"""What can be set does what it says."""

from __future__ import annotations

import dataclasses

import pytest

from SAMSpineLib.engine.session import Session
from SAMSpineLib.engine.settings import EngineSettings
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.prompts import Point


def test_settings_are_frozen_and_each_one_is_explained():
    with pytest.raises(dataclasses.FrozenInstanceError):
        EngineSettings().threshold = 0.4
    for field in dataclasses.fields(EngineSettings):
        assert f"{field.name}:" in EngineSettings.__doc__


def test_a_session_without_settings_has_the_defaults(fake):
    assert Session(fake()).settings == EngineSettings()


def test_the_threshold_decides_how_much_is_marked(open_session):
    def size(threshold):
        session = open_session(threshold=threshold)
        session.select(spine_labels().by_name("L3"))
        return session.add(Point((0.0, 0.0, 0.0))).mask.sum()

    assert size(0.2) > size(0.5) > size(0.8)


def test_a_touch_of_fewer_voxels_than_asked_is_not_followed(open_session, fake, shapes):
    def visited(face_voxels):
        model = fake([shapes["tube"]([(-40.0, 0.0, 0.0), (40.0, 0.0, 0.0)], 4.0)])
        session = open_session(model, face_voxels=face_voxels)
        session.select(spine_labels().by_name("L3"))
        return len(session.add(Point((0.0, 0.0, 0.0))).visited)

    assert visited(6) > 1
    assert visited(200) == 1
