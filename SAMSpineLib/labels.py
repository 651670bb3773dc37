"""The structures that can be segmented. Anatomy is data: each is one line of `Resources/Labels/spine.csv`."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from SAMSpineLib.errors import LabelError
from SAMSpineLib.resources import resource_path

_PLAIN_COLUMNS = ("value", "name", "title", "group", "red", "green", "blue")
COLUMNS = (*_PLAIN_COLUMNS, "snomed", "snomed_meaning", "verse", "totalsegmentator", "whole")

CONTEXT = "Segmentation category and type - SAMSpine"
CATEGORY = "SCT^123037004^Anatomical Structure"
ANATOMIC_CONTEXT = "Anatomic codes - DICOM master list"

# Groups whose rows follow one another from head to foot. A group with the suffix " variant" holds levels that few
# people have (T13, L6): they take part where one stands on them, and are stepped over otherwise.
_CHAINS = (("cervical", "thoracic", "lumbar", "sacral", "coccygeal"), ("sacral segment",), ("disc",))
_VARIANT = " variant"
_MAX_VALUE = 65535


@dataclass(frozen=True)
class Label:
    """One structure. `colour` is RGB in 0..255; `code` and `meaning` are SNOMED CT, empty where no code is known.

    `verse` and `totalsegmentator` are the values of the same structure in those label maps, None where they lack it.
    `whole` says that the structure is usually larger than one patch, so that a model should follow it across patches.
    """

    value: int
    name: str
    title: str
    group: str
    colour: tuple[int, int, int]
    code: str = ""
    meaning: str = ""
    verse: int | None = None
    totalsegmentator: int | None = None
    whole: bool = False

    @property
    def joins_levels(self) -> bool:
        """Tell whether this is a whole whose parts have labels of their own, such as the spine of its vertebrae."""
        return self.group == "column"

    @property
    def terminology(self) -> str:
        """Return Slicer's terminology entry (context, category, type, modifier, region), empty without a code."""
        if not self.code:
            return ""
        return f"{CONTEXT}~{CATEGORY}~SCT^{self.code}^{self.meaning}~^^~{ANATOMIC_CONTEXT}~^^~^^"


class LabelTable:
    """All known structures in the order of their file, found by value or by name."""

    def __init__(self, labels: Iterable[Label]) -> None:
        """Index the labels.

        Raises:
            LabelError: if two of them share a value, a name or a title.
        """
        self._by_value: dict[int, Label] = {}
        self._by_key: dict[str, Label] = {}
        for label in labels:
            self.add(label)

    def add(self, label: Label) -> None:
        """Append one structure.

        Raises:
            LabelError: if its value, name or title is taken.
        """
        if label.value in self._by_value:
            names = f"'{self._by_value[label.value].name}' and '{label.name}'"
            msg = f"Value {label.value} is given to both {names}: choose another value for one of them"
            raise LabelError(msg)
        for key in {_key(label.name), _key(label.title)}:
            if key in self._by_key:
                names = f"The name '{label.name}' or title '{label.title}'"
                msg = f"{names} already means value {self._by_key[key].value}: choose another for value {label.value}"
                raise LabelError(msg)
            self._by_key[key] = label
        self._by_value[label.value] = label

    def __iter__(self) -> Iterator[Label]:
        """Iterate over the labels in the order of the file."""
        return iter(self._by_value.values())

    def __len__(self) -> int:
        """Return the number of labels."""
        return len(self._by_value)

    @property
    def names(self) -> tuple[str, ...]:
        """All names in the order of the file."""
        return tuple(label.name for label in self)

    def by_value(self, value: int) -> Label:
        """Return the label with a voxel value.

        Raises:
            LabelError: if there is none.
        """
        if int(value) not in self._by_value:
            msg = f"No structure has the label value {value}; known values: {sorted(self._by_value)}"
            raise LabelError(msg)
        return self._by_value[int(value)]

    def by_name(self, name: str) -> Label:
        """Return the label with a name or title; case, spaces, `_`, `-` and `/` make no difference.

        Raises:
            LabelError: if there is none.
        """
        if _key(name) not in self._by_key:
            msg = f"Unknown structure '{name}'; known are: {', '.join(self.names)}"
            raise LabelError(msg)
        return self._by_key[_key(name)]

    def next_level(self, label: Label, step: int = 1) -> Label | None:
        """Return the level `step` places further down the spine (negative: up), or None beyond its ends.

        Vertebrae lead to vertebrae, discs to discs, sacral segments to sacral segments. Structures outside of these
        chains (canal, cord, whole spine) have no next level.
        """
        base = label.group.removesuffix(_VARIANT)
        groups = next((chain for chain in _CHAINS if base in chain), ())
        chain = [one for one in self if one.group in groups or one == label]
        place = chain.index(label) + step if groups else -1
        return chain[place] if 0 <= place < len(chain) else None

    def parts(self, label: Label) -> tuple[Label, ...]:
        """Return the labels that together are the same structure in a label map that has no value for the whole.

        The whole spine is all vertebrae, sacrum and coccyx; the sacrum is its segments too, which some label maps keep
        apart. Anything else is only itself.
        """
        groups: tuple[str, ...] = ()
        if label.joins_levels:
            groups = (*_CHAINS[0], *_CHAINS[1])
        elif label.group == "sacral":
            groups = _CHAINS[1]
        return tuple(one for one in self if one == label or one.group.removesuffix(_VARIANT) in groups)

    @classmethod
    def from_csv(cls, path: Path) -> LabelTable:
        """Read a table with the columns of `spine.csv`.

        Raises:
            LabelError: if the file is missing or a line is wrong; the message names the line and the remedy.
        """
        if not path.is_file():
            msg = f"The label table {path} does not exist: give the path of a csv file with columns {','.join(COLUMNS)}"
            raise LabelError(msg)
        table = cls(())
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                msg = f"{path.name}, line 1: columns missing: {', '.join(missing)}; expected {','.join(COLUMNS)}"
                raise LabelError(msg)
            for row in reader:
                _add_row(table, row, f"{path.name}, line {reader.line_num}")
        return table


