"""What trainings of networks on a SAM have in common: which SAM, and how what was learnt is begun with and kept."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.build import build_backbone
from SAMSpineLib.models.localiser.localisation import LEVEL_VALUES
from SAMSpineLib.models.taught_file import (
    LearntCard,
    LearntFile,
    LearntOnSam,
    TaughtStructure,
    check_backbone,
    fill,
    fingerprint,
)

Shape = TypeVar("Shape")
Network = TypeVar("Network", bound=LearntOnSam)


class OnSamRecipe(Protocol):
    """What such a training is told: the SAM, the size of its slices, their direction, and the seed."""

    @property
    def sam(self) -> str:
        """Name of the SAM."""
        ...

    @property
    def side(self) -> int:
        """Side (pixels) of a slice."""
        ...

    @property
    def direction(self) -> str:
        """In which slices are cut."""
        ...

    @property
    def seed(self) -> int:
        """Of the run."""
        ...


class OnSam(Generic[Shape, Network]):
    """A network that is learnt for all levels of the spine, on the SAM of a recipe; see `tasks.TaskOnSam`."""

    def __init__(self, file: LearntFile[Shape, Network], recipe: OnSamRecipe, config: Shape) -> None:
        """Take how networks are kept, the recipe, and the shape of the network."""
        self.config = config
        self._file, self._of = file, recipe

    def network(self) -> Network:
        """Return a model that has learnt nothing yet, on the SAM of the recipe."""
        return self._file.build(self.config, self._sam).train()

    def begin(self, network: Network, start: Path) -> None:
        """Fill the network with what a file of an earlier run holds; its slices may have had another size.

        Raises:
            ModelError: if the file is damaged, of another shape, or was taught on another SAM.
        """
        tensors, card = self._file.read(start)
        check_backbone(start, card, self._sam)
        fill(network, network.learnt(), tensors, start)

    def keep(self, network: Network, path: Path) -> Path:
        """Write what was learnt, with its card."""
        recipe, table = self._of, spine_labels()
        rows = [table.by_value(value) for value in LEVEL_VALUES]
        named = tuple(TaughtStructure(one.value, one.name, one.colour) for one in rows)
        sam = fingerprint(self._sam)
        card = LearntCard(named, recipe.sam, sam, self.config, recipe.direction, seed=recipe.seed)
        return self._file.save(path, network, card)

    @cached_property
    def _sam(self) -> Any:
        return build_backbone(self._of.sam, image_size=self._of.side).backbone.network
