"""MaskSAM at work: a volume in; a label map, or a prompt for everything that is found, out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from SAMSpineLib.errors import ModelError
from SAMSpineLib.labels import Label
from SAMSpineLib.models.masksam.learnt import MaskSamCard
from SAMSpineLib.models.masksam.network import MaskSam, StackAnswer
from SAMSpineLib.models.masksam.tracks import CLAIM, Track, Tracks
from SAMSpineLib.models.masksam.windows import between, windows
from SAMSpineLib.models.precision import Precision, casting
from SAMSpineLib.models.sam.linear import use_onednn
from SAMSpineLib.models.sam.promptable import SamPromptable
from SAMSpineLib.models.sam2rad.segmenter import NORMALS
from SAMSpineLib.models.whole_map import LabelMap, Tally, WholeMap
from SAMSpineLib.prompts import MaskPrompt, Point, Prompt
from SAMSpineLib.resampling import sample_labels
from SAMSpineLib.stack import Stack, own_stack
from SAMSpineLib.volume import Volume

Share = Callable[[float], None]
Names = Callable[[Sequence[Track]], Sequence[int]]

# A SAM's mask has one value for so many pixels of its image, along either side.
MASK_STRIDE = 4
# A track that is smaller (cubic mm) is none.
CRUMB = 500.0
# What is found in fewer voxels than that is nothing to prompt with.
FEWEST_VOXELS = 10


class MaskSamPrompter:
    """The `Prompter` that needs no other: a SAM that prompts itself."""

    def __init__(
        self, network: MaskSam, card: MaskSamCard, sam: SamPromptable, name: str, precision: Precision = "auto"
    ) -> None:
        """Build on the SAM that the model was taught on.

        Args:
            network: what was taught.
            card: what is known of it.
            sam: the SAM of its card, which shows it a volume.
            name: of the model.
            precision: in which it computes.

        Raises:
            ModelError: if the SAM is for images of another size, or its device cannot compute in that precision.
        """
        if sam.backbone.image_size != network.sam.image_size:
            sizes = f"{network.sam.image_size} pixels, and '{sam.name}' shows {sam.backbone.image_size}"
            msg = f"'{name}' sees slices of {sizes}: build that SAM for slices of this size"
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

    def prompt(self, volume: Volume) -> Mapping[int, Sequence[Prompt]]:
        """Return for each label that is found its mask, and a click where the largest piece of it is deepest."""
        return prompts_in(self.segment(volume).labels, volume)

    def segment(self, volume: Volume, *, names: Names | None = None, progress: Share | None = None) -> WholeMap:
        """Return what each voxel of a volume is: the value of a label, 0 where nothing is found.

        Slices are looked at in windows along the axis that faces the direction of the card best, about
        `MaskSamConfig.apart` from each other, each of them stretched to the square that the SAM sees. What windows show
        of the same structure is one track, with one name; see `Tracks`. A place belongs to the class that claims
        it most, if all classes together claim it by more than `CLAIM`: that a vertebra may be L2 or L3 makes it no less
        a vertebra.

        Args:
            volume: of the modality of the card, or not, at the user's risk.
            names: given all tracks, head to foot, returns the label value of each, 0 for one that is none; without
                it, each is as likely of a class as the network says.
            progress: called with the share (0..1) that is done; what it raises ends the run.
        """
        own = own_stack(volume.grid, NORMALS[self.card.direction])
        shown = own.spaced(self.card.config.apart)
        seen = self._seen(volume, shown, progress)
        side = self._network.sam.image_size // MASK_STRIDE
        found = seen.found(shown.block(0, shown.count, (side, side)))
        values, kinds = self._named(found, names)
        scores = seen.scores(kinds, (side, side))
        size = own.voxels(volume.grid)
        labels, tally = np.zeros((own.count, *size), np.min_scalar_type(int(values.max()))), Tally()
        for number, (first, second, share) in enumerate(between(scores, shown.count, own.count)):
            both = torch.lerp(first, second, share)
            if bool((both.sum(dim=0) > CLAIM).any()):
                labels[number] = _labels(both, values, size, tally)
        if progress is not None:
            progress(1.0)
        whole: LabelMap = sample_labels(labels, own.block(0, own.count, size), volume.grid)
        return WholeMap(whole, tally.expected())

    def _seen(self, volume: Volume, shown: Stack, progress: Share | None) -> Tracks:
        """Return what windows along a stack show."""
        pictures: dict[int, Tensor] = {}
        side, tracks = self._network.sam.image_size, Tracks(shown.count)
        for window in windows(shown.count, self.card.config.depth):
            if progress is not None:
                progress(window.start / shown.count)
            for gone in pictures.keys() - set(window):
                del pictures[gone]
            for number in window:
                if number not in pictures:
                    picture = self._sam.picture(volume, shown.grid(number, (side, side)))
                    pictures[number] = torch.from_numpy(np.ascontiguousarray(picture))
            stack = torch.stack([pictures[number] for number in window])[None].to(self._device)
            with torch.inference_mode(), self._cast():
                answer: StackAnswer = self._network(stack)
            tracks.see(window, answer)
        return tracks

    def _named(self, found: Mapping[int, Track], names: Names | None) -> tuple[npt.NDArray[np.int_], dict[int, Tensor]]:
        """Return values (K,) of labels, and how much each track that is no crumb is of each of them (K,)."""
        kept = sorted((one for one in found if found[one].size > CRUMB), key=lambda one: -found[one].centre[2])
        if names is None:
            known = np.array([one.value for one in self.card.structures])
            return known, {one: torch.from_numpy(found[one].chances).float() for one in kept}
        chosen = {one: value for one, value in zip(kept, names([found[one] for one in kept]), strict=True) if value}
        values = np.unique(list(chosen.values()) or [0])
        return values, {one: torch.from_numpy(values == value).float() for one, value in chosen.items()}


def prompts_in(labels: LabelMap, volume: Volume) -> dict[int, list[Prompt]]:
    """Return prompts for each value of a label map (K, J, I): its mask, and a click in its largest piece."""
    prompts: dict[int, list[Prompt]] = {}
    for value, box in enumerate(ndimage.find_objects(labels.astype(np.int32)), start=1):
        if box is None:
            continue
        mask = labels[box] == value
        if mask.sum() < FEWEST_VOXELS:
            continue
        k, j, i = box
        grid = volume.grid.crop((i.start, i.stop - 1, j.start, j.stop - 1, k.start, k.stop - 1))
        pieces, _ = ndimage.label(mask)
        largest = pieces == np.bincount(pieces[mask]).argmax()
        depth = ndimage.distance_transform_edt(np.pad(largest, 1), sampling=grid.spacing[::-1])[1:-1, 1:-1, 1:-1]
        x, y, z = grid.to_ras(np.unravel_index(int(depth.argmax()), depth.shape)[::-1]).tolist()
        prompts[value] = [MaskPrompt(mask, grid), Point((x, y, z))]
    return prompts


def _labels(scores: Tensor, values: npt.NDArray[np.int_], size: tuple[int, int], tally: Tally) -> LabelMap:
    """Return the labels of a slice (H, W) from the scores (K, h, w) of all values, and count them."""
    claimed = _stretched(scores.sum(dim=0, keepdim=True), size)[0] > CLAIM
    can_win = scores.amax(dim=(1, 2)) > CLAIM / len(scores)  # who claims most of so much claims more than that
    fine = _stretched(scores[can_win], size)
    values = values[can_win.cpu().numpy()]
    named: LabelMap = np.where(claimed.cpu().numpy(), values[fine.argmax(dim=0).cpu().numpy()], 0)
    tally.add(named, zip(values.tolist(), fine.cpu().numpy(), strict=True))
    return named


def _stretched(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """Return scores (K, H, W) of a size."""
    return F.interpolate(scores[None], size=size, mode="bilinear", align_corners=False)[0]
