"""What a taught network thinks of a scan that nobody has labelled: for choosing which one to label next."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from SAMSpineLib.evaluation.ranking import Opinion
from SAMSpineLib.models.protocols import Promptable, TaughtPromptable
from SAMSpineLib.models.self_prompting import taught_of, there
from SAMSpineLib.stack import stack_along
from SAMSpineLib.volume import Volume

# Of a scan so many slices are looked at, evenly spread.
MOST_SLICES = 24
# How the grey values are changed, as other scanners and other windows would: their power, after scaling to 0..1.
POWERS = (1.0, 0.7, 1.4)


@dataclass(frozen=True)
class TaughtOpinions:
    """Asks a taught network; see `evaluation.ranking.Opinionated`."""

    network: TaughtPromptable

    @classmethod
    def of(cls, model: Promptable) -> TaughtOpinions:
        """Ask a model.

        Raises:
            PromptError: if it was not taught anything.
        """
        return cls(taught_of(model))

    def opinion(self, volume: Volume) -> Opinion:
        """Return how sure the network is that any of its structures is in each slice, and its masks in other light."""
        network = self.network
        stack = stack_along(volume.grid, network.normal)
        indices = np.unique(np.linspace(0, stack.count - 1, min(stack.count, MOST_SLICES)).round().astype(int))
        presences, masks = [], []
        for power in POWERS:
            lit = volume if power == 1.0 else relit(volume, power)
            seen = [network.look(network.encode(lit, network.slice_grid(stack, int(index)))) for index in indices]
            presence = np.stack([one.presence for one in seen])
            inside = np.stack([one.logits > 0 for one in seen])
            for order in range(presence.shape[1]):
                inside[:, order] &= there(presence[:, order])[:, None, None]
            presences.append(presence.max(axis=1))
            masks.append(_side_by_side(inside))
        return Opinion(presences[0], masks)


def relit(volume: Volume, power: float) -> Volume:
    """Return a volume whose grey values, between the 1st and the 99th percentile, are raised to a power."""
    values = volume.array.astype(np.float32)
    low, high = np.percentile(values[:: max(1, len(values) // 32)], [1, 99])
    if high <= low:
        return volume
    share = ((values - low) / (high - low)).clip(0, 1)
    return replace(volume, array=np.asarray(low + share**power * (high - low), np.float32))


def _side_by_side(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return masks (slices, N, h, w) of structures as one (slices * N, h, w)."""
    return inside.reshape(-1, *inside.shape[2:])
