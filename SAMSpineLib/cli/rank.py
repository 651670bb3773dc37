"""`samspine rank`: which scan to label next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from SAMSpineLib.cli import options
from SAMSpineLib.cli.console import counting, note_few, number, print_json, print_table, working
from SAMSpineLib.errors import VolumeError

if TYPE_CHECKING:
    from SAMSpineLib.volume import Volume

EXAMPLES = """\b
Scans come in the order in which labelling them should teach most: those first of which the taught model is least sure.
Two doubts are added, each 0 to 1: whether its structures are in the slices, and how much its masks differ when the
image is made brighter and darker. A scan is a file of FOLDER, or a folder of DICOM files in it.

\b
Examples:
  samspine rank scans/ --model aponeurosis
  samspine rank mr/ --model levels --modality MR --json
"""


def command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Scans that nobody has labelled yet.")],
    *,
    model: Annotated[str, typer.Option(metavar="NAME", help="A taught model of `samspine models list`.")],
    modality: options.Modality = None,
    device: options.Device = "cpu",
    as_json: options.Json = False,
) -> None:
    """Order unlabelled scans by what labelling them would teach.

    The first one is the one to label next.
    """
    from SAMSpineLib.evaluation.opinions import TaughtOpinions
    from SAMSpineLib.evaluation.ranking import rank_scans
    from SAMSpineLib.models.build import build_promptable

    paths = scans_in(folder)
    with working(f"Loading {model}"):
        opinions = TaughtOpinions.of(build_promptable(model, device=device))
    notices: list[str] = []
    with counting("Looking") as tell:
        ranks = rank_scans(
            opinions, _read(paths, modality, notices), progress=lambda done, _, name: tell(done, len(paths), name)
        )
    note_few(notices)
    if as_json:
        print_json({"model": model, "scans": [one.to_json() for one in ranks]})
        return
    rows = [(one.name, number(one.gain), number(one.presence), number(one.disagreement)) for one in ranks]
    print_table(f"{folder}: what to label next", ("scan", "gain", "is it there?", "where is it?"), rows)


def scans_in(folder: Path) -> list[Path]:
    """Return the files and DICOM folders of a folder, in the order of their names.

    Raises:
        VolumeError: if there is no such folder, or no scan in it.
    """
    from SAMSpineLib.io.dicom_headers import DICOM_SUFFIXES
    from SAMSpineLib.io.nifti_nrrd import PICTURE_SUFFIXES, VOLUME_SUFFIXES

    if not folder.is_dir():
        msg = f"{folder} is no folder; expected one that holds the scans to rank"
        raise VolumeError(msg)
    suffixes = (*VOLUME_SUFFIXES, *PICTURE_SUFFIXES, *DICOM_SUFFIXES)
    found = [one for one in sorted(folder.iterdir()) if one.is_dir() or one.name.lower().endswith(suffixes)]
    if not found:
        msg = f"{folder} holds no scan; expected files such as {', '.join(VOLUME_SUFFIXES)}, or folders of DICOM files"
        raise VolumeError(msg)
    return found


def _read(paths: Sequence[Path], modality: str | None, notices: list[str]) -> Iterator[Volume]:
    from dataclasses import replace

    from SAMSpineLib.io import read_with_notices

    for path in paths:
        read = read_with_notices(path)
        notices += read.notices
        yield replace(read.volume, name=path.name, modality=modality or read.volume.modality)
