"""LoRA (Hu et al., ICLR 2022) in the image encoder of a SAM that itself stays as it is."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from SAMSpineLib.models.sam2rad.low_rank import LowRank


class EncoderAdapters(nn.Module):
    """Change every linear layer of a trunk by a low rank; at first nothing is changed."""

    def __init__(self, trunk: nn.Module, rank: int) -> None:
        """Fit the layers of a trunk."""
        super().__init__()
        layers = {name: one for name, one in trunk.named_modules() if isinstance(one, nn.Linear)}
        self._layers = tuple(layers)
        self.changes = nn.ModuleList(LowRank(one.weight, rank) for one in layers.values())

    def weights(self, trunk: nn.Module) -> dict[str, Tensor]:
        """Return the changed weights of a trunk, by the names of its parameters."""
        return {
            f"{name}.weight": change(trunk.get_parameter(f"{name}.weight"))
            for name, change in zip(self._layers, self.changes, strict=True)
        }


@torch.no_grad()
def adapted(network: nn.Module, adapters: EncoderAdapters) -> nn.Module:
    """Return a copy of a SAM with the changed weights in its image encoder; the SAM itself stays as it is."""
    changed = copy.deepcopy(network)
    encoder = changed.get_submodule("image_encoder")
    trunk = encoder.get_submodule("trunk") if hasattr(encoder, "trunk") else encoder
    for name, weight in adapters.weights(trunk).items():
        trunk.get_parameter(name).copy_(weight)
    return changed
