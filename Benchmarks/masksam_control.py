"""The control of MaskSAM: a MONAI U-Net that is trained on the same stacks for the same time, and used the same way.

`python -m Benchmarks.masksam_control MANIFEST --phantoms FOLDER --seconds N --data ../shared/data [--weights FILE]`
trains the U-Net, runs it and MaskSAM on all labelled scans, and prints one JSON object. The U-Net takes MaskSAM's place
in its `Prompter`, one query for each class: stacks, tracks and names are the same, only the network is another. Each is
measured under the names of the chain, as autonomous mode has them, and under its own.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import process_time
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from monai.networks.nets import UNet
from torch import Tensor, nn
from torch.nn import functional as F

from Benchmarks.table import SCANS, scores_of
from Benchmarks.unet_control import CHANNELS, RATE, WEIGHT_DECAY, turns
from SAMSpineLib.engine.autonomous.track_names import ChainNames
from SAMSpineLib.models.build import build_backbone, build_segmenter
from SAMSpineLib.models.masksam.config import CONFIGS
from SAMSpineLib.models.masksam.network import StackAnswer
from SAMSpineLib.models.masksam.prompt_generator import StackPrompts
from SAMSpineLib.models.masksam.prompter import MASK_STRIDE, MaskSamPrompter
from SAMSpineLib.models.sam2rad.segmenter import NORMALS
from SAMSpineLib.training.cases import Case
from SAMSpineLib.training.ma_sam.losses import ClassLoss
from SAMSpineLib.training.masksam.stacks import ShownStack, StackSampler
from SAMSpineLib.training.preparation import prepare_cases
from SAMSpineLib.training.recipes import RECIPES, MaskSamRecipe

# Logit of a class that is no longer in question.
SURE = 30.0


class StackUNet(nn.Module):
    """A U-Net over stacks: pictures (B, D, S, S; 0..255) in, masks of a quarter of their resolution out."""

    def __init__(self, classes: int, side: int) -> None:
        """Build for so many classes, background apart, and slices of so many pixels."""
        super().__init__()
        steps = [(1, 2, 2)] * (len(CHANNELS) - 1)
        self.unet = UNet(3, 1, classes + 1, CHANNELS, steps, num_res_units=2)
        self.sam = SimpleNamespace(image_size=side)

    def logits(self, pictures: Tensor) -> Tensor:
        """Return logits (B, classes + 1, D, S/4, S/4); the first one is background."""
        return F.avg_pool3d(self.unet(pictures[:, None].float() / 255), (1, MASK_STRIDE, MASK_STRIDE))

    def forward(self, pictures: Tensor) -> StackAnswer:
        """Answer as MaskSAM would that had a query for each class, sure of it."""
        masks = self.logits(pictures).float().softmax(dim=1)[:, 1:].logit(eps=1e-6)
        classes = masks.shape[1]
        kinds = (SURE * torch.eye(classes, classes + 1)).expand(len(masks), -1, -1)
        boxes, tokens = (torch.zeros(*masks.shape[:3], size) for size in (4, 1))
        return StackAnswer(kinds, masks, StackPrompts(masks, boxes, tokens))


def main(words: Sequence[str]) -> int:
    """Train the control, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path, help="of the images that teach, as for `samspine train`")
    parser.add_argument("--phantoms", type=Path, required=True, help="the folder of the training's phantoms")
    parser.add_argument("--count", type=int, default=100, help="how many of them")
    parser.add_argument("--seconds", type=float, required=True, help="processor time of the training")
    parser.add_argument("--recipe", default="masksam-small-near")
    parser.add_argument("--data", type=Path, required=True, help="the folder of the real images")
    parser.add_argument("--weights", type=Path, default=None, help="of MaskSAM; without it the bundled ones")
    given = parser.parse_args(words)
    recipe = RECIPES.get(given.recipe)
    if not isinstance(recipe, MaskSamRecipe):
        parser.error(f"--recipe is one of MaskSAM's, got '{given.recipe}'")
    cases = prepare_cases(replace(recipe, phantoms=given.count), given.manifest, given.phantoms)
    network, steps = trained(recipe, cases, given.seconds)
    masksam = build_segmenter("masksam", weights=given.weights)
    sam = build_backbone(recipe.sam, image_size=recipe.side)
    control = MaskSamPrompter(network, masksam.card, sam, "U-Net", "float32")  # type: ignore[arg-type]
    found: dict[str, Any] = {"steps": steps, "parameters": sum(one.numel() for one in network.parameters())}
    for scan in SCANS:
        found[scan] = {
            f"{name}, {said}": scores_of(
                given.data, scan, lambda volume, one=one, how=how: one.segment(volume, names=how).labels
            )
            for name, one in (("masksam", masksam), ("unet", control))
            for said, how in (("chain", ChainNames()), ("own names", None))
        }
    print(json.dumps(found))
    return 0


def trained(recipe: MaskSamRecipe, cases: Sequence[Case], seconds: float) -> tuple[StackUNet, int]:
    """Return a U-Net after so many seconds of the processor, and the steps that it took; the rate falls to zero."""
    torch.manual_seed(recipe.seed)
    rng, config = np.random.default_rng(recipe.seed), CONFIGS[recipe.model]
    sampler = StackSampler(cases, recipe.side, config.apart, NORMALS[recipe.direction])
    network = StackUNet(config.classes, recipe.side).train()
    loss_of = ClassLoss()
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=WEIGHT_DECAY)
    steps = 0
    for _ in turns(optimiser, seconds, process_time):
        depth = int(rng.integers(1, recipe.depth + 1))
        drawn = [sampler.draw(rng, depth) for _ in range(recipe.batch)]
        logits = network.logits(torch.from_numpy(np.stack([one.pictures for one in drawn])))
        truth = torch.stack([_classes(one, config.classes) for one in drawn])
        loss = loss_of(*(one.transpose(1, 2).flatten(0, 1) for one in (logits, truth)))  # slice by slice
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        steps += 1
    return network.eval(), steps


def _classes(drawn: ShownStack, classes: int) -> Tensor:
    """Return how much of each value is background, or a class: (classes + 1, D, h, w)."""
    shares = torch.zeros(classes + 1, *drawn.shares.shape[1:])
    shares[torch.from_numpy(drawn.kinds) + 1] = torch.from_numpy(drawn.shares)
    shares[0] = (1 - shares[1:].sum(dim=0)).clamp(min=0)
    return shares


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
