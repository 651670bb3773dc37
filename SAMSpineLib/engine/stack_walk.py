"""From prompted slices through the stack: structures are followed from slice to slice until they end.

The rules, which are ours:

1. Prompted slices divide a stack into gaps. What lies in a gap depends on the prompted slices at its ends and on
   nothing else: so a correction makes only the two gaps beside it be walked again.
2. A gap between two of them is walked from both ends to its middle, with both remembered; the gaps outside, until the
   structure ends.
3. A structure has ended where it was not seen on `PATIENCE` slices in a row: thin bone may be missing on one.
4. All structures are followed at once, first upwards, then downwards: a slice is encoded for all of them together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from SAMSpineLib.engine.history import LabelState
from SAMSpineLib.engine.slice_answer import Gap, SliceAnswer
from SAMSpineLib.engine.slices import SliceReader
from SAMSpineLib.models.protocols import Tracker
from SAMSpineLib.stack import Stack

PATIENCE = 2


@dataclass(eq=False)
class Leg:
    """A part of a gap that is walked in one direction, for one label."""

    value: int
    gap: Gap
    order: range
    tracker: Tracker | None = None
    unseen: int = 0
    found: list[SliceAnswer] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Tell whether the structure was not seen for long enough."""
        return self.unseen >= PATIENCE


class StackWalk:
    """Follows labels through the stack in which they were prompted last."""

    def __init__(self, reader: SliceReader, states: Mapping[int, LabelState]) -> None:
        """Prepare to walk the gaps that are not walked yet.

        Args:
            reader: of the volume.
            states: of the labels, each with a prompted slice at least.
        """
        self._reader = reader
        self._states = states
        self._legs = [leg for value, state in states.items() for leg in _legs(value, state)]
        self._finished: list[Leg] = []

    @property
    def steps(self) -> int:
        """The most slices that there are to look at, counted once for each label."""
        return sum(len(leg.order) for leg in self._legs)

    def run(self, tell: Callable[[int], None]) -> None:
        """Walk; `tell` is called with the number of steps done, and may end the walk by raising."""
        done = 0
        for upwards in (True, False):
            legs = [leg for leg in self._legs if (leg.order.step > 0) == upwards]
            for stack, index in _places(self._states, legs, upwards=upwards):
                for leg in legs:
                    if index in leg.order and _stack(self._states[leg.value]).parallel(stack):
                        if not leg.ended:
                            self._step(leg, stack, index)
                        done += 1
                tell(done)
            self._finished += legs

    def states(self) -> dict[int, LabelState]:
        """Return the labels' states with what was found so far; what was found in those gaps before is gone."""
        return {value: self._after(value, state) for value, state in self._states.items()}

    def _step(self, leg: Leg, stack: Stack, index: int) -> None:
        reader, encoded = self._reader, self._reader.encoded(stack, index)
        if leg.tracker is None:
            leg.tracker = reader.model.tracker(stack.count)
            for end in leg.gap:
                if end is not None:
                    leg.tracker.learn(end.index, reader.encoded(stack, end.index), end.masks, end.chosen)
        masks = leg.tracker.follow(index, encoded, backwards=leg.order.step < 0)
        leg.unseen = leg.unseen + 1 if masks is None else 0
        if masks is not None:
            leg.found.append(SliceAnswer(stack, index, masks, reader.volume.grid, prompted=False))

    def _after(self, value: int, state: LabelState) -> LabelState:
        legs = [leg for leg in self._legs if leg.value == value]
        stack, gaps = _stack(state), _gaps(state)
        prompted = [one for one in state.slices if one.prompted]
        walked = [gap for gap in gaps if gap in state.walked]
        kept = [one for one in state.slices if not one.prompted and _holds_any(walked, one, stack)]
        found = [one for leg in legs for one in leg.found]
        unfinished = [leg.gap for leg in legs if leg not in self._finished]
        now = tuple(gap for gap in gaps if gap not in unfinished)
        return replace(state, slices=(*kept, *found, *prompted), walked=now)


def _stack(state: LabelState) -> Stack:
    """Return the stack in which a label was prompted last."""
    return next(one for one in reversed(state.slices) if one.prompted).stack


def _gaps(state: LabelState) -> list[Gap]:
    """Return the gaps of a label in the order of the stack."""
    stack = _stack(state)
    ends = sorted(
        (one for one in state.slices if one.prompted and one.stack.parallel(stack)), key=lambda one: one.index
    )
    return list(zip([None, *ends], [*ends, None], strict=True))


def _legs(value: int, state: LabelState) -> list[Leg]:
    """Return what is to be walked for a label."""
    count, legs = _stack(state).count, []
    for low, high in _gaps(state):
        if (low, high) in state.walked:
            continue
        first = 0 if low is None else low.index + 1
        last = count - 1 if high is None else high.index - 1
        middle = last if high is None else first - 1 if low is None else (first + last) // 2
        legs.append(Leg(value, (low, high), range(first, middle + 1)))
        legs.append(Leg(value, (low, high), range(last, middle, -1)))
    return [leg for leg in legs if len(leg.order)]


def _places(states: Mapping[int, LabelState], legs: Sequence[Leg], *, upwards: bool) -> list[tuple[Stack, int]]:
    """Return the slices of all legs, stack by stack, each once."""
    stacks: list[Stack] = []
    for leg in legs:
        stack = _stack(states[leg.value])
        if not any(stack.parallel(other) for other in stacks):
            stacks.append(stack)
    places: list[tuple[Stack, int]] = []
    for stack in stacks:
        indices = {index for leg in legs if _stack(states[leg.value]).parallel(stack) for index in leg.order}
        places += [(stack, index) for index in sorted(indices, reverse=not upwards)]
    return places


def _holds_any(gaps: Sequence[Gap], one: SliceAnswer, stack: Stack) -> bool:
    """Tell whether a slice lies in one of some gaps of a stack, or in another stack altogether."""
    if not one.stack.parallel(stack):
        return True
    return any((a is None or a.index < one.index) and (b is None or one.index < b.index) for a, b in gaps)
