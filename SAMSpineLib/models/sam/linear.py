"""The linear layers of a network on a CPU, by oneDNN.

In float32 torch hands linear layers to MKL, which on processors of AMD leaves half of what they can do unused. oneDNN
comes with torch for x86 and Arm, and computes the same in the same precision. CONTRIBUTING has the table of all ways
that were measured, by `python -m Benchmarks.sam_paths`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class OneDnnLinear(nn.Linear):
    """A linear layer with the parameters of another one; it asks oneDNN wherever that gives the same."""

    def __init__(self, of: nn.Linear) -> None:
        """Take the place of a layer, with its very parameters."""
        super().__init__(of.in_features, of.out_features, bias=of.bias is not None, device="meta")
        self.weight, self.bias = of.weight, of.bias
        self.train(of.training)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Return the layer's values (..., out_features) for (..., in_features)."""
        if (
            torch.is_grad_enabled()
            or torch.is_autocast_enabled("cpu")
            or input.device.type != "cpu"
            or input.dtype != torch.float32
            or self.weight.dtype != torch.float32
        ):
            return super().forward(input)
        values: Tensor = torch.ops.mkldnn._linear_pointwise(input, self.weight, self.bias, "none", [], "")
        return values


def use_onednn(network: nn.Module) -> None:
    """Let oneDNN compute all linear layers of a network that is on a CPU, where this torch has it."""
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                setattr(module, name, OneDnnLinear(child))
