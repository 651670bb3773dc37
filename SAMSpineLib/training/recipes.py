"""What can be trained: one dataclass of settings for each model, by name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """What shapes any run; saved beside the weights. `model` names an entry of the `CONFIGS` of its network.

    The learning rate warms up, stays, and falls linearly to zero over the last `cooldown` of the steps, so that a run
    can be lengthened on resume. `only` names the part of the network that is taught, for example `ribs`, while the rest
    stays as it was; empty teaches all of it.
    """

    model: str
    steps: int
    batch: int
    learning_rate: float
    weight_decay: float = 1e-2
    warmup: int = 100
    cooldown: float = 0.75
    clip: float = 1.0
    average: float = 0.998
    phantoms: int = 100
    phantom_share: float = 0.5
    seed: int = 1
    checkpoint_minutes: float = 4.0
    only: str = ""


@dataclass(frozen=True)
class PromptRecipe(Recipe):
    """A network that answers prompts. `rounds` is the largest number of prompts simulated on one patch."""

    rounds: int = 6
    whole_share: float = 0.16
    cross_patch_share: float = 0.25


@dataclass(frozen=True)
class LocaliserRecipe(Recipe):
    """A network that finds the vertebrae. The shares of its losses make them about equal at the start."""

    heat_share: float = 10.0
    offset_share: float = 1.0
    level_share: float = 1.0
    rib_share: float = 1.0


@dataclass(frozen=True)
class SliceRecipe(Recipe):
    """A network that answers prompts on slices.

    `rounds` is the largest number of prompts simulated on one slice, `side` a slice's side in pixels, each of which is
    two by two of the network's. Weights do not depend on it: a first run on slices of half the side is four times as
    fast.
    """

    rounds: int = 5
    side: int = 256


@dataclass(frozen=True)
class MaskSamRecipe(Recipe):
    """A network that segments stacks of slices by itself, on a SAM that stays as it is.

    `sam` is that SAM, `direction` the one in which slices are cut, `depth` the most of them in a stack, `side` their
    side in pixels. Of what is learnt nothing depends on it: a first run at half the side is four times as fast.
    """

    sam: str = "sam-spine-tiny"
    direction: str = "sagittal"
    depth: int = 6
    side: int = 512


@dataclass(frozen=True)
class MaSamRecipe(Recipe):
    """A network that is prompted by atlases, slice by slice, on a SAM that stays as it is.

    `sam` is that SAM, `direction` the one in which slices are cut, `atlases` the most that prompt a slice, `side` its
    side in pixels. Of what is learnt nothing depends on it: a first run at half the side is four times as fast.
    """

    sam: str = "sam-spine-tiny"
    direction: str = "sagittal"
    atlases: int = 8
    side: int = 512


RECIPES: dict[str, Recipe] = {
    "ct-sam3d-small": PromptRecipe("ct-sam3d-small", steps=4800, batch=2, learning_rate=1e-3, phantom_share=0.45),
    "ct-sam3d-paper": PromptRecipe("ct-sam3d-paper", steps=100_000, batch=8, learning_rate=1e-4, clip=5.0),
    "ct-sam3d-smoke": PromptRecipe(
        "ct-sam3d-tiny", steps=12, batch=2, learning_rate=1.5e-3, phantoms=1, phantom_share=1.0, warmup=2, rounds=2
    ),
    "sam-spine-tiny": SliceRecipe(
        "sam-spine-tiny", steps=6000, batch=6, learning_rate=3e-4, phantoms=250, phantom_share=0.9, warmup=200
    ),
    "sam-spine-tiny-near": SliceRecipe(
        "sam-spine-tiny",
        steps=8000,
        batch=8,
        learning_rate=3e-4,
        phantoms=250,
        phantom_share=0.9,
        warmup=200,
        side=128,
    ),
    "sam-spine-smoke": SliceRecipe(
        "sam-spine-smoke",
        steps=12,
        batch=2,
        learning_rate=1.5e-3,
        phantoms=1,
        phantom_share=1.0,
        warmup=2,
        rounds=2,
        side=64,
    ),
    "masksam-small": MaskSamRecipe(
        "masksam-small", steps=4000, batch=1, learning_rate=1e-3, phantoms=250, phantom_share=0.7, warmup=200
    ),
    "masksam-small-near": MaskSamRecipe(
        "masksam-small",
        steps=8000,
        batch=1,
        learning_rate=2e-3,
        phantoms=250,
        phantom_share=0.7,
        warmup=200,
        side=256,
    ),
    "masksam-smoke": MaskSamRecipe(
        "masksam-smoke",
        steps=12,
        batch=1,
        learning_rate=1.5e-3,
        phantoms=1,
        phantom_share=1.0,
        warmup=2,
        depth=2,
        side=128,
    ),
    "ma-sam-small": MaSamRecipe(
        "ma-sam-small", steps=4000, batch=2, learning_rate=7e-4, phantoms=250, phantom_share=0.7, warmup=200
    ),
    "ma-sam-small-near": MaSamRecipe(
        "ma-sam-small",
        steps=8000,
        batch=4,
        learning_rate=1.5e-3,
        phantoms=250,
        phantom_share=0.7,
        warmup=100,
        side=256,
    ),
    "ma-sam-smoke": MaSamRecipe(
        "ma-sam-smoke",
        steps=12,
        batch=1,
        learning_rate=1.5e-3,
        phantoms=1,
        phantom_share=1.0,
        warmup=2,
        atlases=3,
        side=128,
    ),
    "localiser-small": LocaliserRecipe(
        "localiser-small", steps=3200, batch=1, learning_rate=1.5e-3, phantoms=130, phantom_share=0.75
    ),
    "localiser-smoke": LocaliserRecipe(
        "localiser-tiny", steps=12, batch=1, learning_rate=1.5e-3, phantoms=1, phantom_share=1.0, warmup=2
    ),
}
