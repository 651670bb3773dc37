"""`samspine segment`: clicks and boxes become a segmentation file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from SAMSpineLib.cli import options
from SAMSpineLib.cli.console import counting, natives_silent, note, number, print_json, print_table, working
from SAMSpineLib.cli.prompt_text import read_prompts
from SAMSpineLib.errors import LabelError, OutputError, PromptError, SAMSpineError
from SAMSpineLib.labels import Label, LabelTable, spine_labels
from SAMSpineLib.prompts import Box, MaskPrompt, Point, Prompt, Ras

if TYPE_CHECKING:
    from SAMSpineLib.engine.scripted import LabelReport
    from SAMSpineLib.engine.session import Session
    from SAMSpineLib.models.precision import Precision as PrecisionName
    from SAMSpineLib.volume import Volume

EXAMPLES = """\b
Places are R,A,S in millimetres, as 3D Slicer shows them beside the mouse: to the right,
to the front and to the head are positive. + is a click inside, - a click outside.

\b
Examples:
  One vertebra, for 3D Slicer:
    samspine segment ct.nii.gz l3.seg.nrrd --click L3:+:-3,-40,-38
  A correction, and a disc in the same file:
    samspine segment ct.nii.gz out.seg.nrrd --click L3:+:-3,-40,-38 --click L3:-:-3,-70,-38 \\
        --click "disc L3-L4:+:-3,-28,-58"
  Go on with an earlier result, from a DICOM folder, as a label map:
    samspine segment dicom/ out.nii.gz --series 3 --continue out.seg.nrrd --box L4:-30,-80,-95:30,0,-60
