"""One synthetic subject in one synthetic scan: an image, its labels, and what was wrong with the spine.

`make_phantom` is pure: a seed and settings give the same bits every time. Order of work: subject (morphometry, curve,
disease), field of view and grid, bones as competing signed distances, the soft body around them, Hounsfield units, and
last the scanner. All distances are evaluated in each bone's own box only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from SAMSpineLib.training.synthetic.anatomy import Subject, draw_subject
from SAMSpineLib.training.synthetic.body import paint_body
from SAMSpineLib.training.synthetic.bone import Skeleton, build_skeleton, paint_bones
from SAMSpineLib.training.synthetic.ct_physics import Scanner, scan
from SAMSpineLib.training.synthetic.framing import draw_grid
from SAMSpineLib.training.synthetic.settings import PhantomSettings
from SAMSpineLib.volume import Volume


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic CT and its truth.

    Attributes:
        image: int16 Hounsfield units, modality CT.
        labels: uint8, same grid: vertebrae by VerSe id (C1 = 1 ... L5 = 24, L6 25, sacrum 26, coccyx 27, T13 28),
            canal 200, cord 201, discs 100 + the vertebra above.
        extras: uint8, same grid: ribs 1, pelvis 2, aorta 3, inferior vena cava 4, kidneys 5, liver 6, spleen 7,
            lungs 8, psoas 9, back muscles 10, bowel 11, skull 12, metal 13.
        pathologies: What is wrong, in words with the level first, such as "L3 wedge fracture".
        notes: How it was scanned, in words.
    """

    image: Volume
    labels: Volume
    extras: Volume
    pathologies: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def make_phantom(seed: int, settings: PhantomSettings | None = None) -> Phantom:
    """Make one phantom.

    Args:
        seed: Any integer at or above 0; equal seeds and settings give equal bits.
        settings: What to draw at random; None for the default, everything random.

    Returns:
        Image, labels and extras on one grid (RAS mm).
    """
    settings = settings or PhantomSettings()
    rng = np.random.default_rng(seed)
    subject: Subject = draw_subject(rng, settings)
    grid = draw_grid(rng, subject, settings)
    skeleton: Skeleton = build_skeleton(rng, subject, grid, clean=settings.clean)
    tissue, organs = paint_body(rng, subject, skeleton, clean=settings.clean)
    hounsfield, extras = paint_bones(rng, subject, skeleton, tissue, organs)
    scanner = Scanner.draw(rng, clean=settings.clean)
    image = scan(rng, hounsfield, skeleton, scanner)
    name = f"phantom-{seed}"
    return Phantom(
        Volume(image, grid, name, "CT"),
        Volume(skeleton.labels, grid, f"{name}-labels", "CT"),
        Volume(extras, grid, f"{name}-extras", "CT"),
        subject.pathologies,
        scanner.notes,
    )
