"""LoRA (Hu et al., ICLR 2022) on the attention of a mask decoder, as parametrisations that torch itself manages."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

CHANGED = ("q_proj", "v_proj")


class LowRank(nn.Module):
    """Add a matrix of a low rank to a frozen one; at first it is zero."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        """Fit a weight (out, in)."""
        super().__init__()
        out, into = weight.shape
        self.down = nn.Parameter(torch.randn(rank, into) / into**0.5)
        self.up = nn.Parameter(torch.zeros(out, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight."""
        return weight + self.up @ self.down


def add_low_rank(module: nn.Module, rank: int) -> None:
    """Freeze a module and let what makes queries and values in it be changed by a low rank."""
    module.requires_grad_(requires_grad=False)
    for name, layer in list(module.named_modules()):
        if isinstance(layer, nn.Linear) and name.rpartition(".")[2] in CHANGED:
            parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank))
