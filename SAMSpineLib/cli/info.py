"""`samspine info`: what is in a file or folder?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from SAMSpineLib.cli import options
from SAMSpineLib.cli.console import print_json, working

EXAMPLES = """\b
Examples:
  samspine info ct.nii.gz
  samspine info dicom/                 the series in a folder
  samspine info dicom/ --series 3      one of them
  samspine info result.seg.nrrd --json
"""


def command(
    path: Annotated[Path, typer.Argument(metavar="IMAGE_OR_FOLDER", help="An image, a .seg.nrrd, or a DICOM folder.")],
    series: options.Series = None,
    as_json: options.Json = False,
) -> None:
    """Say what a file or DICOM folder holds.

    Its series, size, place in the patient, values, segments.
    """
    from SAMSpineLib.io.description import describe

    with working(f"Reading {path}"):
        found = describe(path, series=series)
    if as_json:
        print_json(found)
    else:
        typer.echo("\n".join(lines(found)))


def lines(found: dict[str, Any]) -> list[str]:
    """Write a description as lines for a person."""
    text = [found["path"]]
    for one in found.get("series", ()):
        spacing = "" if one["spacing"] is None else f", {_times(one['spacing'])} mm"
        number = "-" if one["number"] is None else one["number"]
        text.append(f"  series {number}: {one['modality']} '{one['description']}', {_times(one['size'])}{spacing}")
        text.append(f"    {one['uid'] or '(no UID)'}")
    if "grid" in found:
        text += _grid_lines(found["grid"])
    if "voxels" in found:
        voxels = found["voxels"]
        text.append(f"  values       {voxels['minimum']:g} to {voxels['maximum']:g} ({voxels['type']})")
        text.append(f"  modality     {found['modality']}")
    elif "segments" not in found:
        text.append("  Choose one with --series to see more.")
    for one in found.get("segments", ()):
        text.append(f"  segment      {one['name']}: {one['voxels']} voxels, {one['cm3']:g} cm3")
    return text + [f"  note         {notice}" for notice in found["notices"]]


def _grid_lines(grid: dict[str, Any]) -> list[str]:
    """Write a grid."""
    low, high = grid["corners"]
    axes = [f"{a:g} to {b:g} {name}" for name, a, b in zip("RAS", low, high, strict=True)]
    turned = f", turned by up to {grid['oblique']:g} degrees" if grid["oblique"] >= 0.1 else ""
    return [
        f"  size         {_times(grid['size'])} voxels along I, J, K",
        f"  spacing      {_times(grid['spacing'])} mm",
        f"  orientation  {grid['orientation']} (where I, J, K grow towards){turned}",
        f"  reaches      {', '.join(axes)} (mm)",
    ]


def _times(numbers: list[float]) -> str:
    return " x ".join(f"{one:g}" for one in numbers)
