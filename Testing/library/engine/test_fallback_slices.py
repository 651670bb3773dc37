"""Memory runs out while slices are prompted and followed: the cache is emptied, then the CPU goes on where it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from SAMSpineLib.engine.fallback import WENT_TO_CPU, SturdyPromptable, SturdySlices, sturdy_session
from SAMSpineLib.engine.memory import CACHE_EMPTIED
from SAMSpineLib.engine.networks import Networks
from SAMSpineLib.errors import EngineError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.protocols import SlicePromptable
from SAMSpineLib.prompts import Point
from SAMSpineLib.stack import stack_along

from .conftest import FakeSlices, FakeTracker, ellipsoid

L3 = spine_labels().by_name("L3")
BONE = ellipsoid((3.0, 2.0, 1.0), (14.0, 11.0, 9.0))
IN_BONE = Point((3.4, 2.4, 1.4))
CUDA_FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


class FullTracker(FakeTracker):
    """Find no memory from its n-th step on."""

    def learn(self, index, encoded, masks, chosen):
        self.model.fail("learn")
        super().learn(index, encoded, masks, chosen)

    def follow(self, index, encoded, *, backwards):
        self.model.fail("follow")
        return super().follow(index, encoded, backwards=backwards)


class FullSlices(FakeSlices):
    """A GPU that finds no memory for one kind of question, after so many of them, so many times."""

    def __init__(self, at="", *, after=0, times=10**6, error=CUDA_FULL):
        super().__init__([BONE])
        self.at, self.after, self.times, self.error = at, after, times, error

    def fail(self, where):
        if where != self.at or not self.times:
            return
        if self.after:
            self.after -= 1
            return
        self.times -= 1
        raise self.error

    def encode(self, volume, grid):
        self.fail("encode")
        return super().encode(volume, grid)

    def offer(self, encoded, prompts, *, previous=None, label=0):
        self.fail("offer")
        return super().offer(encoded, prompts, previous=previous, label=label)

    def tracker(self, count):
        return FullTracker(self)


@pytest.fixture
def opened(ct):
    """Give a function that opens a session with a network on a GPU and one on the CPU."""

    def build(gpu, cpu, *, device="cuda"):
        notes = []
        networks = Networks(lambda where: cpu if where == "cpu" else gpu, lambda where: None, device=device)
        session, _ = sturdy_session(networks, notes.append)
        session.set_volume(ct)
        session.select(L3)
        return session, networks, notes

    return build


@pytest.fixture
def truth(open_session):
    session = open_session(FakeSlices([BONE]))
    session.select(L3)
    session.add(IN_BONE)
    session.propagate()
    return session.result


def test_what_is_sturdy_works_slice_by_slice_if_the_network_does(opened, fake):
    session, networks, notes = opened(FakeSlices(), FakeSlices())
    assert isinstance(session.model.slicewise, SturdySlices)
    assert isinstance(session.model.slicewise, SlicePromptable)
    cubes = SturdyPromptable(Networks(lambda _: fake(), lambda _: None), lambda: None, notes.append)
    assert cubes.slicewise is None
    with pytest.raises(TypeError, match="works slice by slice"):
        _ = SturdySlices(cubes.networks, lambda: None, notes.append).network


@pytest.mark.parametrize("at", ["encode", "offer", "learn", "follow"])
@pytest.mark.parametrize("error", [CUDA_FULL, MemoryError()], ids=["cuda", "python"])
def test_a_full_memory_is_helped_by_emptying_the_cache(at, error, opened, truth):
    session, networks, notes = opened(FullSlices(at, times=1, error=error), FakeSlices([BONE]))
    session.add(IN_BONE)
    session.propagate()
    np.testing.assert_array_equal(session.result, truth)
    assert notes == [CACHE_EMPTIED]
    assert networks.device == "cuda"


@pytest.mark.parametrize(("at", "after"), [("encode", 0), ("encode", 5), ("offer", 0), ("learn", 0), ("follow", 4)])
def test_where_that_does_not_help_the_cpu_goes_on_and_says_so(at, after, opened, truth):
    cpu = FakeSlices([BONE])
    session, networks, notes = opened(FullSlices(at, after=after), cpu)
    session.add(IN_BONE)
    session.propagate()
    np.testing.assert_array_equal(session.result, truth)
    assert notes == [CACHE_EMPTIED, WENT_TO_CPU]
    assert networks.device == "cpu"
    assert cpu.encoded


def test_a_tracker_that_begins_anew_knows_the_prompted_slice_and_the_one_seen_last(opened):
    gpu, cpu = FullSlices("follow", after=3), FakeSlices([BONE])
    session, _, _ = opened(gpu, cpu)
    session.add(IN_BONE)
    session.propagate()
    middle = stack_along(session.volume.grid).index_at(IN_BONE.ras)
    assert gpu.followed == [middle + 1, middle + 2, middle + 3]
    assert cpu.learnt[:2] == [(middle, 0), (middle + 3, 0)]
    assert cpu.followed[0] == middle + 4


def test_another_click_after_the_move_asks_the_cpu_about_what_it_has_encoded_itself(opened):
    gpu, cpu = FullSlices(), FakeSlices([BONE])
    session, networks, _ = opened(gpu, cpu)
    session.add(IN_BONE)
    networks.leave_gpu()
    session.add(Point((3.4, 6.4, 1.4), positive=False))
    assert len(gpu.asked) == len(cpu.asked) == len(cpu.encoded) == 1
    assert session.model.slicewise.mask_grid(session._reader.encoded(stack_along(session.volume.grid), 5)) is not None


def test_without_a_way_out_it_is_said_and_what_was_found_is_kept(opened):
    cpu = FullSlices("follow", after=2)
    session, _, _ = opened(cpu, cpu, device="cpu")
    session.add(IN_BONE)
    with pytest.raises(EngineError, match="not enough memory"):
        session.propagate()
    assert session.mask(L3.value).any(axis=(1, 2)).sum() == 3


def test_another_error_is_not_taken_for_a_full_memory(opened):
    session, _, notes = opened(FullSlices("follow", error=RuntimeError("shapes do not fit")), FakeSlices([BONE]))
    session.add(IN_BONE)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        session.propagate()
    assert notes == []


def test_the_memory_of_sam2_goes_on_on_the_cpu(opened, monkeypatch):
    pytest.importorskip("sam2", reason="needs the extra 'sam'")
    from SAMSpineLib.models.sam.config import OWN_CONFIGS
    from SAMSpineLib.models.sam.memory import SliceMemory
    from SAMSpineLib.models.sam.networks import build_sam2
    from SAMSpineLib.models.sam.promptable import SamPromptable
    from SAMSpineLib.models.sam.sam2_backbone import Sam2Backbone

    torch.manual_seed(0)
    network = build_sam2(OWN_CONFIGS["sam-spine-smoke"])
    with torch.no_grad():  # nothing ends by itself
        network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(9.0)
    gpu, cpu = (SamPromptable(Sam2Backbone(network), name=name) for name in ("gpu", "cpu"))
    session, networks, notes = opened(gpu, cpu)
    follow, steps = SliceMemory.follow, []

    def full(self, index, encoded, *, backwards):
        if self._model is gpu and len(steps) >= 5:
            raise CUDA_FULL
        steps.append((self._model.name, index))
        return follow(self, index, encoded, backwards=backwards)

    monkeypatch.setattr(SliceMemory, "follow", full)
    session.add(IN_BONE)
    session.propagate()
    assert notes == [CACHE_EMPTIED, WENT_TO_CPU]
    assert [name for name, _ in steps] == ["gpu"] * 5 + ["cpu"] * (len(steps) - 5)
    assert len({index for _, index in steps}) == len(steps) == session.volume.shape[0] - 1
