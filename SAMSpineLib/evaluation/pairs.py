"""Which result belongs to which truth, and to whom: from a list, or from two folders."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from SAMSpineLib.errors import VolumeError
from SAMSpineLib.io.nifti_nrrd import PICTURE_SUFFIXES, VOLUME_SUFFIXES, stem_of
from SAMSpineLib.io.numbering import Numbering, numbering_called

COLUMNS = "prediction,truth[,subject,image,ids,prediction_ids]"
# Words at the end of a file's name that say what it is of a case, and not which case.
_LABELS = r"seg|mask|msk|labels?|truth|gt|vert|pred|prediction|result|auto"
_ROLES = re.compile(rf"[-_.]({_LABELS}|ct|mr|mri|us|image|img)$", re.IGNORECASE)
_SAYS_LABELS = re.compile(rf"[-_.]({_LABELS})$", re.IGNORECASE)
_SUBJECT = re.compile(r"sub-[A-Za-z0-9]+")


@dataclass(frozen=True)
class Pair:
    """A result with its truth.

    Attributes:
        name: of the case.
        subject: whom it shows; cases of one subject are no independent evidence.
        prediction: the result, a segmentation or label map.
        truth: the same, by somebody who knows.
        image: what was segmented, for pictures; None where there is none.
        ids: the truth's numbering; None as `io.numbering` decides.
        prediction_ids: the result's.
    """

    name: str
    subject: str
    prediction: Path
    truth: Path
    image: Path | None = None
    ids: Numbering | None = None
    prediction_ids: Numbering | None = None


def case_of(path: Path) -> str:
    """Return which case a file belongs to: its name without endings and without what it is of the case.

    `sub-01_ct.nii.gz`, `sub-01_seg-vert_msk.nii.gz` and `sub-01.seg.nrrd` all belong to `sub-01`.
    """
    name = stem_of(path)
    while (shorter := _ROLES.sub("", name)) not in {name, ""}:
        name = shorter
    return name


def says_labels(path: Path) -> bool:
    """Tell whether a file's name says that it holds labels: `a_seg.nii.gz`, `a-mask.png`, `a.seg.nrrd`."""
    return path.name.lower().endswith(".seg.nrrd") or _SAYS_LABELS.search(stem_of(path)) is not None


def subject_of(case: str) -> str:
    """Return whom a case shows: what BIDS names (`sub-01` of `sub-01_ses-2`), else the case itself."""
    found = _SUBJECT.match(case)
    return found.group() if found else case


def pairs_in_manifest(
    manifest: Path, *, ids: Numbering | None = None, prediction_ids: Numbering | None = None
) -> tuple[Pair, ...]:
    """Read pairs from a CSV file with the columns `prediction,truth`.

    It may have `subject,image,ids,prediction_ids` as well. Paths are relative to the file. Numberings that a row does
    not name are the ones given.

    Raises:
        VolumeError: if the file, a column or a row's paths are missing, or a numbering is unknown.
    """
    if not manifest.is_file():
        msg = f"The list of results '{manifest}' does not exist; expected a CSV file with {COLUMNS}"
        raise VolumeError(msg)
    with manifest.open(encoding="utf-8-sig", newline="") as handle:
        rows = [{key: (value or "").strip() for key, value in row.items() if key} for row in csv.DictReader(handle)]
    if not rows or not {"prediction", "truth"} <= set(rows[0]):
        msg = f"The list of results '{manifest}' needs the columns {COLUMNS} and a row for each result"
        raise VolumeError(msg)
    return tuple(
        _row(row, f"{manifest}, row {number}", manifest.parent, (ids, prediction_ids))
        for number, row in enumerate(rows, start=1)
    )


def _row(row: Mapping[str, str], where: str, folder: Path, given: tuple[Numbering | None, Numbering | None]) -> Pair:
    if not row["prediction"] or not row["truth"]:
        msg = f"{where}: expected the paths of a prediction and of a truth, got {dict(row)}"
        raise VolumeError(msg)
    truth = folder / row["truth"]
    case = case_of(truth)
    image = folder / row["image"] if row.get("image") else None
    numberings = (numbering_called(row.get(name, ""), where) for name in ("ids", "prediction_ids"))
    chosen = [one or other for one, other in zip(numberings, given, strict=True)]
    return Pair(case, row.get("subject") or subject_of(case), folder / row["prediction"], truth, image, *chosen)


def pairs_in_folders(
    predictions: Path,
    truths: Path,
    images: Path | None = None,
    *,
    ids: Numbering | None = None,
    prediction_ids: Numbering | None = None,
) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
    """Pair the files of two folders by the case in their names (see `case_of`); capitals make no difference.

    Returns:
        A pair for each truth, and the names of results that have no truth.

    Raises:
        VolumeError: if a folder is missing or holds nothing, a truth has no result, or two files claim one case.
    """
    results, wanted = _by_case(predictions), _by_case(truths)
    shown = _by_case(images) if images is not None else {}
    missing = [path.name for case, path in wanted.items() if case not in results]
    if missing:
        msg = (
            f"{predictions} holds no result for {', '.join(missing[:5])}{' and others' if missing[5:] else ''}; "
            f"name results like their truths, or list the pairs in a CSV file with {COLUMNS}"
        )
        raise VolumeError(msg)
    pairs = tuple(
        Pair(case_of(path), subject_of(case_of(path)), results[case], path, shown.get(case), ids, prediction_ids)
        for case, path in wanted.items()
    )
    return pairs, tuple(path.name for case, path in results.items() if case not in wanted)


def _by_case(folder: Path) -> dict[str, Path]:
    """Return the images in a folder by case, in the order of their names."""
    if not folder.is_dir():
        msg = f"{folder} is no folder; give two folders, two files, or a CSV file with {COLUMNS}"
        raise VolumeError(msg)
    found: dict[str, Path] = {}
    for path in images_in(folder):
        other = found.setdefault(case_of(path).casefold(), path)
        if other is not path:
            names = f"{other.name} and {path.name}"
            msg = f"{names} in {folder} both belong to case '{case_of(path)}'; list the pairs in a CSV file instead"
            raise VolumeError(msg)
    if not found:
        msg = f"{folder} holds no image or segmentation"
        raise VolumeError(msg)
    return found


def images_in(folder: Path) -> Iterable[Path]:
    """Return the files of a folder that are images or label maps, in the order of their names."""
    endings = (*VOLUME_SUFFIXES, *PICTURE_SUFFIXES)
    return sorted(p for p in folder.iterdir() if p.name.lower().endswith(endings) and not p.name.startswith("."))
