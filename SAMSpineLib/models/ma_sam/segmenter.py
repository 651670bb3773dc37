"""MA-SAM at work: a volume, and what registered atlases say of it, in; a label map out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from monai.inferers import sliding_window_inference
from torch import Tensor

from SAMSpineLib.errors import ModelError
from SAMSpineLib.labels import Label
from SAMSpineLib.models.ma_sam.learnt import MaSamCard
from SAMSpineLib.models.ma_sam.network import MaSam
from SAMSpineLib.models.ma_sam.pseudo_masks import PseudoMasks
from SAMSpineLib.models.masksam.windows import between
from SAMSpineLib.models.precision import Precision, casting
from SAMSpineLib.models.sam.linear import use_onednn
from SAMSpineLib.models.sam.promptable import SamPromptable
from SAMSpineLib.models.sam2rad.segmenter import NORMALS
from SAMSpineLib.models.whole_map import LabelMap, Tally, WholeMap
from SAMSpineLib.resampling import sample, sample_labels
from SAMSpineLib.stack import Stack, own_stack
from SAMSpineLib.volume import Grid, Volume, slices_of

Share = Callable[[float], None]

# So far (mm) beyond what atlases say is looked for the rest.
MARGIN = 25.0
# Windows overlap by this share of their side.
OVERLAP = 0.25


class MaSamSegmenter:
    """A SAM that is prompted by atlases, for all classes at once."""

    def __init__(
        self, network: MaSam, card: MaSamCard, sam: SamPromptable, name: str, precision: Precision = "auto"
    ) -> None:
        """Build on the SAM that the model was taught on.

        Args:
            network: what was taught.
            card: what is known of it.
            sam: the SAM of its card, which shows it a volume.
            name: of the model.
            precision: in which it computes.

        Raises:
            ModelError: if the card does not name every class but background, or the device cannot compute in that
                precision.
        """
        if len(card.structures) + 1 != network.config.classes:
            counts = f"{network.config.classes} classes, its card names {len(card.structures)} beside background"
            msg = f"'{name}' tells apart {counts}; restore the file or teach it anew"
            raise ModelError(msg)
        self.name, self.card = name, card
        self._device = sam.backbone.device
        self._cast = casting(precision, str(self._device))
        self._network, self._sam = network.to(self._device).eval(), sam
        if self._device.type == "cpu":
            use_onednn(self._network)

    @property
    def structures(self) -> tuple[Label, ...]:
        """What it was taught."""
        return tuple(one.label for one in self.card.structures)

    def segment(self, volume: Volume, said: PseudoMasks, *, progress: Share | None = None) -> WholeMap:
        """Return what each voxel of a volume is: the value of a label, 0 for background.

        Slices are looked at along the axis that faces the direction of the card best, about `MaSamConfig.apart` from
        each other, in square windows; only around what is said, where nothing is said nothing is found.

        Args:
            volume: of the modality of the card, or not, at the user's risk.
            said: by atlases that were registered to it.
            progress: called with the share (0..1) that is done; what it raises ends the run.

        Raises:
            ModelError: if the model was made for another number of atlases.
        """
        own = own_stack(volume.grid, NORMALS[self.card.direction])
        shown, size = own.spaced(self.card.config.apart), own.voxels(volume.grid)
        values = np.array([0, *(one.value for one in self.card.structures)])
        labels, tally = np.zeros((own.count, *size), np.min_scalar_type(int(values.max()))), Tally()
        field = self._field(shown, said)
        if field is not None:
            seen = between(self._scores(volume, said, shown, field, progress), shown.count, own.count)
            for number, (first, second, share) in enumerate(seen):
                kinds = torch.maximum(first, second).amax(dim=(1, 2)) > 1 / len(values)
                kinds[0] = True
                if bool(kinds[1:].any()):
                    scores = torch.lerp(first[kinds], second[kinds], share).cpu().numpy()
                    places = own.grid(number, size), field.grid(own, number)
                    _paint(labels[number], places, scores, values[kinds.cpu().numpy()], tally)
        if progress is not None:
            progress(1.0)
        found: LabelMap = sample_labels(labels, own.block(0, own.count, size), volume.grid)
        return WholeMap(found, tally.expected())

    def _field(self, shown: Stack, said: PseudoMasks) -> _Field | None:
        """Return what part of the slices is looked at, at least one window; None if nothing is said."""
        config, corners = self.card.config, said.corners()
        if not len(corners):
            return None
        height, width = (max(1, round(side / config.pixel)) for side in shown.size)
        block = shown.block(0, shown.count, (height, width))
        ijk = block.to_ijk(corners)
        low, high = ijk.min(axis=0) - MARGIN / block.spacing, ijk.max(axis=0) + MARGIN / block.spacing
        first, count = np.floor(low).astype(int), np.ceil(high - low).astype(int) + 1
        wanted = np.maximum(count, config.image_size)
        i, j, _ = (first - (wanted - count) // 2).tolist()
        extent = (i, i + int(wanted[0]) - 1, j, j + int(wanted[1]) - 1)
        return _Field((height, width), extent, range(int(first[2]), int(first[2] + count[2])))

    def _scores(
        self, volume: Volume, said: PseudoMasks, shown: Stack, field: _Field, progress: Share | None
    ) -> Iterator[Tensor]:
        """Return the probabilities (classes, h, w) on each slice of a stack, one after the other."""
        config, values = self.card.config, [one.value for one in self.card.structures]
        for number in range(shown.count):
            grid = field.grid(shown, number)
            if progress is not None:
                progress(number / shown.count)
            prompt = said.prompt(grid, values, config.atlases) if number in field.slices else None
            if prompt is None or not _says(torch.from_numpy(prompt), config.atlases):
                yield _background(config.classes, grid.shape[1:], self._device)
                continue
            picture = np.asarray(self._sam.picture(volume, grid), np.float32)
            seen = torch.from_numpy(np.concatenate([picture[None], prompt]))[None].to(self._device)
            with torch.inference_mode(), self._cast():
                side = config.image_size
                found = sliding_window_inference(seen, side, 1, self._window, overlap=OVERLAP, mode="gaussian")
            yield found[0]

    def _window(self, seen: Tensor) -> Tensor:
        """Return the probabilities (1, classes, S, S) in a window (1, 1 + P, S, S) of a picture and its prompt."""
        config = self.card.config
        if not _says(seen[0, 1:], config.atlases):
            return _background(config.classes, seen.shape[-2:], self._device)[None].contiguous()
        logits: Tensor = self._network(seen[:, 0], seen[:, 1:])
        return logits.float().softmax(dim=1)


@dataclass(frozen=True)
class _Field:
    """A part of the slices of a stack that have so many pixels (`size`): an extent in them, and some of their numbers.

    The extent (i0, i1, j0, j1; inclusive) may reach beyond them.
    """

    size: tuple[int, int]
    extent: tuple[int, int, int, int]
    slices: range

    def grid(self, stack: Stack, number: int) -> Grid:
        """Return that part (1, h, w) of a slice."""
        return stack.grid(number, self.size).crop((*self.extent, 0, 0))


def _paint(
    slice_labels: LabelMap,
    places: tuple[Grid, Grid],
    scores: npt.NDArray[np.float32],
    values: npt.NDArray[np.int_],
    tally: Tally,
) -> None:
    """Write the labels of a slice where it was looked at.

    Args:
        slice_labels: (H, W), changed in place.
        places: where they lie, (1, H, W), and where scores do, (1, h, w).
        scores: (n, h, w) of some classes.
        values: (n,) their labels.
        tally: counts them.
    """
    whole, shown = places
    extent = whole.extent_of(shown)
    if extent is None:
        return
    part = whole.crop(extent)
    fine = [sample(one[None], shown, part, fill=float(not value))[0] for one, value in zip(scores, values, strict=True)]
    named = slice_labels[slices_of(extent)[1:]]
    named[:] = values[np.argmax(fine, axis=0)]
    tally.add(named, zip(values.tolist(), fine, strict=True))


def _says(prompt: Tensor, atlases: int) -> bool:
    """Tell whether a prompt (P, H, W) says anything but background, which has a channel only among probabilities."""
    return bool((prompt if atlases else prompt[1:]).any())


def _background(classes: int, size: tuple[int, ...], device: torch.device) -> Tensor:
    """Return the probabilities (classes, H, W) of nothing but background."""
    sure = torch.zeros(classes, 1, 1, device=device)
    sure[0] = 1
    return sure.expand(-1, *size)
