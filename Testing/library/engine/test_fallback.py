"""Memory runs out: the cache is emptied, then the CPU takes over, and the click is there all the same."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.engine.fallback import CACHE_EMPTIED, WENT_TO_CPU, Networks, SturdyLocaliser, SturdyPromptable
from SAMSpineLib.engine.session import Session
from SAMSpineLib.errors import EngineError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.prompts import Point

L3 = spine_labels().by_name("L3")
CUDA_FULL = RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.fixture
def forgetful(fake):
    """Give a kind of network that fails as often as it is told, in the way it is told."""

    class Forgetful(fake):
        def __init__(self, failures=0, error=CUDA_FULL, *, at="decode"):
            super().__init__()
            self.failures, self.error, self.at = failures, error, at

        def _fail(self, where):
            if self.failures and self.at == where:
                self.failures -= 1
                raise self.error

        def encode(self, volume, grid):
            self._fail("encode")
            return super().encode(volume, grid)

        def decode(self, *words, **named):
            self._fail("decode")
            return super().decode(*words, **named)

    return Forgetful


@pytest.fixture
def clicked(ct):
    """Give a function that clicks with networks of each device; return session, notes and how often the cache went."""

    def click(gpu, cpu, *, device="cuda"):
        notes, emptied = [], []
        networks = Networks(lambda where: cpu if where == "cpu" else gpu, lambda where: None, device=device)
        session = Session(SturdyPromptable(networks, lambda: emptied.append(session.cache.clear()), notes.append))
        session.set_volume(ct)
        session.select(L3)
        session.add(Point((0.0, 0.0, 0.0)))
        return session, networks, notes, len(emptied)

    return click


@pytest.fixture
def truth(fake, open_session):
    session = open_session(fake())
    session.select(L3)
    session.add(Point((0.0, 0.0, 0.0)))
    return session.result


@pytest.mark.parametrize("at", ["encode", "decode"])
@pytest.mark.parametrize("error", [CUDA_FULL, MemoryError()], ids=["cuda", "python"])
def test_a_full_memory_is_helped_by_emptying_the_cache(at, error, clicked, forgetful, fake, truth):
    session, networks, notes, emptied = clicked(forgetful(1, error, at=at), fake())
    np.testing.assert_array_equal(session.result, truth)
    assert notes == [CACHE_EMPTIED]
    assert emptied == 1
    assert networks.device == "cuda"


@pytest.mark.parametrize("at", ["encode", "decode"])
def test_where_that_does_not_help_the_cpu_takes_over_and_says_so(at, clicked, forgetful, fake, truth):
    cpu = fake()
    session, networks, notes, _ = clicked(forgetful(100, at=at), cpu)
    np.testing.assert_array_equal(session.result, truth)
    assert notes == [CACHE_EMPTIED, WENT_TO_CPU]
    assert networks.device == "cpu"
    assert len(cpu.encoded) >= 1
    session.add(Point((0.0, 0.0, 8.0)))
    assert len(notes) == 2


def test_what_the_gpu_had_encoded_is_encoded_again_for_the_cpu(clicked, forgetful, fake):
    gpu, cpu = forgetful(0), fake()
    session, networks, _, _ = clicked(gpu, cpu)
    networks.leave_gpu()
    session.add(Point((2.0, 0.0, 0.0)))
    assert len(cpu.encoded) >= 1
    assert len(cpu.decoded) >= 1


def test_without_a_way_out_it_is_said_and_nothing_is_changed(ct, forgetful):
    model = forgetful(100)
    networks = Networks(lambda _: model, lambda _: None)
    session = Session(SturdyPromptable(networks, lambda: None, lambda _: None))
    session.set_volume(ct)
    session.select(L3)
    with pytest.raises(EngineError, match="not enough memory"):
        session.add(Point((0.0, 0.0, 0.0)))
    assert not session.result.any()
    assert session.prompts == ()


def test_another_error_is_not_taken_for_a_full_memory(clicked, forgetful, fake):
    with pytest.raises(RuntimeError, match="shapes"):
        clicked(forgetful(1, RuntimeError("shapes do not match")), fake())


def test_the_localiser_survives_a_full_memory_too(ct):
    class Full:
        def localise(self, volume, *, progress=None):
            raise CUDA_FULL

    class Roomy:
        def localise(self, volume, *, progress=None):
            return "found"

    notes = []
    networks = Networks(lambda _: None, lambda where: Roomy() if where == "cpu" else Full(), device="cuda")
    assert SturdyLocaliser(networks, lambda: None, notes.append).localise(ct) == "found"
    assert notes == [CACHE_EMPTIED, WENT_TO_CPU]
