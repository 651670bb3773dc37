"""`samspine auto`: a whole spine without a click."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from SAMSpineLib.cli import options
from SAMSpineLib.cli.console import counting, note, number, print_json, print_table, working
from SAMSpineLib.cli.segment import check_output, write
from SAMSpineLib.engine.autonomous.methods import BY_ATLASES, UNLOCALISED, Run
from SAMSpineLib.labels import LabelTable, spine_labels

if TYPE_CHECKING:
    from SAMSpineLib.engine.autonomous.result import AutoResult

EXAMPLES = """\b
Levels that deserve a look are marked, and say why. Correct them in 3D Slicer, or with clicks:
samspine segment CT out2.seg.nrrd --continue out.seg.nrrd --click L3:-:2,-70,-38

\b
Examples:
  samspine auto ct.nii.gz out.seg.nrrd
  samspine auto dicom/ out.seg.nrrd --series 3 --report out.html
  samspine auto ct.nii.gz out.nii.gz --method atlas --library my_atlases/
  samspine auto ct.nii.gz out.seg.nrrd --method masksam --segmenter my-masksam
  samspine auto us.png out.seg.nrrd --method sam2rad --model aponeurosis    what `samspine teach` has taught
"""
STEPS = 1000


def command(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="NIfTI, NRRD or MetaImage file, or DICOM folder.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Ends in .seg.nrrd, .nii.gz, .nii, .nrrd or .mha.")],
    *,
    method: Annotated[
        Run,
        typer.Option(
            help="Prompt with what the localiser saw, or with atlases registered to it; give those to MA-SAM; let "
            "MaskSAM do it alone; or find what --model was taught."
        ),
    ] = "centres",
    library: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Atlases of your own, beside the bundled ones.")
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page (HTML) with pictures.")] = None,
    model: options.Model = "ct-sam3d-small",
    weights: options.Weights = None,
    localiser_weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights of your own for the localiser.")
    ] = None,
    segmenter: Annotated[
        str,
        typer.Option(metavar="NAME", help="For ma-sam and masksam: which one, of `samspine models list`."),
    ] = "",
    series: options.Series = None,
    device: options.Device = "cpu",
    precision: options.Precision = "auto",
    as_json: options.Json = False,
) -> None:
    """Find, name and segment every vertebra.

    OUT is written whole or not at all. Where nothing visible fixes the numbering, the result says so and names the
    other numberings.
    """
    from SAMSpineLib.safe_write import check_writable

    check_output(out, image)
    if report is not None:
        check_writable(report)
    from SAMSpineLib.atlas.library import atlases_of
    from SAMSpineLib.cli.serve import build_networks
    from SAMSpineLib.engine.autonomous.run import run_autonomous
    from SAMSpineLib.engine.fallback import sturdy_session
    from SAMSpineLib.engine.settings import EngineSettings
    from SAMSpineLib.io import read_with_notices

    table = spine_labels()
    with working(f"Reading {image}"):
        read = read_with_notices(image, series=series)
    for text in read.notices:
        note(text)
    atlases = atlases_of(library) if method in BY_ATLASES else ()
    settings = EngineSettings(precision=precision)
    networks = build_networks(model, weights, localiser_weights, device, settings, segmenter=segmenter)
    with working("Loading the networks"):
        networks.load(localiser=method not in UNLOCALISED)
    session, eyes = sturdy_session(networks, note, settings)
    session.set_volume(read.volume)
    with counting("Segmenting") as tell:
        result = run_autonomous(
            session, eyes, method, atlases=lambda: atlases,
            progress=lambda stage, share: tell(round(STEPS * share), STEPS, stage),
        )  # fmt: skip
    table = LabelTable({label.value: label for label in (*table, *result.structures)}.values())
    if result.message:
        note(result.message[0].upper() + result.message[1:])
    if result.levels:
        write(session, out, list(table))
    if report is not None:
        from SAMSpineLib.evaluation.auto_report import write_report

        with working(f"Writing {report}"):
            write_report(report, read.volume, result, table)
    show(result, out, table, as_json=as_json)


def show(result: AutoResult, out: Path, table: LabelTable, *, as_json: bool) -> None:
    """Print what was found."""
    if as_json:
        print_json(as_dict(result, out, table))
        return
    columns = ("structure", "sure of the name", "expected Dice", "voxels", "look at it, because")
    rows = [
        (table.by_value(one.value).name, number(one.confidence, 2), number(one.quality, 2), str(one.voxels),
         "; ".join(one.flags))
        for one in result.levels
    ]  # fmt: skip
    spent = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in result.seconds.items())
    print_table(f"{out if result.levels else 'nothing written'} ({spent})", columns, rows)


def as_dict(result: AutoResult, out: Path, table: LabelTable) -> dict[str, object]:
    """Return the result as what `--json` prints."""
    levels = {
        table.by_value(one.value).name: {
            "centre": [round(x, 1) for x in one.centre], "confidence": round(one.confidence, 3),
            "quality": round(one.quality, 3), "voxels": one.voxels, "flags": list(one.flags),
        }
        for one in result.levels
    }  # fmt: skip
    others = [[table.by_value(value).name for value in chain if value] for chain in result.alternatives]
    found = {"output": str(out) if levels else None, "levels": levels, "ambiguous": result.ambiguous}
    choice = [
        {"levels": [table.by_value(value).name for value in one.values], "probability": round(one.probability, 3)}
        for one in result.numberings
    ]
    seconds = {stage: round(spent, 2) for stage, spent in result.seconds.items()}
    return {**found, "alternatives": others, "numberings": choice, "message": result.message, "seconds": seconds}
