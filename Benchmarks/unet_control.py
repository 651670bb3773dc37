"""The control of what is taught: a MONAI U-Net trained from scratch on the same slices, for the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import numpy.typing as npt
import torch
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from torch import Tensor, nn

from SAMSpineLib.resampling import sample
from SAMSpineLib.training.teaching.features import relit
from SAMSpineLib.training.teaching.images import TeachImage
from SAMSpineLib.training.teaching.plan import TeachPlan
from SAMSpineLib.training.teaching.slices import Shown, chosen_slices, varied

CHANNELS = (16, 32, 64, 128, 256)
STRIDES = (2, 2, 2, 2)
BATCH = 4
RATE = 1e-3
# The rate falls to zero along a half cosine over the time that is given.
WEIGHT_DECAY = 1e-5


@dataclass(frozen=True, eq=False)
class Control:
    """A trained U-Net: `network` takes (B, 1, S, S), 0..1, and gives logits (B, N, S, S)."""

    network: nn.Module
    steps: int

    @torch.inference_mode()
    def marks(self, plan: TeachPlan, shown: Shown) -> npt.NDArray[np.float32]:
        """Return the logits (N, S, S) of a slice on the grid on which it is shown."""
        picture = torch.from_numpy(np.ascontiguousarray(plan.model.picture(shown.image.volume, shown.grid)))
        found: Tensor = self.network(picture[None, None] / 255)
        return found[0].numpy()


def train_control(plan: TeachPlan, images: Sequence[TeachImage], seconds: float, seed: int) -> Control:
    """Train on the slices, and the changes of them, that would teach; for a time, and to its end.

    Args:
        plan: whose structures, and how slices are shown.
        images: that teach.
        seconds: wall clock.
        seed: of weights, slices and changes.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    slices = chosen_slices(plan, images)
    mirror = plan.mirrors(images)
    network = UNet(2, 1, len(plan.structures), CHANNELS, STRIDES, num_res_units=2)
    loss_of = DiceCELoss(sigmoid=True) if len(plan.structures) == 1 else DiceCELoss(sigmoid=True, batch=True)
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=WEIGHT_DECAY)
    steps = 0
    for _ in turns(optimiser, seconds, perf_counter):
        picks = [varied(slices[int(rng.integers(len(slices)))], rng, mirror=mirror) for _ in range(BATCH)]
        pictures = np.stack([relit(plan.model.picture(one.image.volume, one.grid), rng) for one in picks])
        truth = np.stack([_truth(plan, one) for one in picks])
        optimiser.zero_grad()
        loss = loss_of(network(torch.from_numpy(pictures)[:, None] / 255), torch.from_numpy(truth))
        loss.backward()
        optimiser.step()
        steps += 1
    return Control(network.eval(), steps)


def turns(optimiser: torch.optim.Optimizer, seconds: float, clock: Callable[[], float]) -> Iterator[None]:
    """Yield for each step that a time leaves room for; the rate falls from `RATE` to zero meanwhile."""
    started = clock()
    while (gone := (clock() - started) / seconds) < 1:
        for group in optimiser.param_groups:
            group["lr"] = RATE * 0.5 * (1 + np.cos(np.pi * gone))
        yield


def _truth(plan: TeachPlan, shown: Shown) -> npt.NDArray[np.float32]:
    """Return the structures (N, S, S; 0 or 1) on the grid of a slice."""
    image = shown.image
    return np.stack(
        [
            np.float32(sample(image.marked(one).view(np.uint8), image.volume.grid, shown.grid, fill=0.0)[0] > 0.5)
            for one in plan.structures
        ]
    )
