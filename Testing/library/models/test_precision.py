"""Precision changes what a network computes with, and next to nothing of what it finds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from SAMSpineLib.cli.serve import build_networks
from SAMSpineLib.engine.settings import EngineSettings
from SAMSpineLib.errors import ModelError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.build import build_localiser, build_promptable
from SAMSpineLib.models.ct_sam3d.promptable import CTSAM3DPromptable
from SAMSpineLib.models.precision import COMPILE, casting, compiled
from SAMSpineLib.prompts import Point
from SAMSpineLib.training.synthetic.phantom import make_phantom
from SAMSpineLib.training.synthetic.settings import PhantomSettings


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(1, PhantomSettings.small())


def inside(phantom, name):
    """Return a place (RAS mm) in a vertebral body: the middle of its voxels, moved to the nearest of them."""
    kji = np.argwhere(phantom.labels.array == spine_labels().by_name(name).value)
    k, j, i = kji[np.linalg.norm(kji - kji.mean(axis=0), axis=1).argmin()]
    return tuple(phantom.labels.grid.to_ras([i, j, k]).tolist())


def answer_of(model, phantom, place):
    patch = model.encode(phantom.image, model.grid_at(place, phantom.image))
    return patch, model.decode(patch, [Point(place)])


def test_float32_and_auto_are_bit_for_bit_what_the_network_says_without_a_word_of_precision(phantom):
    place = inside(phantom, "L3")
    model = build_promptable()
    patch, plain = answer_of(model, phantom, place)
    with torch.inference_mode():
        pyramid = model.network.encode(patch.image)
    for asked in ("auto", "float32"):
        found, answer = answer_of(build_promptable(precision=asked), phantom, place)
        assert all(torch.equal(a, b) for a, b in zip(found.pyramid, pyramid, strict=True))
        np.testing.assert_array_equal(answer.probability, plain.probability)
        assert answer.quality == plain.quality


def test_bfloat16_is_what_is_computed_in_and_the_mask_stays(phantom):
    place = inside(phantom, "L3")
    (wide, expected), (narrow, found) = (
        answer_of(build_promptable(precision=asked), phantom, place) for asked in ("float32", "bfloat16")
    )
    assert {part.dtype for part in narrow.pyramid} == {torch.bfloat16}
    assert narrow.nbytes < 0.6 * wide.nbytes
    assert found.probability.dtype == np.float32
    assert not np.array_equal(found.probability, expected.probability)
    a, b = expected.probability > 0.5, found.probability > 0.5
    assert a.sum() > 500
    assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.98
    assert found.quality == pytest.approx(expected.quality, abs=0.02)


def test_the_cross_patch_prompter_and_the_localiser_follow(phantom):
    model = build_promptable(precision="bfloat16")
    place = inside(phantom, "L3")
    patch, answer = answer_of(model, phantom, place)
    heat = model.suggest(patch, answer.probability > 0.5, patch)
    assert heat.dtype == np.float32
    assert np.isfinite(heat).all()
    wide, narrow = (build_localiser(precision=asked).localise(phantom.image) for asked in ("float32", "bfloat16"))
    assert not np.array_equal(wide.bone, narrow.bone)
    a, b = wide.bone > 0.5, narrow.bone > 0.5
    assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.98
    assert np.abs(wide.heat - narrow.heat).max() < 0.1


@pytest.mark.parametrize(
    ("precision", "device", "said"),
    [
        ("float16", "cpu", "float16 needs a CUDA device"),
        ("bfloat16", "meta", "does not compute in bfloat16"),
    ],
)
def test_what_a_device_cannot_do_is_refused(precision, device, said):
    with pytest.raises(ModelError, match=said):
        casting(precision, device)


def test_an_older_gpu_has_no_bfloat16_but_float16(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    with pytest.raises(ModelError, match="choose float32, or float16 on a CUDA device"):
        casting("bfloat16", "cuda:0")
    assert casting("float16", "cuda:0").args == ("cuda", torch.float16)


def test_a_network_refuses_before_anything_is_computed(tiny_network):
    with pytest.raises(ModelError, match="float16"):
        CTSAM3DPromptable(tiny_network, name="tiny", precision="float16")


def test_a_cpu_that_helps_out_computes_in_float32(monkeypatch):
    asked = []
    for kind in ("promptable", "localiser"):
        monkeypatch.setattr(f"SAMSpineLib.models.build.build_{kind}", lambda *_, **words: asked.append(words) or words)
    networks = build_networks("ct-sam3d-small", None, None, "cuda", EngineSettings(precision="float16"))
    assert (networks.promptable["device"], networks.promptable["precision"]) == ("cuda", "float16")
    networks.leave_gpu()
    assert (networks.localiser["device"], networks.localiser["precision"]) == ("cpu", "auto")


@pytest.mark.parametrize(
    ("precision", "device", "asked", "expected"),
    [
        ("bfloat16", "cuda", "1", True),
        ("float16", "cuda:1", "1", True),
        ("bfloat16", "cuda", "", False),
        ("float32", "cuda", "1", False),
        ("auto", "cuda", "1", False),
        ("bfloat16", "cpu", "1", False),
    ],
)
def test_an_encoder_is_compiled_in_half_precision_on_a_gpu_where_that_was_asked_for(
    precision, device, asked, expected, monkeypatch
):
    monkeypatch.setenv(COMPILE, asked)
    monkeypatch.setattr(torch, "compile", lambda encoder: ("compiled", encoder))
    assert compiled(abs, precision, device) == (("compiled", abs) if expected else abs)
