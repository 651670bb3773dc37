"""What windows along a stack show of the same structure, put together: a track has one name in all of its slices.

Ours: in the release each window names by itself. Queries are linked from one window to the next by how their masks
overlap, as in MinVIS (Huang et al., NeurIPS 2022, section 3.3), where it is by their embeddings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from itertools import count

import numpy as np
import numpy.typing as npt
import torch
from monai.data.utils import compute_importance_map
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from SAMSpineLib.models.masksam.network import StackAnswer
from SAMSpineLib.volume import Grid

# A place belongs to a track if all tracks together claim it by more than this.
CLAIM = 0.5
# What is less likely to be a structure, or claims no place by more than that, is not looked at.
FAINT = 0.05
# Masks of the same structure in two windows overlap at least so much (sum of products over that of the union).
SAME = 0.2
# A track that has the most of less than `DOUBLE` of those places that it claims by more than `LITTLE` is a double of
# others: two queries saw the same structure, or one saw parts of two.
DOUBLE, LITTLE = 0.43, 0.2
NEXT_TO_NOTHING = 0.1


@dataclass(frozen=True, eq=False)
class Track:
    """One structure along a stack.

    Attributes:
        centre: (3,) middle of the places that it claims most (RAS mm).
        size: of all of them (cubic mm).
        chances: (K,) how likely (0..1) it is each of the classes; together 1.
    """

    centre: npt.NDArray[np.float64]
    size: float
    chances: npt.NDArray[np.float64] = field(repr=False)


class Tracks:
    """All that the windows of a stack show, as it comes in; of a slice, only what claims anything there is kept."""

    def __init__(self, depth: int) -> None:
        """Prepare for a stack of so many slices."""
        self._claims: list[dict[int, Tensor]] = [{} for _ in range(depth)]
        self._weights = [0.0] * depth
        self._chances: dict[int, Tensor] = {}

    def see(self, window: range, answer: StackAnswer) -> None:
        """Add what a window shows: the answer for a single stack of its slices.

        Each query claims places by how likely it is anything, times its mask. Where windows overlap claims are their
        mean, in which the middle of a window counts most (a Gaussian, as in nnU-Net).
        """
        chances = answer.kinds[0].float().softmax(dim=-1)[:, :-1].cpu()
        there = chances.sum(dim=-1)
        seen = there > FAINT
        claims = there[seen, None, None, None] * answer.masks[0].cpu()[seen].float().sigmoid()
        weights = compute_importance_map((len(window),), mode="gaussian").tolist()
        for track, chance, claim in zip(self._linked(window, claims), chances[seen], claims, strict=True):
            self._chances[track] = self._chances.get(track, 0.0) + chance * claim.sum()
            for number, weight, one in zip(window, weights, claim, strict=True):
                if one.max() > FAINT:
                    before = self._claims[number].get(track)
                    now = (weight * one).half()
                    self._claims[number][track] = now if before is None else before + now
        for number, weight in zip(window, weights, strict=True):
            self._weights[number] += weight

    def _linked(self, window: range, claims: Tensor) -> list[int]:
        """Return for each query's claims (Q, D, h, w) the track that it is, a new one where it is none of those."""
        shared = [number for number in window if self._weights[number]]
        known = sorted({track for number in shared for track in self._claims[number]})
        linked: dict[int, int] = {}
        if known and len(claims):
            now = claims[:, [number - window.start for number in shared]].flatten(1)
            empty = torch.zeros(claims.shape[2:], dtype=torch.float16)
            before = torch.stack([
                torch.cat([self._claims[number].get(one, empty) / self._weights[number] for number in shared]).flatten()
                for one in known
            ]).float()  # fmt: skip
            both = now @ before.T
            alike = both / (now.square().sum(1)[:, None] + before.square().sum(1) - both).clamp(min=1e-6)
            pairs = zip(*linear_sum_assignment(-alike.numpy()), strict=True)
            linked = {int(query): known[place] for query, place in pairs if alike[query, place] > SAME}
        fresh = count(len(self._chances))
        return [linked[query] if query in linked else next(fresh) for query in range(len(claims))]

    def found(self, block: Grid) -> dict[int, Track]:
        """Return, by its number, each track that is no double of others.

        A double has the most of too few of the places that it claims; the worst goes first, and what it claimed is
        the others' then.

        Args:
            block: the grid (D, h, w) of masks of all slices.
        """
        left = set(self._chances)
        while True:
            places = self._shared_out(left)
            shares = {one: len(won) / max(claimed, 1) for one, (won, claimed) in places.items()}
            worst = min(shares.values(), default=1.0)
            if worst >= DOUBLE:
                break
            left -= {one for one, share in shares.items() if share <= max(worst, NEXT_TO_NOTHING)}
        voxel = float(np.prod(block.spacing))
        return {
            one: Track(
                block.to_ras(won.mean(axis=0)), len(won) * voxel,
                (self._chances[one] / self._chances[one].sum()).double().numpy(),
            )
            for one, (won, _) in places.items()
        }  # fmt: skip

    def _shared_out(self, tracks: Set[int]) -> dict[int, tuple[npt.NDArray[np.float64], int]]:
        """Return for each of some tracks the places (n, 3; column, row, slice) that it wins, and how many it claims."""
        won: dict[int, list[npt.NDArray[np.float64]]] = {one: [np.zeros((0, 3))] for one in tracks}
        claimed = dict.fromkeys(tracks, 0)
        for depth, (numbers, claims) in enumerate(self._slices()):
            kept = [place for place, one in enumerate(numbers) if one in tracks]
            if not kept:
                continue
            mine = claims[kept]
            winner = torch.where(mine.sum(dim=0) > CLAIM, mine.argmax(dim=0), -1).numpy()
            for row, (place, here) in enumerate(zip(kept, (mine > LITTLE).sum(dim=(1, 2)).tolist(), strict=True)):
                rows, columns = np.nonzero(winner == row)
                won[numbers[place]].append(np.stack([columns, rows, np.full(len(rows), float(depth))], axis=1))
                claimed[numbers[place]] += here
        return {one: (np.concatenate(won[one]), claimed[one]) for one in sorted(tracks)}

    def scores(self, names: dict[int, Tensor], shape: Sequence[int]) -> Iterator[Tensor]:
        """Yield how much each class claims each place (K, h, w) of a slice: over all tracks, name x claim.

        Args:
            names: (K,) for each track that counts how much it is of each class.
            shape: of a mask (h, w).
        """
        classes = len(next(iter(names.values()))) if names else 0
        for numbers, claims in self._slices():
            kept = [place for place, one in enumerate(numbers) if one in names]
            if kept:
                yield torch.einsum("nk,nhw->khw", torch.stack([names[numbers[one]] for one in kept]), claims[kept])
            else:
                yield torch.zeros(classes, *shape)

    def _slices(self) -> Iterator[tuple[list[int], Tensor]]:
        """Yield for each slice which tracks claim anything there, and their claims (n, h, w)."""
        for claims, weight in zip(self._claims, self._weights, strict=True):
            kept = list(claims)
            yield kept, (torch.stack([claims[one] for one in kept]).float() / weight if kept else torch.zeros(0))
