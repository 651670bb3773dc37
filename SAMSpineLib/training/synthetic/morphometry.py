"""How large a vertebra is, by level: adult means after published morphometry, and one subject drawn from them.

The figures are approximate, rounded means over both sexes that follow the trends of the sources; they are not those
tables digit for digit and no reference for measurement. They serve as a prior, then varied by 15 % between subjects
and 5 % between levels around a mean scale of 1.06, at which whole lumbar vertebrae measure some 40-70 cm3 as seen in
adult CT. Sources:

* C2-C7: Panjabi MM, Duranceau J, Goel V, Oxland T, Takata K. Cervical human vertebrae: quantitative three-dimensional
  anatomy of the middle and lower regions. Spine 1991;16(8):861-869.
* T1-T12: Panjabi MM, Takata K, Goel V, et al. Thoracic human vertebrae: quantitative three-dimensional anatomy.
  Spine 1991;16(8):888-901.
* L1-L5: Panjabi MM, Goel V, Oxland T, et al. Human lumbar vertebrae: quantitative three-dimensional anatomy.
  Spine 1992;17(3):299-306.
* All levels (CT): Busscher I, Ploegmakers JJW, Verkerke GJ, Veldhuizen AG. Comparative anatomical dimensions of the
  complete human and porcine spine. Eur Spine J 2010;19(7):1104-1114.
* Pedicles: Zindrick MR, Wiltse LL, Doornik A, et al. Analysis of the morphometric characteristics of the thoracic
  and lumbar pedicles. Spine 1987;12(2):160-166.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from SAMSpineLib.training.synthetic.settings import C1, L5, L6, SACRUM, T12, T13

# level: width, depth, height, canal width, canal depth, pedicle width, pedicle height, span of the transverse
# processes, length of the spinous process behind the canal, its slope (degrees down), height of the disc below (mm)
TABLE: dict[int, tuple[float, ...]] = {
    1: (20, 12, 12, 27, 30, 8, 8, 78, 4, 5, 3.0),
    2: (18, 15, 18, 24, 20, 8, 9, 55, 17, 15, 5.5),
    3: (17, 15, 13, 23, 16, 5.5, 7, 51, 14, 20, 5.5),
    4: (17.5, 15.5, 12.5, 24, 16.5, 5.5, 7, 52, 14, 20, 5.5),
    5: (18, 15.8, 12.2, 24.5, 16.5, 5.8, 7, 54, 15, 20, 5.6),
    6: (19.5, 16.5, 12.2, 25, 16.5, 6.2, 7.3, 56, 19, 20, 5.6),
    7: (22.5, 17, 14, 24, 16, 6.8, 7.6, 66, 31, 22, 5.4),
    8: (26, 18, 15.5, 21.5, 16, 8.5, 9.6, 75, 34, 30, 4.6),
    9: (26.5, 19, 17, 19, 15.5, 7.6, 11, 69, 34, 38, 4.2),
    10: (25.5, 21, 17.5, 18, 15.8, 6.4, 11.5, 63, 34, 42, 4.0),
    11: (25.5, 22.5, 18, 17.2, 16, 5.6, 11.8, 61, 34, 46, 4.2),
    12: (26, 24, 18.3, 17.1, 16, 5.6, 11.8, 61, 35, 52, 4.4),
    13: (27, 25.5, 19, 17.2, 16, 5.8, 12, 61, 36, 56, 4.6),
    14: (28.5, 26.5, 19.6, 17.3, 15.8, 6.0, 12.2, 61, 36, 56, 5.0),
    15: (30, 27.5, 20.2, 17.5, 15.8, 6.6, 12.6, 60, 35, 54, 5.3),
    16: (31.5, 28.5, 21, 17.8, 15.8, 7.2, 13.8, 59, 33, 46, 5.6),
    17: (33.5, 29.3, 22, 18.2, 15.7, 8.2, 14.8, 57, 30, 36, 5.8),
    18: (36.5, 30, 22.8, 19.5, 16, 9.0, 16.4, 51, 28, 24, 6.2),
    19: (40, 30.8, 24, 22, 17.2, 8.8, 16.2, 47, 28, 16, 6.8),
    20: (42, 32, 25.5, 23, 18, 8.4, 15.8, 70, 27, 16, 7.8),
    21: (43.5, 33, 26.3, 23.4, 17.6, 8.8, 15.2, 77, 28, 15, 9.2),
    22: (45, 33.8, 26.7, 24, 17.3, 10.2, 14.8, 86, 28, 14, 10.3),
    23: (47.5, 34.5, 26.7, 25, 17.8, 12.8, 15, 83, 25, 14, 11.0),
    24: (50, 34.5, 26.5, 26.5, 18.5, 16.0, 16.5, 89, 17, 18, 10.5),
    26: (50, 32, 30, 30, 17, 16.0, 18, 108, 12, 20, 2.0),
}

# How much higher (mm) than the slopes have it the spinous process ends, from T9 on: as measured on the label maps
# of two real CTs (TotalSegmentator's example and LIDC-IDRI-0001). It differs from person to person by as much again.
LIFT = {16: 2.0, 17: 4.0, 18: 5.0, 19: 5.0, 28: 5.0, 20: 8.0, 21: 10.0, 22: 11.0, 23: 11.0, 24: 9.0, 25: 9.0}
NAMES = [f"C{n}" for n in range(1, 8)] + [f"T{n}" for n in range(1, 13)] + [f"L{n}" for n in range(1, 7)]


@dataclass(frozen=True)
class LevelShape:
    """One vertebra's dimensions (mm) in its own frame: origin in the body's middle, x right, y anterior, z up."""

    label: int
    width: float
    depth: float
    height: float
    canal_width: float
    canal_depth: float
    pedicle_width: float
    pedicle_height: float
    span: float
    spinous: float
    slope: float
    disc: float
    wedge: float = 0.0
    """Anterior height exceeds the mean by this part of the half height, posterior falls short of it."""
    concavity: tuple[float, float] = (1.5, 1.8)
    """Depth (mm) of the upper and lower endplate."""
    waist: float = 0.1
    bulk: float = 1.0
    """Thickness of all processes against the usual."""
    slip: tuple[float, float] = (0.0, 0.0)
    """Relative shift of the facets' position (mm) across and along the body axis."""
    facet: float = 1.0
    """Size of the articular processes against the usual; worn joints grow."""
    spurs: float = 0.0
    """Height (mm) of osteophytes on the body's rims."""
    sides: float = 0.0
    """How much longer (part) the right processes are than the left."""
    lift: float = 0.0
    """How much higher (mm) the tip of the spinous process lies than its slope has it."""

    @property
    def back(self) -> float:
        """Local y (mm) of the body's posterior wall."""
        return -0.5 * self.depth


