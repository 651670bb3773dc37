"""Training CT-SAM3D as one story: cases -> patches -> simulated users -> loss -> checkpoint -> weights."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor

from SAMSpineLib.models.ct_sam3d.click_maps import gaussian_map
from SAMSpineLib.models.ct_sam3d.config import CONFIGS, CTSAM3DConfig
from SAMSpineLib.models.ct_sam3d.network import CTSAM3D
from SAMSpineLib.models.weights import load_weights, save_weights
from SAMSpineLib.training.cases import Case
from SAMSpineLib.training.checkpoint import TrainingState
from SAMSpineLib.training.losses import PromptLoss, heat_loss, soft_dice
from SAMSpineLib.training.patches import Patch, PatchSampler
from SAMSpineLib.training.recipes import Recipe
from SAMSpineLib.training.simulation import SimulatedUser, stack_maps

Progress = Callable[[int, int, dict[str, float]], None]
COLUMNS = ("step", "loss", "dice_first", "dice_last", "heat", "rate", "seconds")


def train(
    recipe: Recipe,
    cases: Sequence[Case],
    folder: Path,
    *,
    start: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train until `recipe.steps` and return the weights file; what lies in `folder` is continued.

    A run that has nothing to continue begins with the weights in `start`, or with fresh ones.

    Writes `checkpoint.pt` every few minutes and when it is interrupted, `log.csv` and TensorBoard events,
    `recipe.json`, and in the end `<model>.safetensors` (the moving average, fp16). A run that is interrupted and
    continued ends in the same weights as one that is not.

    Raises:
        ModelError: if the checkpoint in `folder`, or `start`, is damaged or another network's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = CONFIGS[recipe.model]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    state = _start(recipe, config, device, start)
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.is_file():
        state.load(checkpoint)
    (folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2), encoding="utf-8")
    sampler, loss = PatchSampler(cases, config), PromptLoss()
    saved = time.monotonic()
    try:
        with TrainingLog(folder) as log:
            while state.step < recipe.steps:
                figures = train_step(state, recipe, sampler, loss)
                log.write(state.step, figures)
                if progress is not None:
                    progress(state.step, recipe.steps, figures)
                if time.monotonic() - saved > 60 * recipe.checkpoint_minutes:
                    state.save(checkpoint)
                    saved = time.monotonic()
    finally:  # also when the user presses Ctrl-C: what was learnt stays
        state.save(checkpoint)
    return save_weights(folder / f"{recipe.model}.safetensors", state.average, {"model": recipe.model})


def _start(recipe: Recipe, config: CTSAM3DConfig, device: torch.device, start: Path | None) -> TrainingState:
    torch.manual_seed(recipe.seed)
    network = CTSAM3D(config)
    if start is not None:
        load_weights(start, network)
    network = network.to(device).to(memory_format=torch.channels_last_3d)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.98)
    )
    return TrainingState.fresh(network, optimiser, recipe.seed)


def train_step(state: TrainingState, recipe: Recipe, sampler: PatchSampler, loss: PromptLoss) -> dict[str, float]:
    """Draw a batch, let users prompt it for a few rounds, and take one step; return the figures to log."""
    started = time.monotonic()
    before = state.rng.bit_generator.state
    rate = learning_rate(recipe, state.step)
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    try:
        total, heat, dices = _losses(state, recipe, sampler, loss)
        state.optimiser.zero_grad(set_to_none=True)
        (total + heat).backward()
    except BaseException:  # a step that is broken off was not taken: the run that is continued draws the same again
        state.rng.bit_generator.state = before
        raise
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), recipe.clip)
    state.optimiser.step()
    state.step += 1
    state.follow(recipe.average)
    figures = (total.item(), dices[0], dices[-1], heat.item(), rate, time.monotonic() - started)
    return dict(zip(COLUMNS[1:], figures, strict=True))


def _losses(
    state: TrainingState, recipe: Recipe, sampler: PatchSampler, loss: PromptLoss
) -> tuple[Tensor, Tensor, list[float]]:
    """Draw a batch and return the loss of its answers, of its heat maps (0 in most steps), and the Dice per round."""
    device = next(state.network.parameters()).device
    patches = [sampler.draw(state.rng) for _ in range(recipe.batch)]
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        total, dices = _prompted_loss(state, recipe, patches, loss)
        heat = torch.zeros((), device=device)
        if state.step % recipe.cross_patch_every == 0:
            heat = _cross_patch_loss(state, sampler, patches)
    return total, heat, dices


def learning_rate(recipe: Recipe, step: int) -> float:
    """Return the rate at a step: linear warm-up, plateau, linear fall."""
    fall = recipe.steps * recipe.cooldown
    share = min((step + 1) / max(recipe.warmup, 1), (recipe.steps - step) / max(fall, 1), 1.0)
    return recipe.learning_rate * max(share, 0.0)


def _prompted_loss(
    state: TrainingState, recipe: Recipe, patches: Sequence[Patch], loss: PromptLoss
) -> tuple[Tensor, list[float]]:
    """Encode once, decode as often as the users correct; return the mean loss, and Dice after first and last round.

    Gradients come from the first and the last answer: those between only bring the users to where they are, at a third
    of the cost.
    """
    network, rng = state.network, state.rng
    device = next(network.parameters()).device
    users = [SimulatedUser(p, bool(rng.random() < recipe.whole_share), network.config, rng) for p in patches]
    asked = torch.tensor([int(user.wants_whole) for user in users], device=device)
    masks = torch.from_numpy(np.stack([[p.part, p.whole] for p in patches])).to(device)
    pyramid = network.encode(_images(patches, device))
    losses: list[Tensor] = []
    dices: list[float] = []
    last = _last_round(rng, recipe.rounds)
    for turn in range(last + 1):
        maps = stack_maps(users).to(device, memory_format=torch.channels_last_3d)
        with torch.set_grad_enabled(turn in (0, last)):
            logits, quality = network.decode(pyramid, maps)
        if turn in (0, last):
            losses.append(loss(logits, quality, masks, asked))
            dices.append(soft_dice(logits, masks)[torch.arange(len(users)), asked].mean().item())
        if turn < last:
            answers = torch.sigmoid(logits[torch.arange(len(users)), asked].detach().float()).cpu().numpy()
            for user, answer in zip(users, answers, strict=True):
                user.correct(answer)
    return torch.stack(losses).mean(), dices


def _last_round(rng: np.random.Generator, rounds: int) -> int:
    """Draw how many corrections follow the first prompt: none in a third of the cases, else up to `rounds` - 1."""
    return 0 if rounds < 2 or rng.random() < 1 / 3 else int(rng.integers(1, rounds))


def _cross_patch_loss(state: TrainingState, sampler: PatchSampler, patches: Sequence[Patch]) -> Tensor:
    """Learn where to click in a neighbouring patch, half a patch away along one axis."""
    network = state.network
    device = next(network.parameters()).device
    neighbours, targets, seen = [], [], []
    for patch in patches:
        step = np.zeros(3, int)
        step[state.rng.integers(3)] = state.rng.choice([-1, 1])
        whole = state.rng.random() < 0.5
        image, *masks = sampler.neighbour(patch, step)
        neighbours.append(image)
        targets.append(click_target(masks[int(whole)], network.config))
        seen.append(patch.whole if whole else patch.part)
    stacked = [torch.from_numpy(np.stack(a)[:, None].astype(np.float32)).to(device) for a in (seen, neighbours)]
    heat = network.suggest(_images(patches, device), *stacked)
    return heat_loss(heat, torch.stack(targets)[:, None].to(device))


def click_target(mask: npt.NDArray[np.uint8], config: CTSAM3DConfig) -> Tensor:
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


class TrainingLog:
    """Figures of every step as CSV and, where TensorBoard is installed, as its events."""

    def __init__(self, folder: Path) -> None:
        """Append to the logs of a folder."""
        self._path = folder / "log.csv"
        self._events = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._events = SummaryWriter(str(folder / "events"))

    def __enter__(self) -> TrainingLog:
        """Open the CSV file, with a head line if it is new."""
        fresh = not self._path.is_file()
        self._handle = self._path.open("a", encoding="utf-8", newline="", buffering=1)  # a killed run keeps its lines
        self._writer = csv.writer(self._handle)
        if fresh:
            self._writer.writerow(COLUMNS)
        return self

    def write(self, step: int, figures: dict[str, float]) -> None:
        """Add one step."""
        self._writer.writerow([step, *(f"{value:.5g}" for value in figures.values())])
        if self._events is not None:
            for name, value in figures.items():
                self._events.add_scalar(name, value, step)

    def __exit__(self, *_: object) -> None:
        """Close both logs."""
        self._handle.close()
        if self._events is not None:
            self._events.close()
