"""One subject: vertebrae, how they stand, how hard the bone is, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from SAMSpineLib.training.synthetic.morphometry import LevelShape, draw_levels, name_of, spine_levels
from SAMSpineLib.training.synthetic.settings import SACRUM, PhantomSettings
from SAMSpineLib.training.synthetic.spine_curve import Pose, chain


@dataclass(frozen=True, eq=False)
class Subject:
    """A person's spine from C1 to the sacrum, top first.

    Attributes:
        levels: Shapes of the vertebrae.
        poses: Their places in the patient (RAS mm).
        trabecular: Mean density of spongy bone (HU).
        cortical: Density of compact bone (HU) before the scanner blurs it.
        shell: Thickness of compact bone (mm).
        grain: How uneven spongy bone is, against the usual.
        dense_arch: How much denser spongy bone is in the arch than in the body (HU).
        gap: Usual width of a facet joint (mm).
        marrow: Change of spongy bone (HU) by label: fractures and metastases.
        cement: Labels that hold bone cement.
        screws: Labels with a pair of pedicle screws.
        pathologies: The same in words.
    """

    levels: tuple[LevelShape, ...]
    poses: tuple[Pose, ...]
    trabecular: float
    cortical: float
    shell: float
    grain: float
    dense_arch: float
    gap: float
    marrow: dict[int, float]
    cement: frozenset[int]
    screws: frozenset[int]
    pathologies: tuple[str, ...]

    def line(self) -> npt.NDArray[np.float64]:
        """Return the bodies' centres (n, 3) in mm, from the bottom up, prolonged below and above."""
        points = np.array([p.centre for p in self.poses])[::-1]
        low = points[0] + [0.0, -25.0, -60.0]
        return np.vstack([low - [0, 0, 200], low, points, points[-1] + [0, 0, 200]])


def draw_subject(rng: np.random.Generator, settings: PhantomSettings) -> Subject:
    """Draw a subject; with `clean` the standard adult."""
    usual = settings.clean
    labels = spine_levels(rng, usual=usual)
    levels = draw_levels(rng, labels, usual=usual, scale=settings.adult_scale)
    notes: list[str] = []
    marrow: dict[int, float] = {}
    cement: set[int] = set()
    screws: set[int] = set()
    trabecular = 170.0 if usual else float(rng.uniform(25, 330) if rng.random() < 0.5 else rng.normal(150, 45))
    trabecular = float(np.clip(trabecular, 15, 350))
    if not usual and rng.random() < settings.pathology:
        levels = [_ail(rng, v, trabecular, marrow, cement, notes) for v in levels]
        levels = _degenerate(rng, levels, notes)
    if not usual and rng.random() < settings.metal:
        start = int(rng.integers(8, len(levels) - 2))
        screws = {v.label for v in levels[start : start + int(rng.integers(2, 5))]} - {SACRUM}
        notes += [f"{name_of(v)} pedicle screws" for v in sorted(screws)]
    if trabecular < 80:
        notes.append("osteoporosis")
    poses = chain(rng, levels, usual=usual)
    return Subject(
        tuple(levels),
        tuple(poses),
        trabecular,
        cortical=900.0 if usual else float(rng.uniform(380, 1080)),
        shell=1.1 if usual else float(rng.uniform(0.7, 1.9)),
        grain=1.0 if usual else float(rng.uniform(0.4, 2.8)),
        dense_arch=150.0 if usual else float(rng.uniform(40, 320)),
        gap=1.6 if usual else float(rng.uniform(0.3, 2.4)),
        marrow=marrow,
        cement=frozenset(cement),
        screws=frozenset(screws),
        pathologies=tuple(notes),
    )


def _ail(
    rng: np.random.Generator,
    v: LevelShape,
    trabecular: float,
    marrow: dict[int, float],
    cement: set[int],
    notes: list[str],
) -> LevelShape:
    """Perhaps break or change one vertebra."""
    weak = 0.10 if trabecular < 100 else 0.035
    if v.label < 10 or v.label == SACRUM:
        return v
    chance = rng.random()
    if chance < weak:
        loss = float(rng.uniform(0.15, 0.5))
        kind = str(rng.choice(["wedge", "biconcave", "crush"]))
        notes.append(f"{name_of(v.label)} {kind} fracture")
        marrow[v.label] = float(rng.uniform(0, 150))
        if rng.random() < 0.15:
            cement.add(v.label)
            notes.append(f"{name_of(v.label)} cement")
        return _fracture(v, kind, loss)
    if chance < weak + 0.012:
        marrow[v.label] = float(rng.choice([300.0, -120.0]))
        notes.append(f"{name_of(v.label)} " + ("sclerosis" if marrow[v.label] > 0 else "lysis"))
    return v


def _fracture(v: LevelShape, kind: str, loss: float) -> LevelShape:
    if kind == "wedge":
        return replace(v, height=v.height * (1 - loss / 2), wedge=v.wedge - loss / 2, width=v.width * 1.02)
    if kind == "biconcave":
        deep = v.height * loss * 0.45
        return replace(v, concavity=(deep, deep))
    return replace(v, height=v.height * (1 - loss), width=v.width * 1.05, depth=v.depth * 1.06)


def _degenerate(rng: np.random.Generator, levels: list[LevelShape], notes: list[str]) -> list[LevelShape]:
    """Wear discs down and let rims grow at some levels."""
    result = []
    severity = rng.uniform(0, 0.5)
    for v in levels:
        changed = v
        if v.label not in (1, SACRUM) and rng.random() < severity:
            left = float(rng.uniform(0.25, 0.9))
            changed = replace(
                v,
                disc=v.disc * left,
                spurs=float(rng.uniform(0.5, 5.0) * (1 - 0.5 * left)),
                facet=v.facet * float(rng.uniform(1.0, 1.6)),
            )
            if left < 0.5:
                notes.append(f"{name_of(v.label)} disc worn")
        result.append(changed)
    return result
