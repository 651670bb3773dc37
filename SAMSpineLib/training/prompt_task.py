"""Teaching CT-SAM3D: simulated users prompt it, correct it, and see where it would click next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor

from SAMSpineLib.models.ct_sam3d.click_maps import gaussian_map
from SAMSpineLib.models.ct_sam3d.config import CONFIGS, CTSAM3DConfig
from SAMSpineLib.models.ct_sam3d.network import CTSAM3D
from SAMSpineLib.training.cases import Case
from SAMSpineLib.training.losses import PromptLoss, heat_loss, soft_dice
from SAMSpineLib.training.patches import Patch, PatchSampler
from SAMSpineLib.training.recipes import PromptRecipe
from SAMSpineLib.training.simulation import SimulatedUser, stack_maps


class PromptTask:
    """Patches of all kinds of structures, each in front of a user."""

    figures = ("dice_first", "dice_last", "heat")

    def __init__(self, recipe: PromptRecipe, cases: Sequence[Case]) -> None:
        """Prepare the patches of the cases."""
        self.recipe = recipe
        self.config = CONFIGS[recipe.model]
        self.sampler = PatchSampler(cases, self.config)
        self._loss = PromptLoss()

    def network(self) -> CTSAM3D:
        """Return the network with fresh weights."""
        return CTSAM3D(self.config).to(memory_format=torch.channels_last_3d)

    def loss(
        self, network: CTSAM3D, rng: np.random.Generator, device: torch.device
    ) -> tuple[Tensor, tuple[float, ...]]:
        """Draw a batch and return its loss, and the Dice after first and last prompt and the heat maps' loss.

        The cross-patch network has its turn in some steps only; its loss is 0 in the others.
        """
        patches = [self.sampler.draw(rng) for _ in range(self.recipe.batch)]
        total, dices = self._prompted(network, rng, patches, device)
        heat = torch.zeros((), device=device)
        if rng.random() < self.recipe.cross_patch_share:
            heat = self._crossed(network, rng, patches, device)
        return total + heat, (dices[0], dices[-1], heat.item())

    def _prompted(
        self, network: CTSAM3D, rng: np.random.Generator, patches: Sequence[Patch], device: torch.device
    ) -> tuple[Tensor, list[float]]:
        """Encode once, decode as often as the users correct; return the mean loss, and Dice after first and last round.

        Gradients come from the first and the last answer: those between only bring the users to where they are, at a
        third of the cost.
        """
        users = [SimulatedUser(p, bool(rng.random() < self.recipe.whole_share), network.config, rng) for p in patches]
        asked = torch.tensor([int(user.wants_whole) for user in users], device=device)
        masks = torch.from_numpy(np.stack([[p.part, p.whole] for p in patches])).to(device)
        pyramid = network.encode(_images(patches, device))
        losses: list[Tensor] = []
        dices: list[float] = []
        last = _last_round(rng, self.recipe.rounds)
        for turn in range(last + 1):
            maps = stack_maps(users).to(device, memory_format=torch.channels_last_3d)
            with torch.set_grad_enabled(turn in (0, last)):
                logits, quality = network.decode(pyramid, maps)
            if turn in (0, last):
                around = torch.from_numpy(np.stack([user.around_corrections() for user in users])[:, None]).to(device)
                losses.append(self._loss(logits, quality, masks, asked, around))
                dices.append(soft_dice(logits, masks)[torch.arange(len(users)), asked].mean().item())
            if turn < last:
                answers = torch.sigmoid(logits[torch.arange(len(users)), asked].detach().float()).cpu().numpy()
                for user, answer in zip(users, answers, strict=True):
                    user.correct(answer)
        return torch.stack(losses).mean(), dices

    def _crossed(
        self, network: CTSAM3D, rng: np.random.Generator, patches: Sequence[Patch], device: torch.device
    ) -> Tensor:
        """Learn where to click in a neighbouring patch, half a patch away along one axis."""
        neighbours, targets, seen = [], [], []
        for patch in patches:
            step = np.zeros(3, int)
            step[rng.integers(3)] = rng.choice([-1, 1])
            whole = rng.random() < 0.5
            image, *masks = self.sampler.neighbour(patch, step)
            neighbours.append(image)
            targets.append(click_target(masks[int(whole)] > 0.5, network.config))
            seen.append(patch.whole if whole else patch.part)
        stacked = [torch.from_numpy(np.stack(a)[:, None].astype(np.float32)).to(device) for a in (seen, neighbours)]
        heat = network.suggest(_images(patches, device), *stacked)
        return heat_loss(heat, torch.stack(targets)[:, None].to(device))


def _last_round(rng: np.random.Generator, rounds: int) -> int:
    """Draw how many corrections follow the first prompt: none in a quarter of the cases, else up to `rounds` - 1."""
    return 0 if rounds < 2 or rng.random() < 1 / 4 else int(rng.integers(1, rounds))


def click_target(mask: npt.NDArray[np.bool_], config: CTSAM3DConfig) -> Tensor:
    """Return the heat map (K, J, I) of the one click that a mask asks for: at its deepest voxel, none if it is tiny."""
    points = torch.zeros((0, 3))
    if mask.sum() >= 30:
        depth = ndimage.distance_transform_edt(np.pad(mask, 1))
        points = torch.tensor([np.unravel_index(int(depth.argmax()), depth.shape)], dtype=torch.float32) - 1
    return gaussian_map(points, mask.shape, 2 * config.click_sigma_mm / config.spacing)


def _images(patches: Sequence[Patch], device: torch.device) -> Tensor:
    """Return the patches' images as one batch (B, 1, K, J, I)."""
    stacked = torch.from_numpy(np.stack([patch.image for patch in patches])[:, None])
    return stacked.to(device, memory_format=torch.channels_last_3d)
