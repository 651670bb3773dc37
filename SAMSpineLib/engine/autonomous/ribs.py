"""Which vertebrae bear ribs: the landmark that readers count from (the last rib is T12's, the first T1's)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from SAMSpineLib.engine.autonomous.instances import Instances
from SAMSpineLib.engine.autonomous.spine_line import Array, SpineLine
from SAMSpineLib.models.localiser.localisation import Localisation
from SAMSpineLib.volume import Grid


@dataclass(frozen=True)
class RibSettings:
    """Where a vertebra's own ribs are looked for, and what finding them there is worth.

    A rib leaves its vertebra at the head, behind the transverse process, and falls: in a window beside the spine that
    begins above the centre and ends well below it there is one rib, the vertebra's own.

    Attributes:
        along: window along the spine, in spacings of the centres, downwards from the vertebra's own.
        beside: window to each side (mm from the spine's line).
        forward: window to the front (mm from the spine's line).
        in_view: share of a window that the image must hold.
        even: volume (ml a side) that says nothing for or against a rib.
        slope: log-odds for each ml above or below it. Both are a logistic regression on T10 to L3 of 40 synthetic
            spines that the localiser was not trained on: 147 vertebrae.
        without, with_rib: bounds of the log-odds. At 0.15 ml 93 % of those that bear a rib are told, and none of the
            others; real ribs are a little more than that in doubt, and some people have one at L1.
    """

    along: tuple[float, float] = (-0.2, 0.8)
    beside: tuple[float, float] = (24.0, 42.0)
    forward: tuple[float, float] = (-55.0, 10.0)
    in_view: float = 0.6
    even: float = 0.11
    slope: float = 40.0
    without: float = -2.5
    with_rib: float = 3.0


def rib_evidence(
    seen: Localisation, instances: Instances, view: Grid, settings: RibSettings | None = None
) -> npt.NDArray[np.float64]:
    """Return (N,) log-odds that each instance bears ribs; 0 where the image does not show it.

    Args:
        seen: the localiser's maps.
        instances: what was found in them.
        view: the image's own grid, beyond which the maps may reach.
        settings: where to look and what to believe.
    """
    settings = settings or RibSettings()
    volumes = rib_volumes(seen, instances, view, settings)
    known = ~np.isnan(volumes)
    mean = np.where(known, volumes, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    odds = np.clip(settings.slope * (mean - settings.even), settings.without, settings.with_rib)
    return np.where(known.any(axis=1), odds, 0.0)


def rib_volumes(seen: Localisation, instances: Instances, view: Grid, settings: RibSettings) -> npt.NDArray[np.float64]:
    """Return (N, 2) the volume of ribs (ml) in the windows to the right and left; NaN where the image ends."""
    line, step = instances.line, float(seen.grid.spacing.mean())
    volumes = np.full((len(instances.instances), 2), np.nan)
    if line is None:
        return volumes
    vertebrae = [n for n, one in enumerate(instances.instances) if not one.is_sacrum]
    along = line.project([instances.instances[n].centre for n in vertebrae])
    # A vertebra that the border cuts has its centre in the wrong place: its neighbours know the spacing better.
    gaps = ndimage.median_filter(np.diff(along), 3, mode="mirror")
    for n, place, gap in zip(vertebrae, along, np.append(gaps, gaps[-1:]), strict=True):
        for column, side in enumerate((1.0, -1.0)):
            places = _window(line, place, gap, side, step, settings)
            shown = view.holds(places)
            if shown.mean() >= settings.in_view:
                kji = np.moveaxis(seen.grid.to_ijk(places[shown])[..., ::-1], -1, 0)
                rib = ndimage.map_coordinates(seen.ribs, kji, order=1, mode="nearest") > 0.5
                volumes[n, column] = rib.mean() * shown.size * step**3 / 1000
    return volumes


def _window(line: SpineLine, place: float, gap: float, side: float, step: float, settings: RibSettings) -> Array:
    """Return places (M, 3) in RAS mm, `step` apart, where a vertebra's rib of one side would be."""
    first, last = (place + share * gap for share in settings.along)
    s, out, front = np.meshgrid(
        np.arange(first, last, step), np.arange(*settings.beside, step), np.arange(*settings.forward, step)
    )
    down = line.tangent(s)
    right = np.array([1.0, 0.0, 0.0]) - down * down[..., :1]
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    places = line.at(s) + side * out[..., None] * right + front[..., None] * np.cross(right, down)
    return np.asarray(places.reshape(-1, 3))
