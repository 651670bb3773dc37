"""From what the localiser says of each vertebra to a numbering of the whole chain, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from SAMSpineLib.engine.autonomous.level_chain import (
    L1,
    SACRUM,
    STATES,
    T11,
    T12,
    T13,
    VARIANTS,
    Array,
    Chain,
    LevelSettings,
    build_chain,
    ladder,
)
from SAMSpineLib.errors import LabelError, ModelError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.localiser.localisation import LEVEL_VALUES

# As many other names as one sentence can hold.
_MOST_NAMES = 3


@dataclass(frozen=True)
class LevelAssignment:
    """A numbering of a chain of detections, head to foot.

    Attributes:
        values: label values of the likeliest chain, 0 for a detection that is no vertebra.
        confidence: probability (0..1) of each value, over all chains.
        alternatives: other complete numberings that are likely enough to be told, likeliest first. Each is the best
            of all chains that give some detection another name.
        ambiguous: the likeliest chain is not likely enough to be relied on.
        message: one sentence for the user, empty where the numbering is not ambiguous.
        chances: probability (0..1) that all of `values` are right, and the same of each alternative.
    """

    values: tuple[int, ...]
    confidence: tuple[float, ...]
    alternatives: tuple[tuple[int, ...], ...]
    ambiguous: bool
    message: str
    chances: tuple[float, ...] = ()


def assign_levels(
    evidence: npt.ArrayLike,
    gaps_mm: npt.ArrayLike | None,
    *,
    ribs: npt.ArrayLike | None = None,
    settings: LevelSettings | None = None,
) -> LevelAssignment:
    """Number a chain of detections as a whole (Viterbi, forward-backward).

    Levels follow one another without gap, but for T12 or L5 that some people lack, T13 or L6 that some have, a vertebra
    that was not detected, and a detection that is none. The sacrum can only be last.

    Args:
        evidence: (N, 25) log-probabilities of `LEVEL_VALUES` for each detection, head to foot.
        gaps_mm: (N - 1,) distances between the centres of successive detections; None if unknown.
        ribs: (N,) log-odds that each detection bears ribs, as thoracic vertebrae do; None if nobody looked.
        settings: how much is believed of the evidence.

    Raises:
        ModelError: if the evidence, the gaps or the ribs are of another shape or not numbers.
    """
    settings = settings or LevelSettings()
    rows, gaps = _checked(evidence, gaps_mm)
    if len(rows) == 0:
        return LevelAssignment((), (), (), ambiguous=False, message="")
    chain = build_chain(rows, gaps, _checked_ribs(ribs, len(rows)), settings)
    total, best = chain.total(), chain.through(np.maximum)
    sure = float(np.exp(best.max() - total)) >= settings.sure
    numberings = _numberings(chain, best, settings)
    values, *others = numberings
    confidence = _confidence(chain.through(np.logaddexp) - total, values)
    message = "" if sure else _message(values, others)
    chances = tuple(float(np.exp(weight - total)) for weight in numberings.values())
    return LevelAssignment(
        values, confidence, tuple(others), ambiguous=not sure, message=message, chances=chances
    )  # fmt: skip


def _checked(evidence: npt.ArrayLike, gaps_mm: npt.ArrayLike | None) -> tuple[Array, Array | None]:
    """Return both as arrays of float."""
    rows = np.asarray(evidence, np.float64)
    rows = rows.reshape(0, len(LEVEL_VALUES)) if rows.size == 0 else rows
    if rows.ndim != 2 or rows.shape[1] != len(LEVEL_VALUES) or not np.isfinite(rows.max(axis=1)).all():
        msg = (
            f"Evidence must be numbers of shape (N, {len(LEVEL_VALUES)}), got {rows.shape}: is this another localiser?"
        )
        raise ModelError(msg)
    if gaps_mm is None:
        return rows, None
    gaps, needed = np.asarray(gaps_mm, np.float64), max(len(rows) - 1, 0)
    if gaps.shape != (needed,) or not (gaps >= 0).all():
        msg = f"{len(rows)} vertebrae need {needed} distances between centres, in mm from 0, got {gaps.tolist()}"
        raise ModelError(msg)
    return rows, gaps


def _checked_ribs(ribs: npt.ArrayLike | None, count: int) -> Array:
    """Return the log-odds (N,) as an array of float, 0 where nothing is known."""
    odds = np.zeros(count) if ribs is None else np.asarray(ribs, np.float64)
    if odds.shape != (count,) or not np.isfinite(odds).all():
        msg = f"{count} vertebrae need {count} log-odds of ribs, got {odds.tolist()}"
        raise ModelError(msg)
    return odds


def _numberings(chain: Chain, best: Array, settings: LevelSettings) -> dict[tuple[int, ...], float]:
    """Return the best chain through each detection and state that is likely enough, likeliest first, and its weight."""
    places = np.argwhere(best >= best.max() + np.log(settings.alternative))
    likeliest_first = places[np.argsort(-best[tuple(places.T)], kind="stable")]
    found = chain.best_through(likeliest_first)
    weights: dict[tuple[int, ...], float] = {}
    for states, place in zip(found, likeliest_first, strict=True):
        weights.setdefault(tuple(STATES[k] if k >= 0 else 0 for k in states), float(best[tuple(place)]))
    return weights


def _confidence(marginals: Array, values: tuple[int, ...]) -> tuple[float, ...]:
    """Return the probability of each value from the log-marginals (N, S)."""
    chances = np.exp(marginals)
    taken = [row[STATES.index(v)] if v else 1 - row.sum() for row, v in zip(chances, values, strict=True)]
    return tuple(float(chance) for chance in np.clip(taken, 0.0, 1.0))


def _message(values: tuple[int, ...], others: Sequence[tuple[int, ...]]) -> str:
    """Say what else the topmost vertebra may be whose name the likeliest alternative changes."""
    message = "levels ambiguous: nothing visible fixes the numbering"
    if not others:
        return message
    top = next(i for i, (ours, theirs) in enumerate(zip(values, others[0], strict=True)) if ours != theirs)
    names = list(dict.fromkeys(_name(other[top]) for other in others if other[top] != values[top]))
    listed = ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")
    return f"{message}; it may also be {listed} instead of {_name(values[top])}"


def _name(value: int) -> str:
    return spine_labels().by_value(value).name if value else "no vertebra"


def renumber(values: Sequence[int], index: int, value: int) -> tuple[int, ...]:
    """Give one detection another name and move the others along the same person's anatomy.

    T13 and L6 in the chain stay below T12 and L5, and a person without T12 (L1 right below T11) stays so, unless the
    user names that very vertebra otherwise. The sacrum is known by its look and not by counting: it keeps its name
    unless it is what the user renames. Skipped levels stay skipped at their place, 0 (no vertebra) stays 0.

    Args:
        values: label values, head to foot.
        index: which of them the user names.
        value: what it is: a vertebra or the sacrum.

    Raises:
        LabelError: if the value is no such level, if there is no such detection, or if a level would be left without
            a name beyond C1 or the sacrum.
    """
    if value not in STATES:
        msg = f"'{_name(value)}' (value {value}) is no level that can be counted: choose a vertebra or the sacrum"
        raise LabelError(msg)
    if not 0 <= index < len(values):
        msg = f"The chain has {len(values)} vertebrae and no number {index}: count from 0 at the top"
        raise LabelError(msg)
    others = [one for place, one in enumerate(values) if place != index]
    keeps_sacrum = SACRUM in others and value != SACRUM
    denied = values[index] if values[index] in VARIANTS else 0
    rungs = _anatomy([one for one in values if one != denied], value)
    places = _places(values, index)
    shift = rungs.index(value) - places[index]
    found = list(values)
    for at, place in places.items():
        if values[at] == SACRUM and at != index and keeps_sacrum:
            continue
        if not 0 <= place + shift < len(rungs) - keeps_sacrum:
            raise LabelError(_nameless(values, index, value, at))
        found[at] = rungs[place + shift]
    return tuple(found)


def _anatomy(levels: Sequence[int], named: int) -> tuple[int, ...]:
    """Return the ladder of a person with these levels in a row and the one that the user names."""
    known = [value for value in (*levels, named) if value]
    variants = [value for value in VARIANTS if value in known]
    lacks_t12 = (T11, L1) in pairwise(known) and T12 not in known and T13 not in known
    return ladder(variants, (T12,) if lacks_t12 else ())


def _places(values: Sequence[int], index: int) -> dict[int, int]:
    """Return on which rung of its ladder each level of the chain stands, and the one that the user names."""
    rungs = _anatomy(values, 0)
    places = {at: rungs.index(value) for at, value in enumerate(values) if value}
    if index in places:
        return places
    # What was no vertebra takes the rung below its upper neighbour; the lower ones make room if that was theirs.
    above = [place for at, place in places.items() if at < index]
    below = [place for at, place in places.items() if at > index]
    new = above[-1] + 1 if above else below[0] - 1 if below else 0
    room = int(bool(below) and new == below[0])
    return {index: new} | {at: place + room * (at > index) for at, place in places.items()}


def _nameless(values: Sequence[int], index: int, value: int, at: int) -> str:
    where = "above C1" if at < index else "below the last vertebra that has a name"
    lost = f"what is now {_name(values[at])} would lie {where} and have no name"
    return f"If {_name(values[index])} becomes {_name(value)}, {lost}: choose another level, or correct that one first"
