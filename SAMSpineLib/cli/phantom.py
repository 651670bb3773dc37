"""`samspine phantom`: a synthetic CT of a spine, with its truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from SAMSpineLib.cli import options
from SAMSpineLib.cli.console import natives_silent, print_json, working
from SAMSpineLib.errors import OutputError
from SAMSpineLib.labels import spine_labels

EXAMPLES = """\b
Beside OUT there will be its label map (case_labels.nii.gz) and a table of the labels in it.

\b
Examples:
  samspine phantom case.nii.gz --seed 1
  samspine phantom tiny.nii.gz --seed 1 --small     L2 to L4 at 2 mm, in seconds
"""


def command(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Ends in .nii.gz, .nii, .nrrd or .mha.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same voxels.")] = 0,
    small: Annotated[bool, typer.Option("--small", help="A small, clean, healthy one.")] = False,
    as_json: options.Json = False,
) -> None:
    """Make a synthetic CT of a spine, with its labels.

    For tests, and for trying things out.
    """
    from SAMSpineLib.io import write_segmentation, write_volume
    from SAMSpineLib.io.label_map import labels_table_path
    from SAMSpineLib.training.synthetic.phantom import make_phantom
    from SAMSpineLib.training.synthetic.settings import PhantomSettings

    truth = labels_path(out)
    check_outputs(out, truth)
    with working("Making a phantom"):
        phantom = make_phantom(seed, PhantomSettings.small() if small else None)
    with working(f"Writing {out}"), natives_silent():
        write_volume(out, phantom.image)
        write_segmentation(truth, phantom.labels.array, phantom.labels.grid, spine_labels())
    files = {"image": str(out), "labels": str(truth), "table": str(labels_table_path(truth))}
    size = list(phantom.image.shape[::-1])
    if as_json:
        remarks = {"pathologies": list(phantom.pathologies), "notes": list(phantom.notes)}
        print_json({**files, "seed": seed, "size": size, **remarks})
        return
    typer.echo(f"Wrote {out} ({' x '.join(map(str, size))} voxels), {truth} and {files['table']}")
    for text in (*phantom.pathologies, *phantom.notes):
        typer.echo(f"  {text}")


def labels_path(out: Path) -> Path:
    """Return where the label map of an image goes: 'a.nii.gz' gives 'a_labels.nii.gz'."""
    from SAMSpineLib.io.nifti_nrrd import stem_of

    stem = stem_of(out)
    return out.with_name(f"{stem}_labels{out.name[len(stem) :]}")


def check_outputs(out: Path, truth: Path) -> None:
    """Refuse, before any work, files that could not be written.

    Raises:
        OutputError: saying why.
    """
    from SAMSpineLib.io.writing import check_output_type
    from SAMSpineLib.safe_write import check_writable

    check_output_type(out)
    if out.name.lower().endswith(".seg.nrrd"):
        msg = f"{out} would be a segmentation, but a phantom is an image; expected .nii.gz, .nii, .nrrd or .mha"
        raise OutputError(msg)
    for path in (out, truth):
        check_writable(path)
