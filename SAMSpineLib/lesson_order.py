"""What somebody wants a model to be taught, and what came of it: said by faces, carried out by whoever can teach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from SAMSpineLib.labels import Label
from SAMSpineLib.progress import StageProgress
from SAMSpineLib.volume import Volume


@dataclass(frozen=True, eq=False)
class LabelledVolume:
    """A volume and its label map (K, J, I); `complete` says that all that is there was labelled."""

    volume: Volume
    labels: npt.NDArray[np.integer[Any]] = field(repr=False)
    subject: str
    complete: bool = False


@dataclass(frozen=True, eq=False)
class LessonOrder:
    """What to teach.

    Attributes:
        name: of the model that is to come of it; one of this name that was taught before is replaced.
        structures: with their values in the label maps.
        volumes: that teach.
        steps: length of the run, 0 for the usual one.
    """

    name: str
    structures: tuple[Label, ...]
    volumes: tuple[LabelledVolume, ...]
    steps: int = 0


@dataclass(frozen=True)
class LessonResult:
    """What came of it: the model's name, its size in bytes, the steps taken, why it ended, and what was measured."""

    name: str
    bytes: int
    steps: int
    stopped: str
    figures: Mapping[str, float] = field(default_factory=dict)


class Teacher(Protocol):
    """Whoever can carry an order out."""

    def __call__(
        self, order: LessonOrder, *, progress: StageProgress | None = None, cancelled: Callable[[], bool] | None = None
    ) -> LessonResult:
        """Teach, keep the model among the user's own, and say what came of it.

        Args:
            order: what to teach.
            progress: called with a line for the user and the share (0..1) that is done.
            cancelled: asked after each step; True ends it, and the best model so far is kept.

        Raises:
            SAMSpineError: if it cannot be taught.
        """
        ...
