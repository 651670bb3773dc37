"""What a phantom shall look like: every switch of the generator in one frozen place."""

from __future__ import annotations

from dataclasses import dataclass

SACRUM, COCCYX, CANAL, CORD = 26, 27, 200, 201
C1, C2, C7, T1, T12, L1, L5, L6, T13 = 1, 2, 7, 8, 19, 20, 24, 25, 28


@dataclass(frozen=True)
class PhantomSettings:
    """Choose what is drawn at random and what is fixed.

    Attributes:
        spacing: Voxel size along I, J, K (mm), or None for a random realistic one.
        levels: First and last vertebra of the field of view as label values, top first, or None for a random crop.
        fov: In-plane field of view (mm) left to right and front to back, or None for a random one.
        margin: Extra length (mm) above and below the chosen levels.
        orientation: Three letters, one of R/L, A/P, S/I each: the direction in which I, J and K grow.
        oblique: Largest random rotation of the grid against the patient (degrees).
        clean: No disease, metal, noise or artefacts, and a standard adult.
        max_voxels: The field of view is narrowed until the grid has no more voxels than this.
        pathology: Chance in [0, 1] that a subject has anything wrong at all.
        metal: Chance in [0, 1] of pedicle screws.
        adult_scale: Size of the subject against the published mean, or None for a random one.
    """

    spacing: tuple[float, float, float] | None = None
    levels: tuple[int, int] | None = None
    fov: tuple[float, float] | None = None
    margin: float = 15.0
    orientation: str = "LPS"
    oblique: float = 8.0
    clean: bool = False
    max_voxels: int = 6_000_000
    pathology: float = 0.6
    metal: float = 0.06
    adult_scale: float | None = None

    @classmethod
    def small(cls) -> PhantomSettings:
        """Return the tests' phantom: L2 to L4 at 2 mm, clean, made in about a second."""
        return cls(spacing=(2.0, 2.0, 2.0), levels=(21, 23), fov=(130.0, 150.0), margin=8.0, clean=True, oblique=0.0)

    @classmethod
    def training(cls, spacing: float = 1.5) -> PhantomSettings:
        """Return the training phantom: isotropic, a random crop of the spine, everything randomised."""
        return cls(spacing=(spacing, spacing, spacing), max_voxels=4_500_000)