def _add_row(table: LabelTable, row: dict[str, str | None], place: str) -> None:
    try:
        table.add(_label({name: (row[name] or "").strip() for name in COLUMNS}))
    except LabelError as error:
        msg = f"{place}: {error}"
        raise LabelError(msg) from None


def _label(row: dict[str, str]) -> Label:
    """Turn one line into a label, or say which field is wrong."""
    colour = tuple(_number(row, name, 0, 255) for name in ("red", "green", "blue"))
    if not row["name"] or not row["title"]:
        msg = "'name' and 'title' must not be empty: write what the structure is called"
        raise LabelError(msg)
    if bool(row["snomed"]) != bool(row["snomed_meaning"]) or not re.fullmatch(r"\d*", row["snomed"]):
        msg = f"'snomed' must be digits with a 'snomed_meaning', or both empty, got '{row['snomed']}'"
        raise LabelError(msg)
    if set("~^|") & set(row["snomed_meaning"]):
        msg = f"'snomed_meaning' must not contain ~ ^ or |, got '{row['snomed_meaning']}'"
        raise LabelError(msg)
    return Label(
        value=_number(row, "value", 1, _MAX_VALUE),
        name=row["name"],
        title=row["title"],
        group=row["group"],
        colour=(colour[0], colour[1], colour[2]),
        code=row["snomed"],
        meaning=row["snomed_meaning"],
        verse=_number(row, "verse", 1, _MAX_VALUE) if row["verse"] else None,
        totalsegmentator=_number(row, "totalsegmentator", 1, _MAX_VALUE) if row["totalsegmentator"] else None,
        whole=bool(_number(row, "whole", 0, 1)) if row["whole"] else False,
    )


def _number(row: dict[str, str], name: str, low: int, high: int) -> int:
    text = row[name]
    if not re.fullmatch(r"\d+", text) or not low <= int(text) <= high:
        msg = f"'{name}' must be a whole number from {low} to {high}, got '{text}'"
        raise LabelError(msg)
    return int(text)


def _key(name: str) -> str:
    return re.sub(r"[\s_/-]+", " ", name).strip().casefold()


@cache
def spine_labels() -> LabelTable:
    """Return the bundled table of the spine, read once."""
    return LabelTable.from_csv(resource_path("Labels", "spine.csv"))
