"""What can be trained: one dataclass of settings for each model, by name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """All that shapes a run; saved beside the weights. `model` names an entry of `ct_sam3d.config.CONFIGS`.

    The learning rate warms up, stays, and falls linearly to zero over the last `cooldown` of the steps, so that a run
    can be lengthened on resume. `rounds` is the largest number of prompts simulated on one patch.
    """

    model: str
    steps: int = 4100
    batch: int = 2
    learning_rate: float = 1.5e-3
    weight_decay: float = 1e-2
    warmup: int = 100
    cooldown: float = 0.75
    clip: float = 1.0
    average: float = 0.998
    rounds: int = 5
    whole_share: float = 0.16
    cross_patch_every: int = 4
    phantoms: int = 100
    phantom_share: float = 0.5
    seed: int = 1
    checkpoint_minutes: float = 4.0


RECIPES = {
    "ct-sam3d-small": Recipe(model="ct-sam3d-small"),
    "ct-sam3d-paper": Recipe(model="ct-sam3d-paper", steps=100_000, batch=8, learning_rate=1e-4, clip=5.0),
    "ct-sam3d-smoke": Recipe(model="ct-sam3d-tiny", steps=12, phantoms=1, phantom_share=1.0, warmup=2, rounds=2),
}
