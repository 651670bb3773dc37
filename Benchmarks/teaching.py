"""What ten labelled images teach: a taught model against the same SAM without teaching, and against a U-Net.

`python -m Benchmarks.teaching us --data ../shared/data --images 10 --split 1` prints one JSON object: Dice on images
that did not teach, each image (or subject) counting once, in the images' own grid.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from Benchmarks.unet_control import train_control
from SAMSpineLib.engine.autonomous.taught import segment_taught
from SAMSpineLib.engine.session import Session
from SAMSpineLib.evaluation.curves import RobotSettings
from SAMSpineLib.evaluation.cuts import Cut, cuts_of
from SAMSpineLib.evaluation.metrics import dice
from SAMSpineLib.evaluation.robot import next_click
from SAMSpineLib.evaluation.slice_curves import SMALLEST, SlicePlan, simulate_slices
from SAMSpineLib.labels import Label
from SAMSpineLib.models.build import build_promptable
from SAMSpineLib.models.protocols import Promptable
from SAMSpineLib.models.sam.promptable import SamPromptable
from SAMSpineLib.models.sam2rad.segmenter import TaughtSam
from SAMSpineLib.models.sam2rad.taught import load_taught
from SAMSpineLib.resampling import sample
from SAMSpineLib.stack import stack_along
from SAMSpineLib.training.teaching.images import TeachImage, read_images, wanted
from SAMSpineLib.training.teaching.plan import RECIPE, TeachPlan
from SAMSpineLib.training.teaching.slices import DIRECTIONS, Shown
from SAMSpineLib.training.teaching.teach import teach
from SAMSpineLib.volume import Volume, slices_of

CLICKS, CORRECTIONS = 5, 3


@dataclass(frozen=True)
class DataSet:
    """Labelled images: pairs of files, structures, in which slices, what they are, and every which slice is tried."""

    pairs: Callable[[Path], list[tuple[Path, Path]]]
    structures: tuple[str, ...]
    direction: str = "acquired"
    modality: str | None = None
    every: int = 1


def _beside(images: str, old: str, new: str) -> Callable[[Path], list[tuple[Path, Path]]]:
    """Return what finds images by a pattern, and labels beside them by what stands in the name instead."""
    return lambda data: [(path, path.with_name(path.name.replace(old, new))) for path in sorted(data.glob(images))]


def _ct(data: Path) -> list[tuple[Path, Path]]:
    return [
        (data / "ct" / folder / image, data / "ct" / folder / labels)
        for folder, image, labels in (
            ("LIDC-IDRI-0001", "dicom", "vertebrae_verse-ids.nii.gz"),
            ("sub-verse014", "sub-verse014_ct.nii.gz", "sub-verse014_seg-vert_msk.nii.gz"),
            ("ts_example", "example_ct.nii.gz", "vertebrae_verse-ids.nii.gz"),
        )
    ]


LEVELS = tuple(f"L{n}={19 + n}" for n in range(1, 6))
SETS = {
    "us": DataSet(_beside("us/apo_*_image.png", "_image", "_mask"), ("aponeurosis",)),
    "vb3": DataSet(_beside("mr/vb3/*_mr.nii.gz", "_mr", "_seg"), ("vertebra",), "sagittal", "MR", 4),
    "vb3-levels": DataSet(_beside("mr/vb3/*_mr.nii.gz", "_mr", "_seg"), LEVELS, "sagittal", "MR", 4),
    "ct": DataSet(_ct, ("vertebra",), "sagittal", None, 16),
}


def main(arguments: Sequence[str]) -> int:
    """Teach, measure, print."""
    asked = _parsed(arguments)
    chosen = SETS[asked.set]
    images = _images(asked.data, chosen)
    order = np.random.default_rng(asked.split).permutation(len(images))
    count = len(images) - asked.test if asked.images == 0 else asked.images
    teaching = [images[n] for n in order[asked.test :][:count]]
    testing = [images[n] for n in order[: asked.test]]
    sam = build_promptable(asked.model)
    if not isinstance(sam, SamPromptable):
        print(f"{asked.model} is no SAM", file=sys.stderr)
        return 2
    recipe = replace(RECIPE, seed=asked.split, steps=asked.steps or RECIPE.steps)
    plan = TeachPlan(wanted(chosen.structures), sam, chosen.direction, recipe)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        done = teach(plan, teaching, Path(folder), progress=_told)
        seconds = time.perf_counter() - started
        network, card = load_taught(done.path, sam.backbone.network)
        megabytes = done.path.stat().st_size / 1e6
    found: dict[str, object] = {
        "set": asked.set, "split": asked.split, "teaching": len(teaching), "testing": len(testing),
        "seconds": round(seconds), "steps": done.steps, "megabytes": round(megabytes, 1),
        "taught": _scores(TaughtSam(network, card, sam, "taught"), plan, testing, chosen),
    }  # fmt: skip
    if not asked.alone:
        found["untaught"] = _scores(sam, plan, testing, chosen)
        found["unet"] = _control(plan, teaching, testing, seconds, asked.split)
    print(json.dumps(found))
    return 0


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", choices=sorted(SETS))
    parser.add_argument("--data", type=Path, required=True, help="the folder of the real images")
    parser.add_argument("--model", default="sam-spine-tiny")
    parser.add_argument("--images", type=int, default=10, help="that teach; 0: all that are not for the test")
    parser.add_argument("--test", type=int, default=7, help="images that are for the test")
    parser.add_argument("--split", type=int, default=1)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--alone", action="store_true", help="without what it is compared with")
    return parser.parse_args(arguments)


def _images(data: Path, chosen: DataSet) -> list[TeachImage]:
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "list.csv"
        rows = [f"{image.resolve()},{labels.resolve()}" for image, labels in chosen.pairs(data)]
        manifest.write_text("\n".join(["image,labels", *rows]))
        return list(read_images(manifest, modality=chosen.modality))


def _told(stage: str, done: int, total: int, seen: dict[str, float]) -> None:
    if stage == "teach" and done % 50 == 0:
        print(f"{done}/{total}, held back {seen.get('held_dice', 0):.3f}", file=sys.stderr)


def _scores(model: Promptable, plan: TeachPlan, images: Sequence[TeachImage], chosen: DataSet) -> dict[str, object]:
    """Return the mean Dice of slices with a box, and after each click on them.

    Of a taught model also that without a prompt (`none`), and after each click on what it found (`corrected`).
    """
    session = Session(model)
    none, corrected, box, clicks = [], [], [], []
    for image in images:
        truth, labels = _truth(image, plan)
        cut = _cut(image, plan)
        if isinstance(model, TaughtSam):
            session.set_volume(image.volume)
            segment_taught(session)
            none.append(_by_slice(session.result, truth.array, labels, cut, chosen.every))
            corrected.append(_corrected(session, truth, labels, cut, chosen.every))
        robot = SlicePlan(cut, RobotSettings(CLICKS), follow=False, every=chosen.every)
        mean = simulate_slices(session, image.volume, truth, labels, robot).mean()
        box.append(mean["box"])
        clicks.append(mean["dice"])
    after = np.mean(clicks, axis=0).round(3).tolist()
    found: dict[str, object] = {"box": round(float(np.mean(box)), 3), "clicks": after}
    if none:
        after = np.nanmean(corrected, axis=0).round(3).tolist()
        found = {"none": round(float(np.nanmean(none)), 3), "corrected": after, **found}
    return found


def _corrected(session: Session, truth: Volume, labels: Sequence[Label], cut: Cut, every: int) -> list[float]:
    """Return the mean Dice of slices before, and after each of `CORRECTIONS` clicks on what was found in them."""
    rng, curves = np.random.default_rng(0), []
    for label in labels:
        session.select(label)
        areas, rows = cut.areas(truth.array == label.value), []
        for index in (one for one in range(0, cut.count, every) if areas[one] >= SMALLEST):
            extent = cut.extent(index)
            wanted = np.asarray(truth.array[slices_of(extent)] == label.value)
            row = [dice(wanted, session.result[slices_of(extent)] == label.value)]
            for _ in range(CORRECTIONS):
                drawn = session.result[slices_of(extent)] == label.value
                click = next_click(wanted, drawn, cut.grid.crop(extent), rng=rng)
                if click is not None:
                    session.add(replace(click, normal=cut.normal))
                row.append(dice(wanted, session.result[slices_of(extent)] == label.value))
            rows.append(row)
            while session.prompts:
                session.undo()
        curves.append(np.mean(rows, axis=0) if rows else np.full(CORRECTIONS + 1, np.nan))
    return [float(one) for one in np.nanmean(curves, axis=0)]


def _truth(image: TeachImage, plan: TeachPlan) -> tuple[Volume, list[Label]]:
    """Return an image's truth in the values of what is taught, and the labels that it has."""
    array = np.zeros(image.volume.shape, np.uint16)
    for one in plan.structures:
        array[image.marked(one)] = one.structure.value
    labels = [one.label for one in plan.named if (array == one.value).any()]
    return Volume(array, image.volume.grid, image.subject), labels


