"""How a slice of CT would look to another modality: magnetic resonance, ultrasound, and pictures of nothing but layers.

All images are (H, W) intensities of a window, -1..1, and shares are (H, W), 0..1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from SAMSpineLib.training.augmentation import in_other_contrast

Plane = npt.NDArray[np.float32]

# In most sequences nothing comes from where there is no matter.
AIR_IS_DARK = 0.7


def as_magnetic_resonance(image: Plane, rng: np.random.Generator) -> Plane:
    """Give tissues another order of brightness, let it vary over the field, blur and add Rician noise."""
    grey = (in_other_contrast(image, rng) + 1) / 2
    if rng.random() < AIR_IS_DARK:
        grey = np.where(image > -0.99, grey, 0.0)
    field = _smooth(image.shape, rng, image.shape[0] / rng.uniform(2, 6))
    grey = grey * np.exp(rng.uniform(0, 0.5) * field)
    if rng.random() < 0.5:
        grey = ndimage.gaussian_filter(grey, rng.uniform(0.3, 1.2))
    level = rng.uniform(0.0, 0.08)
    real, imaginary = rng.normal(0, level, (2, *image.shape))
    return _windowed(np.hypot(grey + real, imaginary))


def as_ultrasound(image: Plane, rng: np.random.Generator) -> Plane:
    """Show borders and tissue as speckle that fades with depth, with bright lines where layers meet."""
    grey = (in_other_contrast(image, rng) + 1) / 2
    edges = ndimage.gaussian_gradient_magnitude(grey, rng.uniform(0.8, 2.0))
    echo = rng.uniform(0.2, 1.0) * grey + rng.uniform(0, 6.0) * edges + 0.05
    depth = np.linspace(0, 1, image.shape[0])[:, None]
    echo = echo * np.exp(-rng.uniform(0, 2.5) * depth)
    return _windowed(_log_compressed(_speckled(echo, rng), rng))


def layers(side: int, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Return a picture of stacked layers as ultrasound shows muscle between its sheaths, and the share of one sheath.

    Sheaths are thin, bright, nearly flat bands; between them run fibres.
    """
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    echo = np.full((side, side), rng.uniform(0.1, 0.4), np.float32)
    slope, pace = rng.uniform(-1.2, 1.2), rng.uniform(20, 70)
    echo += rng.uniform(0, 0.3) * np.sin(pace * (y + slope * x) + 2 * _smooth(echo.shape, rng, side / 6)).clip(0)
    bands = []
    for middle in np.sort(rng.uniform(0.08, 0.92, int(rng.integers(1, 5)))):
        bend = middle + rng.normal(0, 0.12) * (x - 0.5) + rng.normal(0, 0.1) * (x - 0.5) ** 2
        bend = bend + 0.01 * _smooth((1, side), rng, side / 8)
        away = np.abs(y - bend) * side - rng.uniform(2, 9) * side / 256
        bands.append(np.clip(0.5 - away, 0, 1))
        echo += rng.uniform(0.4, 1.0) * ndimage.gaussian_filter(bands[-1], 0.7) * rng.uniform(0.8, 1.2)
    target = bands[int(rng.integers(len(bands)))]
    echo *= np.exp(-rng.uniform(0, 1.5) * y)
    return _windowed(_log_compressed(_speckled(echo, rng), rng)), target.astype(np.float32)


def _speckled(echo: npt.NDArray[np.floating], rng: np.random.Generator) -> npt.NDArray[np.floating]:
    """Multiply by the envelope of a random interference pattern, wider across the beam than along it."""
    real, imaginary = rng.normal(size=(2, *echo.shape))
    grain = (rng.uniform(0.4, 1.0), rng.uniform(0.6, 2.0))
    envelope = np.hypot(ndimage.gaussian_filter(real, grain), ndimage.gaussian_filter(imaginary, grain))
    envelope /= envelope.mean()
    speckled: npt.NDArray[np.floating] = echo * (1 + rng.uniform(0.3, 1.0) * (envelope - 1))
    return speckled


def _log_compressed(echo: npt.NDArray[np.floating], rng: np.random.Generator) -> npt.NDArray[np.floating]:
    strength = rng.uniform(3, 30)
    compressed: npt.NDArray[np.floating] = np.log1p(strength * np.clip(echo, 0, None))
    return compressed


def _smooth(shape: tuple[int, ...], rng: np.random.Generator, sigma: float) -> npt.NDArray[np.floating]:
    """Return a smooth random field of about unit deviation: coarse noise, enlarged."""
    coarse = [max(2, round(2 * size / sigma)) if size > 1 else 1 for size in shape]
    noise = rng.normal(size=coarse)
    factors = [size / few for size, few in zip(shape, coarse, strict=True)]
    smooth: npt.NDArray[np.floating] = ndimage.zoom(noise, factors, order=1 if min(coarse) < 4 else 3, grid_mode=False)
    return smooth


def _windowed(grey: npt.NDArray[np.floating]) -> Plane:
    """Bring an image to -1..1 by its 0.5th and 99.5th percentile."""
    low, high = np.percentile(grey, [0.5, 99.5])
    windowed: Plane = (np.clip((grey - low) / max(high - low, 1e-6), 0, 1) * 2 - 1).astype(np.float32)
    return windowed
