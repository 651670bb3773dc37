"""What a click costs: the bundled network against the published size, and a small volume against a large one.

Weights are random, of a fixed seed, whether or not trained ones are there: see `timing.SteadyPromptable`.
"""

from __future__ import annotations

from Benchmarks.timing import block, median, milliseconds, open_session, repeated_clicks, steady_promptable
from SAMSpineLib.prompts import Point

SIZES = (128, 256, 512)
REPEATS = 15


def measure() -> dict[str, float]:
    """Time first and repeated clicks through a session, in milliseconds (median), and their ratios."""
    return measure_networks() | measure_volumes()


def measure_networks() -> dict[str, float]:
    """Time a repeated click in a known patch (decoder, merging, painting) for both sizes of the network, in turns."""
    volume, times, figures = block(160), {}, {}
    sessions = {}
    for name in ("small", "paper"):
        sessions[name] = open_session(steady_promptable(f"ct-sam3d-{name}"), volume)
        figures[f"click_first_{name}_ms"] = median(
            [milliseconds(lambda s=sessions[name]: s.add(Point((0.0, 0.0, 0.0))))]
        )
        times[name] = repeated_clicks(sessions[name], 1)[:0]  # the first repetition warms up
    for _ in range(3):
        times["small"] += repeated_clicks(sessions["small"], 5)
        times["paper"] += repeated_clicks(sessions["paper"], 2)
    figures |= {f"click_repeated_{name}_ms": median(values) for name, values in times.items()}
    ratio = figures["click_repeated_paper_ms"] / figures["click_repeated_small_ms"]
    return figures | {"ratio_paper_over_small": round(ratio, 2)}


def measure_volumes() -> dict[str, float]:
    """Time the small network's clicks in cubes of growing size; the cost should not grow with them."""
    model, figures = steady_promptable("ct-sam3d-small"), {}
    for size in SIZES:
        session = open_session(model, block(size))
        # Five places whose patches all lie in the smallest cube; none has been read before.
        places = [(2.0 * n, -2.0 * n, 2.0 * n) for n in range(-2, 4)]
        first = []
        for place in places:
            session.clear()
            first.append(milliseconds(lambda s=session, p=place: s.add(Point(p))))
        figures[f"click_first_{size}_ms"] = median(first[1:])
        figures[f"click_{size}_ms"] = median(repeated_clicks(session, REPEATS, places[-1])[1:])
    figures["ratio_512_over_128"] = round(figures["click_512_ms"] / figures["click_128_ms"], 2)
    figures["ratio_first_512_over_128"] = round(figures["click_first_512_ms"] / figures["click_first_128_ms"], 2)
    return figures
