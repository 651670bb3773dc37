"""A folder in which each image lies beside its labels, as the list that it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from SAMSpineLib.errors import VolumeError
from SAMSpineLib.evaluation.pairs import case_of, images_in, says_labels, subject_of

HOW = "name them alike, as in a_ct.nii.gz beside a_seg.nii.gz, or list them in a CSV file with image,labels"


def rows_in(folder: Path, notify: Callable[[str], None]) -> list[dict[str, str]]:
    """Return the rows `image,labels,subject` of a folder.

    Files belong together by the case in their names (see `evaluation.pairs.case_of`). Labels are a `.seg.nrrd`, or what
    its name says is a mask. Images without labels are left out, and said to be.

    Args:
        folder: that holds them.
        notify: told what was left out.

    Raises:
        VolumeError: if labels have no image, a case has several of either, or nothing has labels.
    """
    images: dict[str, list[str]] = defaultdict(list)
    labels: dict[str, list[str]] = defaultdict(list)
    for path in images_in(folder):
        (labels if says_labels(path) else images)[case_of(path)].append(path.name)
    for case, names in labels.items():
        if len(names) != 1 or len(images[case]) != 1:
            msg = (
                f"{folder}: {_listed(names)} should be the labels of one image, there is {_listed(images[case])}; {HOW}"
            )
            raise VolumeError(msg)
    if not labels:
        msg = f"{folder} holds no image with labels; {HOW}"
        raise VolumeError(msg)
    left = sorted(name for case, names in images.items() if case not in labels for name in names)
    if left:
        notify(f"Without labels, and left out: {_listed(left)}")
    return [
        {"image": images[case][0], "labels": names[0], "subject": subject_of(case)} for case, names in labels.items()
    ]


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:5])}{' and others' if names[5:] else ''}" if names else "none"
