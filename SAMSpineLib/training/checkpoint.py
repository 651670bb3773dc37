"""Interrupt and resume: everything that the next step depends on, in one file."""

from __future__ import annotations

import copy
import struct
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import nn

from SAMSpineLib.errors import ModelError

# What a file that is no checkpoint of ours makes torch's reader, and then the network, raise.
DAMAGE = (
    RuntimeError,
    LookupError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    OSError,
    UnpicklingError,
    struct.error,
)


@dataclass
class TrainingState:
    """Network, its moving average, optimiser and random generator after `step` steps."""

    network: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    rng: np.random.Generator
    step: int = 0

    @classmethod
    def fresh(cls, network: nn.Module, optimiser: torch.optim.Optimizer, seed: int) -> TrainingState:
        """Return the state before the first step."""
        average = copy.deepcopy(network).requires_grad_(requires_grad=False)
        return cls(network, average, optimiser, np.random.default_rng(seed))

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Move the average towards the network; early on it follows faster."""
        decay = min(decay, (1 + self.step) / (10 + self.step))
        for kept, new in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(new, 1 - decay)
            else:
                kept.copy_(new)

    def save(self, path: Path) -> None:
        """Write the state; an interrupted write leaves the former file."""
        partial = path.with_suffix(".partial")
        torch.save(
            {
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "rng": self.rng.bit_generator.state,
                "torch_rng": torch.get_rng_state(),
                "step": self.step,
            },
            partial,
        )
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Continue from a file that `save` wrote.

        Raises:
            ModelError: if the file is damaged or does not hold a state of this network.
        """
        try:
            stored: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            self.network.load_state_dict(stored["network"])
            self.average.load_state_dict(stored["average"])
            self.optimiser.load_state_dict(stored["optimiser"])
            self.rng.bit_generator.state = stored["rng"]
            torch.set_rng_state(stored["torch_rng"])
            self.step = int(stored["step"])
        except DAMAGE as error:
            reason = str(error).partition("\n")[0]
            msg = f"The checkpoint '{path}' cannot be continued ({reason}); remove it to start afresh"
            raise ModelError(msg) from error
