"""Slices that were read, changed and, where the encoder stays, encoded once, and lie on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from SAMSpineLib.training.teaching.images import TeachImage
from SAMSpineLib.training.teaching.plan import TeachPlan
from SAMSpineLib.training.teaching.slices import Shown, truth_of, varied

LEVEL = "map{}"
GAMMA = 0.3
CONTRAST = 0.15


@dataclass(frozen=True, eq=False)
class Lesson:
    """A slice that teaches.

    Attributes:
        shown: its feature maps (C, H, W), coarse to fine; where the encoder is changed the picture (H, W) alone.
        share: (N, h, w), 0..1, of each structure.
        present: (N,) whether each is there.
    """

    shown: tuple[Tensor, ...]
    share: Tensor
    present: Tensor


@dataclass(frozen=True)
class Lessons:
    """The encoded slices in a folder.

    Attributes:
        identity: differs where SAM, structures, slices, labels or changes do.
        files: one for each slice.
        present: (slices, N), what is in which.
    """

    identity: str
    files: tuple[Path, ...]
    present: tuple[tuple[bool, ...], ...]

    def read(self, index: int) -> Lesson:
        """Read one slice."""
        stored = load_file(self.files[index])
        shown = tuple(stored[LEVEL.format(one)] for one in range(len(stored) - 1))
        return Lesson(shown, stored["share"].float() / 255, torch.tensor(self.present[index]))


def encode_lessons(
    shown: Sequence[Shown],
    plan: TeachPlan,
    folder: Path,
    *,
    variants: int,
    progress: Callable[[int, int], None] | None = None,
) -> Lessons:
    """Encode slices as they are and in some variants, and keep them in a folder; pictures where the encoder changes.

    What lies there already, from a run that was interrupted, is used again; what another plan left there is not.

    Args:
        shown: the slices.
        plan: whose SAM encodes them, and whose structures' truth is kept beside the features.
        folder: where they are kept.
        variants: of each slice, beside itself.
        progress: called as (slices done, slices in all).
    """
    identity = _identity(shown, plan, variants)
    place = folder / identity
    place.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    present: list[tuple[bool, ...]] = []
    total = len(shown) * (variants + 1)
    mirror = plan.mirrors([one.image for one in shown])
    for number in range(total):
        which, variant = divmod(number, variants + 1)
        path = place / f"{number:05d}.safetensors"
        if not path.is_file():
            rng = np.random.default_rng([plan.recipe.seed, number])
            one = varied(shown[which], rng, mirror=mirror) if variant else shown[which]
            _keep(path, one, plan, rng if variant else None)
        files.append(path)
        with safe_open(path, "pt") as handle:
            present.append(tuple(json.loads(handle.metadata()["present"])))
        if progress is not None:
            progress(number + 1, total)
    return Lessons(identity, tuple(files), tuple(present))


def _identity(shown: Sequence[Shown], plan: TeachPlan, variants: int) -> str:
    """Return what tells these features from any others: SAM, structures, slices and seed."""
    digest = hashlib.sha256(
        repr((plan.fingerprint, plan.structures, plan.config.encoder_rank > 0, variants, plan.recipe.seed)).encode()
    )
    images = {id(one.image): one.image for one in shown}
    contents = {key: _content(image) for key, image in images.items()}
    for one in shown:
        digest.update(contents[id(one.image)] + one.grid.ijk_to_ras.tobytes())
    return digest.hexdigest()[:16]


def _content(image: TeachImage) -> bytes:
    """Return the SHA-256 of an image's voxels, labels and their names."""
    digest = hashlib.sha256(repr((image.subject, image.volume.modality, sorted(image.names.items()))).encode())
    digest.update(np.ascontiguousarray(image.volume.array).data)
    digest.update(np.ascontiguousarray(image.labels).data)
    return digest.digest()


def _keep(path: Path, shown: Shown, plan: TeachPlan, light: np.random.Generator | None) -> None:
    """Encode a slice, in another light where a generator for it is given, into a file."""
    picture = plan.model.picture(shown.image.volume, shown.grid)
    if light is not None:
        picture = relit(picture, light)
    truth = truth_of(shown, plan.structures, plan.model.backbone.image_size)
    kept = _maps(plan, picture) if plan.config.encoder_rank == 0 else (torch.from_numpy(picture.round()).byte(),)
    stored = {LEVEL.format(level): value for level, value in enumerate(kept)}
    stored["share"] = torch.from_numpy((truth.share * 255).round().astype(np.uint8))
    partial = path.with_suffix(".partial")
    present = json.dumps([bool(there) for there in truth.present])
    save_file({name: value.cpu() for name, value in stored.items()}, partial, {"present": present})
    partial.replace(path)


def _maps(plan: TeachPlan, picture: np.ndarray) -> tuple[Tensor, ...]:
    """Return the feature maps of a picture, coarse to fine, in half precision."""
    image = torch.from_numpy(np.ascontiguousarray(picture))[None].expand(3, -1, -1)
    maps = plan.model.backbone.encode(image).maps
    return tuple(one[0].half().contiguous().clone() for one in reversed(maps))


def relit(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change brightness and contrast of grey values 0..255 as another scanner or another window would."""
    bright = (picture / 255).clip(0, 1) ** np.exp(rng.uniform(-GAMMA, GAMMA))
    changed = (bright - 0.5) * np.exp(rng.uniform(-CONTRAST, CONTRAST)) + 0.5
    return np.asarray(changed.clip(0, 1) * 255, np.float32)
