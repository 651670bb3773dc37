"""The numberings that a result may have, for a human to choose from where nothing visible fixes one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from SAMSpineLib.engine.autonomous.level_chain import L1, L4, SACRUM, T11, VARIANTS
from SAMSpineLib.engine.autonomous.levels import LevelAssignment
from SAMSpineLib.labels import spine_labels


@dataclass(frozen=True)
class Numbering:
    """One way to number the levels of a result.

    Attributes:
        values: a label value for each of the result's levels, head to foot.
        probability: that all of them are right (0..1).
    """

    values: tuple[int, ...]
    probability: float

    @property
    def title(self) -> str:
        """Its first and last level, what is rare about it, and its probability: "T12 to L4 (62 %)"."""
        table = spine_labels()
        names = [table.by_value(value).name for value in self.values]
        ends = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
        return f"{', '.join([ends, *self._oddities()])} ({100 * self.probability:.0f} %)"

    def _oddities(self) -> Iterator[str]:
        """Yield what tells two numberings with the same ends apart."""
        yield from (f"with {spine_labels().by_value(value).name}" for value in VARIANTS if value in self.values)
        steps = list(pairwise(self.values))
        yield from (f"without {name}" for name, step in (("T12", (T11, L1)), ("L5", (L4, SACRUM))) if step in steps)


def numberings_of(assigned: LevelAssignment, levels: Sequence[int]) -> tuple[Numbering, ...]:
    """Return the numbering in use and the others, likeliest first; none where the numbering is not ambiguous.

    A numbering by which one of the levels would be no vertebra is left out: another name would not make it right.

    Args:
        assigned: of all detections.
        levels: label values of those that were segmented, head to foot.
    """
    if not assigned.ambiguous or not levels:
        return ()
    places = [assigned.values.index(value) for value in levels]
    found: dict[tuple[int, ...], float] = {}
    for chain, chance in zip((assigned.values, *assigned.alternatives), assigned.chances, strict=True):
        values = tuple(chain[place] for place in places)
        if all(values):
            found[values] = found.get(values, 0.0) + chance
    return tuple(Numbering(values, chance) for values, chance in found.items()) if len(found) > 1 else ()