def _cut(image: TeachImage, plan: TeachPlan) -> Cut:
    return cuts_of(image.volume.grid, None if plan.direction == "acquired" else plan.direction)[0]


def _by_slice(
    found: npt.NDArray[np.integer], truth: npt.NDArray[np.integer], labels: Sequence[Label], cut: Cut, every: int
) -> float:
    """Return the mean Dice of the slices that hold enough of a structure, each structure counting once."""
    scores = []
    for label in labels:
        a, b = (np.moveaxis(one == label.value, cut.axis, 0) for one in (truth, found))
        rows = [dice(x[None], y[None]) for x, y in zip(a[::every], b[::every], strict=True) if x.sum() >= SMALLEST]
        scores.append(float(np.mean(rows)) if rows else float("nan"))
    return float(np.nanmean(scores))


def _control(
    plan: TeachPlan, teaching: Sequence[TeachImage], testing: Sequence[TeachImage], seconds: float, seed: int
) -> dict[str, object]:
    """Return the mean Dice of slices by a U-Net that had the same images and the same time."""
    control = train_control(plan, teaching, seconds, seed)
    scores = []
    for image in testing:
        truth, labels = _truth(image, plan)
        result = np.zeros(image.volume.shape, np.uint16)
        stack = stack_along(image.volume.grid, DIRECTIONS[plan.direction])
        for index in range(stack.count):
            shown = Shown(image, plan.model.slice_grid(stack, index))
            logits = control.marks(plan, shown)
            place = image.volume.grid.extent_of(shown.grid)
            if place is None:
                continue
            crop = image.volume.grid.crop(place)
            values = np.stack([sample(one[None], shown.grid, crop, fill=-10.0) for one in logits])
            best = np.array([one.structure.value for one in plan.structures], np.uint16)[values.argmax(axis=0)]
            k, j, i = (slice(a, b + 1) for a, b in zip(place[4::-2], place[5::-2], strict=True))
            result[k, j, i] = np.where(values.max(axis=0) > 0, best, 0)
        scores.append(_by_slice(result, truth.array, labels, _cut(image, plan), 1))
    return {"none": round(float(np.nanmean(scores)), 3), "steps": control.steps}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
