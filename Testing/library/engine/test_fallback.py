"""Memory runs out: the cache is emptied, then the CPU takes over, and the click is there all the same."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from SAMSpineLib.engine.autonomous.pipeline import segment_spine
from SAMSpineLib.engine.fallback import SMALLER_BATCHES, WENT_TO_CPU, SturdyEyes, SturdyPromptable, sturdy_session
from SAMSpineLib.engine.memory import CACHE_EMPTIED, is_out_of_memory
from SAMSpineLib.engine.networks import Networks
from SAMSpineLib.engine.session import Session
from SAMSpineLib.errors import EngineError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.localiser.config import TINY
from SAMSpineLib.models.localiser.localiser import VolumeLocaliser
from SAMSpineLib.models.localiser.network import LocaliserMaps
from SAMSpineLib.prompts import Point
from SAMSpineLib.volume import Volume

L2, L3 = (spine_labels().by_name(name) for name in ("L2", "L3"))
CUDA_FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


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
    assert SturdyEyes(networks, lambda: None, notes.append).localise(ct) == "found"
    assert notes == [CACHE_EMPTIED, WENT_TO_CPU]


class Narrow(torch.nn.Module):
    """A network whose memory holds so many windows; it remembers what it was asked, and sees bone everywhere."""

    config = TINY

    def __init__(self, most):
        super().__init__()
        self.most, self.asked = most, []

    def forward(self, image):
        self.asked.append(len(image))
        if len(image) > self.most:
            msg = "Tried to allocate 2.00 GiB"
            raise torch.OutOfMemoryError(msg)
        halves = image[..., ::2, ::2, ::2]
        offsets, levels = image.repeat(1, 3, 1, 1, 1), halves.repeat(1, 25, 1, 1, 1)
        return LocaliserMaps(image.clone(), image.clone(), offsets, image.clone(), levels)


@pytest.fixture(scope="module")
def tall():
    """A volume that the tiny localiser looks at through several windows."""
    return Volume.from_array(np.random.default_rng(0).integers(-200, 900, (200, 60, 60)), np.diag([4.0, 4.0, 4.0, 1.0]))


def in_batches(gpu, cpu, *, batch_size=8):
    """Return networks whose localiser is a narrow one on the GPU and another on the CPU."""
    return Networks(
        lambda _: None,
        lambda where: VolumeLocaliser(cpu if where == "cpu" else gpu, name="narrow"),
        device="cuda",
        batch_size=batch_size,
    )


def test_batches_are_halved_before_the_gpu_is_left(tall):
    gpu, cpu, notes = Narrow(2), Narrow(1), []
    networks = in_batches(gpu, cpu)
    found = SturdyEyes(networks, lambda: None, notes.append).localise(tall)
    assert notes == [CACHE_EMPTIED, SMALLER_BATCHES.format(count=4), SMALLER_BATCHES.format(count=2)]
    assert gpu.asked[:4] == [8, 8, 4, 2]
    assert cpu.asked == []
    assert networks.device == "cuda"
    alone = VolumeLocaliser(Narrow(1), name="narrow").localise(tall)
    np.testing.assert_array_equal(found.heat, alone.heat)
    gpu.asked.clear()
    SturdyEyes(networks, lambda: None, notes.append).localise(tall)
    assert gpu.asked[0] == 2
    assert len(notes) == 3


def test_where_one_window_is_too_much_the_cpu_takes_one_after_the_other(tall):
    gpu, cpu, notes = Narrow(0), Narrow(1), []
    networks = in_batches(gpu, cpu)
    SturdyEyes(networks, lambda: None, notes.append).localise(tall)
    assert notes[-2:] == [SMALLER_BATCHES.format(count=1), WENT_TO_CPU]
    assert set(cpu.asked) == {1}
    assert networks.device == "cpu"


def test_an_autonomous_run_in_this_process_goes_on_in_smaller_batches(tall, fake):
    gpu, notes = Narrow(1), []
    networks = Networks(
        lambda _: fake(), lambda _: VolumeLocaliser(gpu, name="narrow"), device="cuda", batch_size=4
    )  # fmt: skip
    session, localiser = sturdy_session(networks, notes.append)
    session.set_volume(tall)
    session.select(L3)
    session.add(Point((0.0, 0.0, 0.0)))
    before = session.mask(L3.value)
    assert segment_spine(session, localiser).message
    assert notes == [CACHE_EMPTIED, *(SMALLER_BATCHES.format(count=count) for count in (2, 1))]
    assert gpu.asked[-1] == 1
    np.testing.assert_array_equal(session.mask(L3.value), before)


def test_a_device_to_be_found_is_found_once_and_a_cpu_is_not_left():
    asked = []

    def find(word):
        asked.append(word)
        return "cpu"

    networks = Networks(lambda where: where, lambda where: where, device="auto", find_device=find)
    assert networks.promptable == networks.localiser == networks.device == "cpu"
    assert asked[0] == "auto"
    assert not networks.leave_gpu()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("Tried to allocate"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_errors_about_memory_are_told_from_others(error, expected):
    assert is_out_of_memory(error) == expected


# Memory may run out beside the networks, too: these are the places where a step needs most of it.
PLACES = ["patches.merge", "patches.painted", "session.Step", "patches.settled_border"]


@pytest.fixture
def clicked_once(open_session):
    session = open_session()
    session.select(L3)
    session.add(Point((0.0, 0.0, 0.0)))
    return session


def full(monkeypatch, place, times):
    """Let a function that the session calls find no memory, so many times."""
    module, _, name = place.partition(".")
    whole, left = getattr(sys.modules[f"SAMSpineLib.engine.{module}"], name), [times]

    def asked(*words, **named):
        if left[0]:
            left[0] -= 1
            raise MemoryError
        return whole(*words, **named)

    monkeypatch.setattr(f"SAMSpineLib.engine.{place}", asked)


@pytest.mark.parametrize("place", PLACES)
def test_a_step_beside_the_network_is_tried_again_with_the_cache_emptied(
    place, clicked_once, open_session, monkeypatch
):
    truth = open_session()
    for label, where in ((L3, (0.0, 0.0, 0.0)), (L3, (20.0, 0.0, 4.0)), (L2, (0.0, 0.0, 24.0))):
        truth.select(label)
        truth.add(Point(where))
    notes = []
    clicked_once._notify = notes.append
    full(monkeypatch, place, 1)
    clicked_once.add(Point((20.0, 0.0, 4.0)))
    clicked_once.select(L2)
    clicked_once.add(Point((0.0, 0.0, 24.0)))
    np.testing.assert_array_equal(clicked_once.result, truth.result)
    assert notes == [CACHE_EMPTIED]


@pytest.mark.parametrize("place", PLACES)
def test_where_that_is_not_enough_all_is_as_before_and_goes_on_when_there_is_room(place, clicked_once, monkeypatch):
    before, prompts = clicked_once.result.copy(), clicked_once.prompts
    with monkeypatch.context() as patch:
        full(patch, place, 10**6)
        with pytest.raises(EngineError, match="not enough memory"):
            clicked_once.add(Point((20.0, 0.0, 4.0)))
        assert clicked_once.prompts == prompts
        np.testing.assert_array_equal(clicked_once.result, before)
    assert clicked_once.add(Point((20.0, 0.0, 4.0))).mask.any()
    clicked_once.undo()
    np.testing.assert_array_equal(clicked_once.result, before)


@pytest.mark.parametrize("step", ["undo", "redo"])
def test_an_undo_that_finds_no_memory_has_not_happened(step, clicked_once, monkeypatch):
    if step == "redo":
        clicked_once.undo()
    before = clicked_once.result.copy()
    with monkeypatch.context() as patch:
        full(patch, "session.restoring", 2)
        with pytest.raises(EngineError, match="not enough memory"):
            getattr(clicked_once, step)()
    np.testing.assert_array_equal(clicked_once.result, before)
    assert not getattr(clicked_once, step)().is_empty
    assert (clicked_once.result != before).any()


def test_what_many_labels_had_finished_stays_when_memory_ends(clicked_once, monkeypatch):
    before = clicked_once.mask(L3.value)
    calls = []

    def answered(state, prompt):
        calls.append(prompt)
        if len(calls) > 1:
            raise MemoryError
        return whole(state, prompt)

    whole = clicked_once._answered
    monkeypatch.setattr(clicked_once, "_answered", answered)
    l1 = spine_labels().by_name("L1")
    with pytest.raises(EngineError, match="not enough memory"):
        clicked_once.add_all({L2: [Point((0.0, 0.0, 24.0))], l1: [Point((20.0, 10.0, -12.0))]})
    assert clicked_once.mask(L2.value).any()
    assert not clicked_once.mask(l1.value).any()
    np.testing.assert_array_equal(clicked_once.mask(L3.value), before)
