"""A chain of vertebrae as a hidden semi-Markov model: which level may follow which, and how likely each chain is.

The states are the levels from C1 to the sacrum. A detection that is no vertebra has no state: a step passes over it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.localiser.localisation import LEVEL_VALUES

Array = npt.NDArray[np.float64]

C7, T11, T12, L1, L4, L5 = 7, 18, 19, 20, 23, 24
T13, L6, SACRUM = 28, 25, 26
VARIANTS = (T13, L6)
THORACIC = (*range(8, 20), T13)
# Nearest other gaps from which the spacing at a gap is judged. Half of them may be odd; over six levels the spacing
# itself grows by less than `gap_spread`.
_NEAREST = 6
# Log-probability that stands for minus infinity.
_IMPOSSIBLE = -1000.0


@dataclass(frozen=True)
class LevelSettings:
    """How much is believed of what the localiser says, and how rare the rare is.

    Attributes:
        temperature: divides the log-probabilities of the vertebrae. A network trained on synthetic spines is too sure
            of itself on real ones, and neighbours see the same surroundings, so that their errors add up instead of
            averaging out. The value is the one at which confidence meets accuracy in the noise model of the tests; a
            network that has been measured on real scans deserves its own. The sacrum is spared: it is told by its
            look, by itself.
        floor: share of each vertebra's evidence that is taken for noise. It bounds how much one vertebra can say
            against its neighbours, at 5.4 in log-odds.
        t13, l6, no_t12, no_l5: share of people with 13 or 11 thoracic, 6 or 4 lumbar vertebrae. Yan et al. (J Orthop
            Surg Res 2018, 13:124, results) counted 5.8 % with 11 thoracic and 5.5 % with 6 lumbar vertebrae; taken a
            little lower, so that frequency alone never makes one of them an alternative.
        missed: chance per pair of neighbours that the vertebra between them was not detected.
        spurious: chance that a detection is no vertebra.
        gap_spread: standard deviation of the logarithm of a gap about what its neighbours suggest: errors of centres
            (5 mm of 30), wedged and collapsed vertebrae.
        gap_most: most that one odd gap can cost in log-odds. Enough that a gap of twice the spacing outweighs `missed`.
        alternative: another numbering is told if it is at least this likely, relative to the best.
        sure: the numbering is ambiguous if the probability of the best is below this; 0.6 leaves it three to two.
    """

    temperature: float = 3.0
    floor: float = 0.1
    t13: float = 0.01
    l6: float = 0.04
    no_t12: float = 0.04
    no_l5: float = 0.03
    missed: float = 0.01
    spurious: float = 0.005
    gap_spread: float = 0.2
    gap_most: float = 8.0
    alternative: float = 0.05
    sure: float = 0.6


def ladder(variants: Collection[int] = (), absent: Collection[int] = ()) -> tuple[int, ...]:
    """Return the label values from C1 to the sacrum of a person who has these variants and lacks these levels."""
    values = [value for value in LEVEL_VALUES if value not in absent]
    for variant in VARIANTS:
        if variant in variants:
            values.insert(values.index(_neighbour(variant, 1)), variant)
    return tuple(values)


def _neighbour(value: int, step: int) -> int:
    """Return the regular level next to a variant."""
    table = spine_labels()
    label = table.next_level(table.by_value(value), step)
    return 0 if label is None else label.value


STATES = ladder(VARIANTS)


@dataclass(frozen=True, eq=False)
class Chain:
    """Log-weights of what makes up a chain through N detections and S states. At least one detection is a level.

    Attributes:
        emission: (N, S), detection j is state k.
        steps: (N, N, S, S), from detection i in state a to detection j > i in state b, those between being spurious.
        start: (N, S), the chain begins with detection j in state k, those above being spurious.
        end: (N, S), likewise below.
    """

    emission: Array
    steps: Array
    start: Array
    end: Array

    def through(self, join: np.ufunc) -> Array:
        """Return (N, S) the weight of all chains with detection j in state k: their sum or the largest.

        Args:
            join: `np.logaddexp` for the sum (forward-backward), `np.maximum` for the largest (Viterbi).
        """
        down, up = self._sweep(join), self._upside_down()._sweep(join)[::-1]
        return down + up - self.emission

    def total(self) -> float:
        """Return the weight of all chains together."""
        return float(np.logaddexp.reduce(self._sweep(np.logaddexp) + self.end, axis=None))

    def best_through(self, places: npt.NDArray[np.intp]) -> list[tuple[int, ...]]:
        """Return for each (detection, state) of `places` (M, 2) the states of the best chain there, -1 for spurious."""
        mirror, last = self._upside_down(), len(self.emission) - 1
        down, up = self._sweep(np.maximum), mirror._sweep(np.maximum)
        found = []
        for place, state in places.tolist():
            chain = [-1] * (last + 1)
            for j, k in self._trace(down, place, state):
                chain[j] = k
            for j, k in mirror._trace(up, last - place, state):
                chain[last - j] = k
            found.append(tuple(chain))
        return found

    def _upside_down(self) -> Chain:
        steps = self.steps[::-1, ::-1].transpose(1, 0, 3, 2)
        return replace(self, emission=self.emission[::-1], steps=steps, start=self.end[::-1], end=self.start[::-1])

    def _sweep(self, join: np.ufunc) -> Array:
        """Return (N, S) the weight of all that may lie above detection j in state k, itself included."""
        weights = self.start + self.emission
        for j in range(1, len(weights)):
            arriving = join.reduce(weights[:j, :, None] + self.steps[:j, j], axis=(0, 1))
            weights[j] = self.emission[j] + join(self.start[j], arriving)
        return weights

    def _trace(self, best: Array, j: int, k: int) -> list[tuple[int, int]]:
        """Follow the best chain from detection j in state k up to its beginning."""
        path = [(j, k)]
        while j:
            arriving = best[:j] + self.steps[:j, j, :, k]
            if arriving.max() < self.start[j, k]:
                break
            j, k = (int(index) for index in np.unravel_index(arriving.argmax(), arriving.shape))
            path.append((j, k))
        return path


def build_chain(evidence: Array, gaps: Array | None, ribs: Array, settings: LevelSettings) -> Chain:
    """Weigh evidence (N, 25), gaps (N - 1,) in mm and log-odds of ribs (N,); see `assign_levels`."""
    count = len(evidence)
    spurious, index = np.log(settings.spurious), np.arange(count)
    between = np.maximum(index[None, :] - index[:, None] - 1, 0)
    spans = np.zeros((2, count, count)) if gaps is None else _gap_scores(_without_sacrum(evidence, gaps), settings)
    with np.errstate(divide="ignore"):
        follow = _follow(settings)
        direct, over = np.log((1 - settings.missed) * follow), np.log(settings.missed * follow @ follow)
    # The sacrum has no centre, so that the way to it tells nothing of a missed level.
    near, far = spans[..., None, None] * (np.array(STATES) != SACRUM)
    steps = np.logaddexp(direct + near, over + far) + spurious * between[..., None, None]
    rare = {T13: settings.t13, L6: settings.l6}
    start = np.log([rare.get(value, 1.0) for value in STATES]) + spurious * index[:, None]
    end = np.zeros((count, len(STATES))) + spurious * index[::-1, None]
    return Chain(_emission(evidence, settings) + _bearing(ribs), steps, start, end)


def _emission(evidence: Array, settings: LevelSettings) -> Array:
    """Return (N, S) how much likelier than by chance the evidence is if the detection is this level.

    Which vertebra it is gets tempered; whether it is a vertebra or the sacrum does not.
    """
    sacrum = LEVEL_VALUES.index(SACRUM)
    evidence = np.maximum(evidence - np.logaddexp.reduce(evidence, axis=1, keepdims=True), _IMPOSSIBLE)
    tempered = np.where(np.arange(len(LEVEL_VALUES)) == sacrum, -np.inf, evidence / settings.temperature)
    vertebra = np.log1p(-np.exp(np.minimum(evidence[:, [sacrum]], -1e-12)))
    tempered = tempered - np.logaddexp.reduce(tempered, axis=1, keepdims=True) + vertebra
    tempered[:, sacrum] = evidence[:, sacrum]
    odds = np.log((1 - settings.floor) * np.exp(tempered) * len(LEVEL_VALUES) + settings.floor)
    shown_as = [value if value in LEVEL_VALUES else _neighbour(value, -1) for value in STATES]
    return np.asarray(odds[:, [LEVEL_VALUES.index(value) for value in shown_as]])


def _bearing(ribs: Array) -> Array:
    """Return (N, S) how much likelier than by chance what was seen of the ribs is if the detection is this level."""
    sign = np.where(np.isin(STATES, THORACIC), -1.0, 1.0)
    # Beside C7 rises the first rib, which is T1's: what is seen there speaks neither for nor against C7.
    sign[STATES.index(C7)] = 0.0
    return np.asarray(np.log(2.0) - np.logaddexp(0.0, sign * ribs[:, None]))


def _follow(settings: LevelSettings) -> Array:
    """Return (S, S) the probability that the vertebra below a level is another: nearly always the next one."""
    chances = np.zeros((len(STATES), len(STATES)))
    place = {value: index for index, value in enumerate(STATES)}
    regular = ladder()
    for upper, lower in zip(regular, regular[1:], strict=False):
        chances[place[upper], place[lower]] = 1.0
    for variant in VARIANTS:
        chances[place[variant], place[_neighbour(variant, 1)]] = 1.0
    rare = ((T11, L1, settings.no_t12), (T12, T13, settings.t13), (L4, SACRUM, settings.no_l5), (L5, L6, settings.l6))
    for upper, lower, chance in rare:
        chances[place[upper]] *= 1 - chance
        chances[place[upper], place[lower]] = chance
    return chances


def _without_sacrum(evidence: Array, gaps: Array) -> Array:
    """Blank the last gap (NaN) where it seems to lead to the sacrum: it must not say what its neighbours should be."""
    gaps = gaps.copy()
    if len(gaps) and evidence[-1].argmax() == LEVEL_VALUES.index(SACRUM):
        gaps[-1] = np.nan
    return gaps


def _gap_scores(gaps: Array, settings: LevelSettings) -> Array:
    """Return (2, N, N) how badly the way from detection i to j fits one level, and two. 0 where it fits or is unknown.

    Only ratios of neighbouring gaps count, so that a child's spine is judged as an adult's.
    """
    in_levels = gaps / _spacing(gaps)
    unknown = np.isnan(in_levels)
    along = np.concatenate([[0.0], np.cumsum(np.where(unknown, 0.0, in_levels))])
    blanks = np.concatenate([[0], np.cumsum(unknown)])
    lengths = np.maximum(along[None, :] - along[:, None], 1e-6)
    deviation = np.log(lengths / np.array([1.0, 2.0])[:, None, None]) / settings.gap_spread
    scores = -np.minimum(0.5 * deviation**2, settings.gap_most)
    return np.where(blanks[None, :] - blanks[:, None] > 0, 0.0, scores)


def _spacing(gaps: Array) -> Array:
    """Return what the neighbours of each gap suggest for it (mm), NaN where fewer than two are known."""
    spacing = np.full(len(gaps), np.nan)
    known = np.flatnonzero(~np.isnan(gaps))
    for index in known:
        others = known[known != index]
        nearest = others[np.argsort(np.abs(others - index), kind="stable")[:_NEAREST]]
        if len(nearest) >= 2:
            spacing[index] = max(np.median(gaps[nearest]), 1.0)
    return spacing