def name_of(label: int) -> str:
    """Return the usual name of a vertebra's label value."""
    return {SACRUM: "S", 27: "Co", T13: "T13"}.get(label) or NAMES[label - 1]


def spine_levels(rng: np.random.Generator, *, usual: bool) -> list[int]:
    """Return the labels of one whole spine from the top; sometimes with a vertebra more or one fewer."""
    levels = [*range(C1, L5 + 1)]
    chance = 1.0 if usual else rng.random()
    if chance < 0.04:
        levels.append(L6)
    elif chance < 0.06:
        levels.insert(T12, T13)
    elif chance < 0.08:
        levels.remove(L5)
    return [*levels, SACRUM]


def usual_wedge(label: int) -> float:
    """Return the usual wedge of a body: lumbar taller in front, thoracic behind."""
    if label in (L5, L6):
        return 0.09
    if 20 <= label <= 23:
        return 0.02 * (label - 21)
    return -0.025 if 8 <= label <= 19 else 0.0


def draw_levels(rng: np.random.Generator, levels: list[int], *, usual: bool, scale: float | None) -> list[LevelShape]:
    """Draw one subject's vertebrae, top first."""
    size = scale if scale is not None else (1.0 if usual else float(np.clip(rng.normal(1.06, 0.08), 0.84, 1.28)))
    spread = 0.0 if usual else 1.0
    columns = len(TABLE[1])
    habit = np.exp(spread * 0.055 * rng.standard_normal(columns))
    habit[9:] = np.exp(spread * 0.15 * rng.standard_normal(columns - 9))
    habit[8] *= np.exp(spread * 0.08 * rng.standard_normal())
    bulk = 1.0 if usual else float(rng.uniform(0.85, 1.32))
    own = rng.spawn(1)[0]  # the rest of the subject stays as it was before spinous processes differed
    lifted = 0.0 if usual else float(own.normal(0, 4.0))
    short = 1.0 if usual else float(own.uniform(0.65, 1.0))
    sides = [_draw_level(rng, label, habit, size, spread) for label in levels]
    return [
        replace(
            level,
            bulk=bulk * level.bulk,
            lift=size * (LIFT.get(level.label, 0.0) + lifted * (level.label > 7)),
            spinous=level.spinous * (short if 7 <= level.label <= 20 else (1 + short) / 2),
        )
        for level in sides
    ]


def _draw_level(rng: np.random.Generator, label: int, habit: np.ndarray, size: float, spread: float) -> LevelShape:
    row = np.array(TABLE[{L6: L5, T13: T12}.get(label, label)])
    own = np.exp(spread * 0.035 * rng.standard_normal(row.size))
    factor = np.full(row.size, size)
    factor[9] = 1.0
    values = [float(v) for v in row * habit * own * factor]
    # Neither canal nor cord grows with the body as the rest does.
    for column in (3, 4):
        values[column] = float(row[column] * own[column] * habit[column] * size**0.4)
    noise = spread * rng.standard_normal(7)
    deep = float(np.clip(0.055 * values[2] * (1 + 0.4 * noise[0]), 0.2, 3.0)) if label > 2 else 0.3
    # The columns of the table come in the order of the fields after `label`.
    usual = LevelShape(label, *values)  # type: ignore[arg-type]
    return replace(
        usual,
        wedge=usual_wedge(label) + 0.02 * float(noise[1]),
        concavity=(deep, deep * 1.25),
        waist=float(np.clip(0.14 + 0.04 * noise[2], 0.03, 0.25)),
        bulk=float(1 + 0.05 * noise[3]),
        slip=(float(noise[4]) * 0.7, float(noise[5]) * 1.2),
        facet=float(np.exp(0.1 * noise[6])),
        sides=float(spread * rng.normal(0, 0.03)),
    )
