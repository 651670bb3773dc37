"""What a CT scanner does to Hounsfield units: sharpness, slice thickness, noise, artefacts, cropping.

Kernels after the modulation transfer functions of body CT (soft to sharp: 50 % at 0.35 to 0.9 cycles/mm, sharp ones
overshoot); noise with a spectrum that follows the kernel (Solomon JB, Christianson O, Samei E. Quantitative comparison
of noise texture across CT scanners from different manufacturers. Med Phys 2012;39(10):6048-6055).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from SAMSpineLib.training.synthetic.bone import Skeleton
from SAMSpineLib.training.synthetic.fields import smooth_field
from SAMSpineLib.training.synthetic.primitives import Array


@dataclass(frozen=True)
class Scanner:
    """One scan protocol.

    Attributes:
        blur: Standard deviation (mm) of the kernel across the slice.
        thickness: Full width (mm) of the slice profile.
        overshoot: Strength of edge enhancement, 0 for soft kernels.
        noise: Standard deviation (HU) of the noise in the middle of the body.
        grain: Standard deviation (mm) of the noise's correlation.
        cupping: Depth (HU) of beam hardening across the field.
        streaks: Strength (HU) of streaks from dense bone.
        circle: Whether voxels outside the round field are padded.
        offset: Calibration error (HU).
        gain: Relative calibration error of bone.
    """

    blur: float = 0.5
    thickness: float = 1.0
    overshoot: float = 0.0
    noise: float = 0.0
    grain: float = 0.6
    cupping: float = 0.0
    streaks: float = 0.0
    circle: bool = False
    offset: float = 0.0
    gain: float = 1.0

    @classmethod
    def draw(cls, rng: np.random.Generator, *, clean: bool) -> Scanner:
        """Draw a protocol; with `clean` a gentle one without noise."""
        if clean:
            return cls()
        sharp = float(rng.random())
        return cls(
            blur=0.85 - 0.55 * sharp,
            thickness=float(rng.choice([0.8, 1.0, 1.5, 2.0, 3.0, 5.0], p=[0.15, 0.25, 0.2, 0.2, 0.15, 0.05])),
            overshoot=float(max(0.0, sharp - 0.45) * rng.uniform(0, 1.8)),
            noise=float(np.exp(rng.uniform(np.log(5), np.log(40 + 45 * sharp)))),
            grain=1.1 - 0.75 * sharp,
            cupping=float(rng.uniform(-25, 25)),
            streaks=float(rng.choice([0.0, 1.0])) * float(rng.uniform(2, 14)),
            circle=bool(rng.random() < 0.12),
            offset=float(rng.normal(0, 6)),
            gain=float(rng.normal(1, 0.05)),
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Say in words how it was scanned."""
        return (
            f"kernel sigma {self.blur:.2f} mm",
            f"slice {self.thickness:.1f} mm",
            f"noise {self.noise:.0f} HU",
            *(("round field",) if self.circle else ()),
        )


def scan(rng: np.random.Generator, hounsfield: Array, skeleton: Skeleton, scanner: Scanner) -> npt.NDArray[np.int16]:
    """Return the scanned image (int16, K, J, I) of true Hounsfield units (float32) on the same grid."""
    spacing = skeleton.grid.spacing
    value = hounsfield * np.where(hounsfield > 100, np.float32(scanner.gain), np.float32(1))
    value = _blur(value, spacing, scanner)
    if scanner.noise > 0:
        value += _noise(rng, value, spacing, scanner)
    if scanner.cupping != 0:
        value += _shading(value.shape, scanner)
    if (skeleton.metal < 0).any():
        value += _metal(rng, skeleton.metal)
    value += np.float32(scanner.offset)
    if scanner.circle:
        value = _crop_round(value)
    return np.clip(np.round(value), -1024, 3071).astype(np.int16)


def _blur(value: Array, spacing: npt.NDArray[np.float64], scanner: Scanner) -> Array:
    across = scanner.blur / spacing
    along = np.hypot(scanner.blur, scanner.thickness / 3.46) / spacing[2]
    sigma = (float(along), float(across[1]), float(across[0]))
    # Voxels of the grid have already averaged over one voxel.
    soft = ndimage.gaussian_filter(value, [np.sqrt(max(s * s - 0.06, 0.0)) for s in sigma], truncate=3.0)
    if scanner.overshoot > 0:
        wide = ndimage.gaussian_filter(soft, (0, 0.9 / spacing[1] + 0.2, 0.9 / spacing[0] + 0.2), truncate=3.0)
        soft = soft + np.float32(scanner.overshoot) * (soft - wide)
    return np.asarray(soft, dtype=np.float32)


def _noise(rng: np.random.Generator, value: Array, spacing: npt.NDArray[np.float64], scanner: Scanner) -> Array:
    noise = rng.standard_normal(value.shape, dtype=np.float32)
    grain = scanner.grain / spacing
    noise = ndimage.gaussian_filter(noise, (0.25 / float(spacing[2]), grain[1] * 0.8, grain[0] * 0.8), truncate=3.0)
    noise *= np.float32(scanner.noise / (noise.std() + 1e-6))
    level = 1 + 0.3 * smooth_field(rng, (value.shape[0], value.shape[1], value.shape[2]), spacing, 60.0)
    noise *= np.maximum(level, 0.4)
    if scanner.streaks > 0:
        # Left-right streaks where shoulders or hips eat the beam.
        lines = ndimage.gaussian_filter(
            rng.standard_normal(value.shape, dtype=np.float32), (0.3, 0.6, 14.0 / spacing[0]), truncate=2.0
        )
        noise += np.float32(scanner.streaks) * lines / (lines.std() + 1e-6)
    return np.asarray(noise, dtype=np.float32)


def _shading(shape: tuple[int, ...], scanner: Scanner) -> Array:
    j = np.linspace(-1, 1, shape[1])[:, None] ** 2
    i = np.linspace(-1, 1, shape[2])[None, :] ** 2
    return np.asarray(scanner.cupping * (j + i - 0.66), dtype=np.float32)[None]


def _metal(rng: np.random.Generator, metal: Array) -> Array:
    """Return dark and bright rays in every slice that holds metal (HU)."""
    rays = np.zeros(metal.shape, dtype=np.float32)
    strength = float(rng.uniform(150, 700))
    j, i = np.mgrid[: metal.shape[1], : metal.shape[2]].astype(np.float32)
    for k in np.flatnonzero((metal < 0).any(axis=(1, 2))):
        spots, count = ndimage.label(metal[k] < 0)
        for centre in ndimage.center_of_mass(spots > 0, spots, range(1, min(count, 4) + 1)):
            dj, di = j - centre[0], i - centre[1]
            phase = rng.uniform(0, 2 * np.pi, 4)
            angle = np.arctan2(dj, di)
            wave = sum(np.cos(n * angle + p) for n, p in zip((2, 8, 18, 30), phase, strict=True)) - 0.6
            rays[k] += (strength * wave / 4 * np.exp(-np.hypot(dj, di) / 22.0)).astype(np.float32)
    return rays


def _crop_round(value: Array) -> Array:
    j = np.linspace(-1, 1, value.shape[1])[:, None]
    i = np.linspace(-1, 1, value.shape[2])[None, :]
    return np.asarray(np.where(j * j + i * i > 1.0, np.float32(-1024), value), dtype=np.float32)
