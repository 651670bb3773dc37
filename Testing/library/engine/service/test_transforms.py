"""Transforms of atlases are fetched from the engine that computed them, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.atlas.atlas import Atlas
from SAMSpineLib.engine.autonomous.fits import AtlasFit
from SAMSpineLib.engine.autonomous.pipeline import segment_spine
from SAMSpineLib.errors import EngineError
from SAMSpineLib.volume import Grid


@pytest.fixture(scope="module")
def atlas(oracle) -> Atlas:
    """Give three balls as the localiser sees them, a little further to the front."""
    seen = oracle().localisation
    matrix = seen.grid.ijk_to_ras.copy()
    matrix[1, 3] += 15.0
    levels = seen.levels.argmax(axis=0).repeat(2, 0).repeat(2, 1).repeat(2, 2)
    k, j, i = seen.grid.shape
    labels = np.where(seen.bone > 0.5, levels[:k, :j, :i] + 1, 0).astype(np.uint8)
    return Atlas("balls", labels, Grid(seen.grid.shape, matrix))


@pytest.fixture(scope="module")
def truth(fake, oracle, atlas, open_session):
    """Give the result of a run in this process."""
    return segment_spine(open_session(fake()), oracle(), method="atlas", atlases=[atlas])


def test_they_lead_to_where_the_level_lies_in_the_atlas(truth):
    assert len(truth.fits) >= 3
    centres = {level.value: level.centre for level in truth.levels}
    for fit in truth.fits:
        if fit.atlas == "balls":
            assert fit.quality > 0.8
            found = fit.sampled()
            assert found.displacement.shape == (*found.grid.shape, 3)
            k, j, i = found.grid.voxel_at(centres[fit.value])
            assert np.linalg.norm(found.displacement[k, j, i] - (0.0, 15.0, 0.0)) < 4


def test_they_are_fetched_as_they_are_in_this_process(serve, fake, truth, atlas, ct, outside_of):
    with serve(fake()) as engine:
        engine.hosting.atlases = lambda: (atlas,)
        session = engine.session()
        session.set_volume(ct)
        result = session.segment_spine(method="atlas")
        assert [(one.atlas, one.value) for one in result.fits] == [(one.atlas, one.value) for one in truth.fits]
        fetched = session.transforms(result)
        for mine, theirs in zip(truth.fits, fetched, strict=True):
            expected = mine.sampled()
            assert (theirs.atlas, theirs.value) == (expected.atlas, expected.value)
            assert theirs.grid.same_place(expected.grid)
            np.testing.assert_array_equal(theirs.displacement, expected.displacement)
        refused = outside_of(engine, session, len(fetched))
        assert refused.status_code == 409
        assert f"{len(fetched)} transforms" in refused.json()["error"]["message"]
        assert session.segment_spine().fits == ()
        with pytest.raises(EngineError, match="0 transforms"):
            session.transforms(result)


@pytest.fixture
def outside_of(visitor):
    """Give a function that asks an engine for a transform of a session by its number."""

    def ask(engine, session, number):
        return visitor(engine)("GET", f"/sessions/{session.mirror._open_state.session}/transforms/{number}")

    return ask


def test_a_fit_without_its_transform_says_whom_to_ask():
    with pytest.raises(EngineError, match="ask that one"):
        AtlasFit("balls", 22, 0.9).sampled()