"""


def command(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="NIfTI, NRRD or MetaImage file, or DICOM folder.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Ends in .seg.nrrd, .nii.gz, .nii, .nrrd or .mha.")],
    *,
    click: Annotated[
        list[str] | None, typer.Option(metavar="LABEL:+:R,A,S", help="A click; as often as needed.")
    ] = None,
    box: Annotated[
        list[str] | None, typer.Option(metavar="LABEL:R,A,S:R,A,S", help="A box around it, by two opposite corners.")
    ] = None,
    earlier: Annotated[
        Path | None, typer.Option("--continue", metavar="FILE", help="Go on with this segmentation; it is kept in OUT.")
    ] = None,
    model: options.Model = "ct-sam3d-small",
    weights: options.Weights = None,
    series: options.Series = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Let structures take voxels that others have already.")
    ] = False,
    direction: options.Direction = None,
    propagate: options.Propagate = True,
    device: options.Device = "cpu",
    precision: options.Precision = "auto",
    as_json: options.Json = False,
) -> None:
    """Segment structures from clicks and boxes.

    OUT is written whole or not at all, and replaces a file of that name. A name may be a vertebra (L3), sacrum,
    'disc L3-L4', 'spinal canal' or spine (the whole one).
    """
    normal = options.NORMALS[direction] if direction is not None else None
    given = read_prompts(click or (), box or (), spine_labels())
    orders = {label: [facing(one, normal) for one in prompts] for label, prompts in given.items()}
    check_output(out, image)
    session, table, notices = open_session(
        image,
        orders,
        series=series,
        earlier=earlier,
        model=model,
        weights=weights,
        device=device,
        precision=precision,
    )
    for text in notices:
        note(text)
    reports: list[LabelReport] = []
    with saving_what_is_done(session, reports, out, table):
        from SAMSpineLib.engine.scripted import run_prompts

        with counting("Segmenting") as tell:
            reports.extend(run_prompts(session, orders, overwrite=overwrite, propagate=propagate, progress=tell))
    write(session, out, table)
    for report in reports:
        if not report.voxels:
            note(f"{report.label.name} is empty: nothing was found there, or other labels hold it (see --overwrite)")
    show(reports, out, model, notices, as_json=as_json)


def facing(prompt: Prompt, normal: Ras | None) -> Prompt:
    """Return a prompt as drawn in a slice that faces a direction."""
    return prompt if isinstance(prompt, MaskPrompt) else replace(prompt, normal=normal)


def check_output(out: Path, image: Path) -> None:
    """Refuse, before any work, a result that could not be written or would destroy the image.

    Raises:
        OutputError: saying which.
    """
    from SAMSpineLib.io.writing import check_output_type
    from SAMSpineLib.safe_write import check_writable

    check_output_type(out)
    if out.resolve() == image.resolve():
        msg = f"{out} is the image itself; give the result another name"
        raise OutputError(msg)
    check_writable(out)


def open_session(
    image: Path,
    orders: dict[Label, list[Prompt]],
    *,
    series: str | None,
    earlier: Path | None,
    model: str,
    weights: Path | None,
    device: str,
    precision: PrecisionName,
) -> tuple[Session, list[Label], tuple[str, ...]]:
    """Read the image and an earlier result, check the prompts against them, and only then build the network."""
    from SAMSpineLib.cli.serve import build_networks
    from SAMSpineLib.engine.fallback import sturdy_session
    from SAMSpineLib.engine.settings import EngineSettings
    from SAMSpineLib.io import read_with_notices

    with working(f"Reading {image}"):
        result = read_with_notices(image, series=series)
    labels, table, notices = None, list(spine_labels()), result.notices
    if earlier is not None:
        labels, table, more = read_earlier(earlier, result.volume, spine_labels())
        notices += more
    check_prompts(orders, result.volume, labels)
    settings = EngineSettings(precision=precision)
    networks = build_networks(model, weights, None, device, settings)
    with working(f"Loading {model}"):
        networks.load()
    session, _ = sturdy_session(networks, note, settings)
    session.set_volume(result.volume, labels)
    return session, table, notices


def check_prompts(orders: dict[Label, list[Prompt]], volume: Volume, labels: np.ndarray[Any, Any] | None) -> None:
    """Refuse prompts outside the volume, and labels that are only told what they are not.

    Raises:
        PromptError: naming the label.
    """
    from SAMSpineLib.engine.steps import check_inside

    for label, prompts in orders.items():
        for prompt in prompts:
            try:
                check_inside(prompt, volume.grid)
            except PromptError as error:
                msg = f"{label.name}: {error}"
                raise PromptError(msg) from error
        known = labels is not None and bool((labels == label.value).any())
        if not known and not any(isinstance(one, Box) or (isinstance(one, Point) and one.positive) for one in prompts):
            msg = f"{label.name} has clicks outside of it only; give at least one inside, as in {label.name}:+:R,A,S"
            raise PromptError(msg)


def read_earlier(
    path: Path, volume: Volume, table: LabelTable
) -> tuple[np.ndarray[Any, Any], list[Label], tuple[str, ...]]:
    """Read a segmentation onto a volume's grid; also the labels it needs and what a person should know.

    Raises:
        LabelError: if it lies elsewhere.
    """
    from SAMSpineLib.io import place_labels, read_segmentation

    found = read_segmentation(path, table)
    labels = place_labels(found.labels, found.grid, volume.grid)
    before, after = (int(np.count_nonzero(one)) for one in (found.labels, labels))
    if before and not after:
        msg = f"{path} and the image do not overlap: is it another patient's, or another series?"
        raise LabelError(msg)
    notices = found.notices
    kept = after * volume.grid.voxel_volume / max(before * found.grid.voxel_volume, 1e-9)
    if before and abs(kept - 1) > 0.01:
        notices += (f"{path.name} reaches beyond the image or is much finer: {100 * kept:.0f} % of it is kept",)
    others = [Label(one.value, one.name, one.name, "other", one.colour) for one in found.segments if not one.known]
    return labels, [*table, *others], notices


@contextmanager
def saving_what_is_done(
    session: Session, reports: Sequence[LabelReport], out: Path, table: list[Label]
) -> Iterator[None]:
    """Write the labels that are finished if one of the later ones fails; a file that is there already is kept."""
    try:
        yield
    except BaseException:
        if reports:
            names = ", ".join(report.label.name for report in reports)
            rescue = out if not out.exists() else out.with_name(f"unfinished-{out.name}")
            try:
                write(session, rescue, table)
                note(f"What was finished ({names}) is in {rescue}")
            except SAMSpineError as error:
                note(f"What was finished ({names}) could not be saved: {error}")
        raise


def write(session: Session, out: Path, table: list[Label]) -> None:
    """Write a session's result."""
    from SAMSpineLib.io import write_segmentation

    with working(f"Writing {out}"), natives_silent():
        write_segmentation(out, session.result, session.volume.grid, table)


def show(reports: Sequence[LabelReport], out: Path, model: str, notices: Sequence[str], *, as_json: bool) -> None:
    """Print what was found."""
    if as_json:
        labels = {
            one.label.name: {
                "voxels": one.voxels, "cm3": round(one.cm3, 3), "seconds": round(one.seconds, 3),
                "patches": one.patches, "quality": None if one.quality is None else round(one.quality, 3),
                "prompts": one.prompts,
            }
            for one in reports
        }  # fmt: skip
        print_json({"output": str(out), "model": model, "labels": labels, "notices": list(notices)})
        return
    columns = ("structure", "prompts", "voxels", "cm3", "seconds", "patches", "expected Dice")
    rows = [
        (one.label.name, str(one.prompts), str(one.voxels), number(one.cm3, 1), number(one.seconds, 2),
         str(one.patches), number(one.quality, 2))
        for one in reports
    ]  # fmt: skip
    print_table(f"{out} by {model}", columns, rows)
