"""Architecture and size, told from the shapes of the reference implementations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sam2.build_sam import build_sam2
from segment_anything import sam_model_registry

from SAMSpineLib.errors import ModelError
from SAMSpineLib.models.registry import releases
from SAMSpineLib.models.store.recognition import SAM2_SIZES, SAM_SIZES, Recognised, recognise

SAM2_CONFIGS = {"tiny": "t", "small": "s", "base-plus": "b+", "large": "l"}


def shapes_of(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def sam_shapes(size: str) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return shapes_of(sam_model_registry[size]())


@pytest.fixture
def sam2_shapes(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a function that returns the shapes of a SAM 2, which need no numbers drawn."""
    for name in ("kaiming_uniform_", "uniform_", "normal_", "trunc_normal_", "xavier_uniform_"):
        monkeypatch.setattr(torch.nn.init, name, lambda tensor, *_, **__: tensor)
    return lambda version, size: shapes_of(
        build_sam2(f"configs/sam{version}/sam{version}_hiera_{SAM2_CONFIGS[size]}.yaml", None, device="cpu")
    )


@pytest.mark.parametrize("size", ["vit_b", "vit_l", "vit_h"])
def test_every_size_of_sam_is_recognised(size: str) -> None:
    assert recognise(sam_shapes(size)) == Recognised(f"sam-{size.replace('_', '-')}", 1024)


@pytest.mark.parametrize("version", ["2", "2.1"])
@pytest.mark.parametrize("size", SAM2_CONFIGS)
def test_every_size_of_sam2_is_recognised(version: str, size: str, sam2_shapes: Any) -> None:
    assert recognise(sam2_shapes(version, size)) == Recognised(f"sam{version}-{size}", None)


def test_a_sam_tuned_on_smaller_images_says_so_with_its_positions() -> None:
    shapes = sam_shapes("vit_b") | {"image_encoder.pos_embed": (1, 32, 32, 768)}
    assert recognise(shapes).image_size == 512


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda shapes: {}, "neither .* nor .*, but no tensor at all"),
        (lambda shapes: {"layer1.weight": (3, 3)}, "but layer1.weight"),
        (
            lambda shapes: {k: v for k, v in shapes.items() if k.startswith("image_enc")},
            "no prompt_encoder and no mask",
        ),
        (lambda shapes: shapes | {"image_encoder.adapter.weight": (1,)}, "315 tensors, expected 314.*adapters"),
        (lambda shapes: dict(list(shapes.items())[1:]), "neither|313 tensors"),
        (
            lambda shapes: shapes | {"image_encoder.patch_embed.proj.weight": (384, 3, 16, 16)},
            "384 channels and 12 blocks; known are sam-vit-b: 768 and 12, sam-vit-l",
        ),
        (lambda shapes: {k: v for k, v in shapes.items() if ".blocks.11." not in k}, "768 channels and 11 blocks"),
    ],
)
def test_what_is_not_a_whole_sam_is_refused_with_what_was_expected(change: Any, expected: str) -> None:
    with pytest.raises(ModelError, match=expected):
        recognise(change(sam_shapes("vit_b")))


def test_half_of_what_makes_a_sam2_a_21_is_refused(sam2_shapes: Any) -> None:
    shapes = sam2_shapes("2.1", "tiny")
    del shapes["no_obj_embed_spatial"]
    with pytest.raises(ModelError, match=r"sam2\.1-tiny, but 470 tensors, expected 471"):
        recognise(shapes)


def test_an_unknown_size_of_sam2_is_refused_with_the_known_ones(sam2_shapes: Any) -> None:
    shapes = sam2_shapes("2.1", "tiny") | {"image_encoder.trunk.patch_embed.proj.weight": (64, 3, 7, 7)}
    with pytest.raises(ModelError, match="size of SAM 2 .*64 channels and 12 blocks; known are tiny: 96 and"):
        recognise(shapes)


def test_every_published_checkpoint_is_of_a_network_that_is_recognised() -> None:
    known = {*SAM_SIZES.values(), *(f"sam{version}-{size}" for version in ("2", "2.1") for size in SAM2_SIZES.values())}
    assert {release.architecture for release in releases().values()} == known
