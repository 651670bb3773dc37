"""Training as one story: cases -> a task's batches -> loss -> checkpoint -> weights."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from SAMSpineLib.errors import ModelError
from SAMSpineLib.models.weights import is_part, load_weights, save_weights
from SAMSpineLib.training.cases import Case
from SAMSpineLib.training.checkpoint import TrainingState
from SAMSpineLib.training.recipes import Recipe
from SAMSpineLib.training.tasks import Task, TaskOnSam, task_of

Progress = Callable[[int, int, dict[str, float]], None]


def train(
    recipe: Recipe,
    cases: Sequence[Case],
    folder: Path,
    *,
    start: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train until `recipe.steps` and return the weights file; what lies in `folder` is continued.

    A run that has nothing to continue begins with the weights in `start`, or with fresh ones. Weights for a run that
    teaches one part only may lack that part.

    Writes `checkpoint.pt` every few minutes and when it is interrupted, `log.csv` and TensorBoard events,
    `recipe.json`, and in the end `<model>.safetensors` (the moving average, fp16). A run that is interrupted and
    continued ends in the same weights as one that is not.

    Raises:
        ModelError: if the checkpoint in `folder`, or `start`, is damaged or another network's, or if the network has no
            such part as `recipe.only`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    task = task_of(recipe, cases)
    state = _start(task, recipe, start)
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.is_file():
        state.load(checkpoint)
    (folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2), encoding="utf-8")
    saved = time.monotonic()
    try:
        with TrainingLog(folder, columns_of(task)) as log:
            while state.step < recipe.steps:
                figures = train_step(state, recipe, task)
                log.write(state.step, figures)
                if progress is not None:
                    progress(state.step, recipe.steps, figures)
                if time.monotonic() - saved > 60 * recipe.checkpoint_minutes:
                    state.save(checkpoint)
                    saved = time.monotonic()
    finally:  # also when the user presses Ctrl-C: what was learnt stays
        state.save(checkpoint)
    result = folder / f"{recipe.model}.safetensors"
    if isinstance(task, TaskOnSam):
        return task.keep(state.average, result)
    return save_weights(result, state.average, {"model": recipe.model})


def columns_of(task: Task) -> tuple[str, ...]:
    """Return the head line of a task's log."""
    return ("step", "loss", *task.figures, "rate", "seconds")


def _start(task: Task, recipe: Recipe, start: Path | None) -> TrainingState:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(recipe.seed)
    network = task.network()
    if start is not None and isinstance(task, TaskOnSam):
        task.begin(network, start)
    elif start is not None:
        load_weights(start, network, may_lack=recipe.only)
    if recipe.only:
        _freeze_but(network, recipe.only)
    network = network.to(device)
    optimiser = torch.optim.AdamW(
        [weight for weight in network.parameters() if weight.requires_grad],
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        betas=(0.9, 0.98),
    )
    return TrainingState.fresh(network, optimiser, recipe.seed)


def _freeze_but(network: nn.Module, part: str) -> None:
    """Let nothing be learnt but one part of a network; what is not learnt anyway stays so."""
    weights = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    if not any(is_part(name, part) for name in weights):
        parts = dict.fromkeys(name.partition(".")[0] for name in weights)
        msg = f"The network has no part '{part}', it has: {', '.join(parts)}"
        raise ModelError(msg)
    for name, weight in weights.items():
        weight.requires_grad_(is_part(name, part))


def train_step(state: TrainingState, recipe: Recipe, task: Task) -> dict[str, float]:
    """Take one step on one batch of a task; return the figures to log."""
    started = time.monotonic()
    before = state.rng.bit_generator.state
    rate = learning_rate(recipe, state.step)
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    device = next(state.network.parameters()).device
    try:
        half = torch.autocast(device.type, dtype=torch.bfloat16, enabled=computes_in_half(device))
        with half, _attention(device):
            loss, seen = task.loss(state.network, state.rng, device)
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()
    except BaseException:  # a step that is broken off was not taken: the run that is continued draws the same again
        state.rng.bit_generator.state = before
        raise
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), recipe.clip)
    state.optimiser.step()
    state.step += 1
    state.follow(recipe.average)
    figures = (loss.item(), *seen, rate, time.monotonic() - started)
    return dict(zip(columns_of(task)[1:], figures, strict=True))


def computes_in_half(device: torch.device) -> bool:
    """Tell whether a device multiplies bfloat16 faster than single precision: GPUs, and CPUs with AVX-512 BF16."""
    return device.type == "cuda" or (device.type == "cpu" and torch.cpu._is_avx512_bf16_supported())


def _attention(device: torch.device) -> AbstractContextManager[None]:
    """Return in what attention is computed: on a CPU as plain products, whose gradients are quicker than fused ones."""
    manager: AbstractContextManager[None] = sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
    return manager


def learning_rate(recipe: Recipe, step: int) -> float:
    """Return the rate at a step: linear warm-up, plateau, linear fall."""
    fall = recipe.steps * recipe.cooldown
    share = min((step + 1) / max(recipe.warmup, 1), (recipe.steps - step) / max(fall, 1), 1.0)
    return recipe.learning_rate * max(share, 0.0)


class TrainingLog:
    """Figures of every step as CSV and, where TensorBoard is installed, as its events."""

    def __init__(self, folder: Path, columns: Sequence[str]) -> None:
        """Append to the logs of a folder."""
        self._path = folder / "log.csv"
        self._columns = columns
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
            self._writer.writerow(self._columns)
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
