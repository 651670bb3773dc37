"""Windows along a stack, which overlap, and what lies between slices of a coarser stack."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from torch import Tensor


def windows(count: int, depth: int) -> list[range]:
    """Return the slices of each window along a stack of `count`: of `depth`, every next one half a window further.

    The last one ends where the stack does; a shorter stack is one window.
    """
    last = max(count - depth, 0)
    starts = [*range(0, last, max(1, depth // 2)), last]
    return [range(start, min(start + depth, count)) for start in starts]


def between(values: Iterator[Tensor], count: int, finer: int) -> Iterator[tuple[Tensor, Tensor, float]]:
    """Yield for each of `finer` slices the two of a stack that it lies between, and how far (0..1) from the first.

    Both stacks fill the same length. What lies beyond the middle of the first or the last slice is that slice.

    Args:
        values: of the slices of the coarser stack, in their order.
        count: of them.
        finer: slices of the other stack.
    """
    held: deque[Tensor] = deque(maxlen=2)
    read = 0
    for number in range(finer):
        place = min(max((number + 0.5) * count / finer - 0.5, 0), count - 1)
        low = int(place)
        high = min(low + 1, count - 1)
        while read <= high:
            held.append(next(values))
            read += 1
        yield held[-1] if low == high else held[0], held[-1], place - low
