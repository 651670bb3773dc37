"""What a click costs: the bundled network against the published size, and a small volume against a large one.

Weights are random, of a fixed seed, whether or not trained ones are there: see `timing.SteadyPromptable`.
"""

from __future__ import annotations

from Benchmarks.timing import block, click_places, median, milliseconds, open_session, steady_promptable
from SAMSpineLib.engine.session import Session
from SAMSpineLib.prompts import Point

NETWORKS = ("small", "paper")
SIZES = (128, 256, 512)
HOME = (0.0, 0.0, 0.0)


def measure() -> dict[str, float]:
    """Time first and repeated clicks through a session, in milliseconds (median), and their ratios.

    What is compared takes turns, click by click, so that whatever else the machine does slows both alike.
    """
    return measure_networks() | measure_volumes()


def measure_networks() -> dict[str, float]:
    """Time a repeated click in a known patch (decoder, merging, painting) for both sizes of the network."""
    volume = block(160)
    sessions = {name: open_session(steady_promptable(f"ct-sam3d-{name}"), volume) for name in NETWORKS}
    first = {name: [_click(session, HOME)] for name, session in sessions.items()}
    again: dict[str, list[float]] = {name: [] for name in NETWORKS}
    for n, place in enumerate(click_places(16)):
        again["small"].append(_click(sessions["small"], place, positive=n % 2 == 0))
        if n % 4 == 0:
            again["paper"].append(_click(sessions["paper"], place, positive=n % 2 == 0))
    figures = {f"click_first_{name}_ms": median(times) for name, times in first.items()}
    figures |= {f"click_repeated_{name}_ms": median(times) for name, times in again.items()}
    ratio = figures["click_repeated_paper_ms"] / figures["click_repeated_small_ms"]
    return figures | {"ratio_paper_over_small": round(ratio, 2)}


def measure_volumes() -> dict[str, float]:
    """Time the small network's clicks in cubes of growing size; the cost should not grow with them."""
    model = steady_promptable("ct-sam3d-small")
    sessions = {size: open_session(model, block(size)) for size in SIZES}
    first: dict[int, list[float]] = {size: [] for size in SIZES}
    again: dict[int, list[float]] = {size: [] for size in SIZES}
    # Places whose patches all lie in the smallest cube; none has been read before.
    for n in range(-2, 4):
        for size, session in sessions.items():
            session.clear()
            first[size].append(_click(session, (2.0 * n, -2.0 * n, 2.0 * n)))
    for n, place in enumerate(click_places(12)):
        for size, session in sessions.items():
            again[size].append(_click(session, place, positive=n % 2 == 0))
    figures = {f"click_first_{size}_ms": median(times[1:]) for size, times in first.items()}
    figures |= {f"click_{size}_ms": median(times) for size, times in again.items()}
    figures["ratio_512_over_128"] = round(figures["click_512_ms"] / figures["click_128_ms"], 2)
    figures["ratio_first_512_over_128"] = round(figures["click_first_512_ms"] / figures["click_first_128_ms"], 2)
    return figures


def _click(session: Session, place: tuple[float, float, float], *, positive: bool = True) -> float:
    """Return the milliseconds that one more click takes."""
    return milliseconds(lambda: session.add(Point(place, positive=positive)))
