"""Along a stack in windows that overlap: whatever its length, no more is held than one window needs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from monai.data.utils import compute_importance_map
from torch import Tensor


def windows(count: int, depth: int) -> list[range]:
    """Return the slices of each window along a stack of `count`: of `depth`, every next one half a window further.

    The last one ends where the stack does; a shorter stack is one window.
    """
    last = max(count - depth, 0)
    starts = [*range(0, last, max(1, depth // 2)), last]
    return [range(start, min(start + depth, count)) for start in starts]


def blended(count: int, depth: int, answer: Callable[[range], Tensor]) -> Iterator[Tensor]:
    """Yield the values (...) of each slice of a stack, in their order.

    Where windows overlap it is their mean, in which the middle of a window counts most (a Gaussian, as in nnU-Net).

    Args:
        count: of slices.
        depth: of a window.
        answer: asked once for each window; returns the values (D, ...) of its slices.
    """
    waiting: dict[int, tuple[Tensor, Tensor]] = {}
    every = windows(count, depth)
    for place, window in enumerate(every):
        values = answer(window)
        weights = compute_importance_map((len(window),), mode="gaussian", device=values.device)
        for number, value, weight in zip(window, values, weights, strict=True):
            before = waiting.get(number)
            pair = (weight * value, weight)
            waiting[number] = pair if before is None else (before[0] + pair[0], before[1] + weight)
        done = every[place + 1].start if place + 1 < len(every) else count
        for number in sorted(number for number in waiting if number < done):
            total, weight = waiting.pop(number)
            yield total / weight


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
