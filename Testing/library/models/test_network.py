"""The sizes of the networks, and what goes through them."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import UNet

from SAMSpineLib.models.ct_sam3d.config import CONFIGS, PAPER, SMALL, TINY
from SAMSpineLib.models.ct_sam3d.network import CTSAM3D


@pytest.fixture(scope="module")
def paper() -> CTSAM3D:
    """Give the published size without memory behind it: only shapes flow through."""
    with torch.device("meta"):
        return CTSAM3D(PAPER)


@pytest.mark.parametrize(("part", "millions"), [("encoder", 36.94), ("decoder", 32.28), ("cross_patch", 4.81)])
def test_the_published_size_has_the_published_number_of_parameters(paper, part, millions):
    count = sum(parameter.numel() for parameter in getattr(paper, part).parameters())
    assert count == pytest.approx(millions * 1e6, rel=0.01)


def test_the_published_pyramid_and_answer_have_the_published_shapes(paper):
    pyramid = paper.encode(torch.zeros(1, 1, 64, 64, 64, device="meta"))
    assert [tuple(p.shape[1:3]) for p in pyramid] == [(128, 16), (128, 8), (128, 4), (256, 2)]
    logits, quality = paper.decode(pyramid, torch.zeros(1, 4, 64, 64, 64, device="meta"))
    assert logits.shape == (1, 2, 64, 64, 64)
    assert quality.shape == (1, 2)


@pytest.mark.parametrize("config", [SMALL, TINY], ids=["small", "tiny"])
def test_a_convolutional_pyramid_halves_from_full_size(config):
    network, n = CTSAM3D(config).eval(), config.patch
    with torch.inference_mode():
        pyramid = network.encode(torch.zeros(1, 1, n, n, n))
        logits, quality = network.decode(pyramid, torch.zeros(1, 4, n, n, n))
        heat = network.suggest(*[torch.zeros(1, 1, n, n, n)] * 3)
    assert [tuple(p.shape[1:]) for p in pyramid] == [
        (skip, *[n // 2**scale] * 3) for scale, skip in enumerate(config.skips)
    ]
    assert logits.shape == (1, 2, n, n, n)
    assert quality.shape == (1, 2)
    assert heat.shape == (1, 1, n, n, n)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
def test_a_patch_covers_96_millimetres_and_every_scale_divides_it(config):
    assert config.patch * config.spacing == 96
    assert config.patch % 2 ** (len(config.cross_patch) - 1) == 0


def test_the_cross_patch_prompter_is_the_published_unet():
    torch.manual_seed(1)
    ours = CTSAM3D(TINY).cross_patch
    published = UNet(3, 3, 1, (16, 32, 64, 128, 256), (2, 2, 2, 2), num_res_units=2, norm="INSTANCE")
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in CTSAM3D(PAPER).cross_patch.state_dict().items()}
    assert shapes == {name: value.shape for name, value in published.state_dict().items()}
    twin = UNet(3, 3, 1, TINY.cross_patch, (2,), num_res_units=2)
    twin.load_state_dict(ours.state_dict())
    image, mask, neighbour = torch.randn(3, 1, 1, 24, 24, 24)
    network = CTSAM3D(TINY)
    network.cross_patch.load_state_dict(ours.state_dict())
    network.eval()
    twin.eval()
    assert torch.equal(network.suggest(image, mask, neighbour), twin(torch.cat([image, mask, neighbour], dim=1)))


def test_one_patchs_answer_does_not_depend_on_the_rest_of_the_batch(tiny_network):
    images, prompts = torch.randn(3, 1, 24, 24, 24), torch.rand(3, 4, 24, 24, 24)
    with torch.inference_mode():
        together, qualities = tiny_network.decode(tiny_network.encode(images), prompts)
        alone, quality = tiny_network.decode(tiny_network.encode(images[1:2]), prompts[1:2])
    assert torch.allclose(together[1], alone[0], atol=1e-4)
    assert torch.allclose(qualities[1], quality[0], atol=1e-5)


def test_part_and_whole_are_two_answers(tiny_network):
    with torch.inference_mode():
        logits, _ = tiny_network.decode(
            tiny_network.encode(torch.randn(1, 1, 24, 24, 24)), torch.rand(1, 4, 24, 24, 24)
        )
    assert not torch.allclose(logits[:, 0], logits[:, 1])
