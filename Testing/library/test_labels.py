"""The label table: what is in it, how it is looked up, and what is said about a wrong line."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from SAMSpineLib.errors import LabelError
from SAMSpineLib.labels import COLUMNS, Label, LabelTable, spine_labels
from SAMSpineLib.resources import resource_path

HEADER = ",".join(COLUMNS)
LINE = "50,rib 1,First rib,rib,200,180,90,48535007,First rib,,92,0"


def _verhoeff_is_valid(number: str) -> bool:
    """Check the last digit of a SNOMED CT identifier (Verhoeff 1969: dihedral group of order ten)."""

    def multiply(a: int, b: int) -> int:
        turn = (a + b) % 5 if a < 5 else (a - b) % 5
        return turn if (a < 5) == (b < 5) else turn + 5

    permutation = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)
    check = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit)
        for _ in range(place % 8):
            value = permutation[value]
        check = multiply(check, value)
    return check == 0


def _table(tmp_path: Path, *lines: str, header: str = HEADER) -> LabelTable:
    path = tmp_path / "table.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return LabelTable.from_csv(path)


def test_the_values_of_vertebrae_are_those_of_verse() -> None:
    table = spine_labels()
    names = [f"C{n}" for n in range(1, 8)] + [f"T{n}" for n in range(1, 13)] + [f"L{n}" for n in range(1, 7)]
    names += ["sacrum", "coccyx", "T13"]
    assert [table.by_name(name).value for name in names] == list(range(1, 29))
    assert all(label.verse == label.value for label in table if label.verse is not None)
    assert sum(label.verse is not None for label in table) == 28


def test_totalsegmentator_ids_run_upwards_from_the_sacrum_to_the_atlas() -> None:
    table = spine_labels()
    names = ["sacrum", "S1", *(f"L{n}" for n in range(5, 0, -1)), *(f"T{n}" for n in range(12, 0, -1))]
    names += [f"C{n}" for n in range(7, 0, -1)]
    assert [table.by_name(name).totalsegmentator for name in names] == list(range(25, 51))
    assert table.by_name("spinal cord").totalsegmentator == 79
    assert table.by_name("T13").totalsegmentator is None


def test_a_disc_has_the_value_of_the_vertebra_above_it_plus_one_hundred() -> None:
    table = spine_labels()
    discs = [label for label in table if label.group.startswith("disc")]
    assert len(discs) == 25
    for disc in discs:
        above, below = disc.name.removeprefix("disc ").split("-")
        assert disc.value == 100 + table.by_name(above).value
        assert below in table.names


def test_every_value_fits_into_eight_bits_and_no_colour_is_given_twice() -> None:
    labels = list(spine_labels())
    assert max(label.value for label in labels) <= 255
    assert len({label.colour for label in labels}) == len(labels)


def test_neighbours_differ_clearly_in_colour() -> None:
    table = spine_labels()
    for label in table:
        below = table.next_level(label)
        if below is not None:
            assert np.linalg.norm(np.subtract(label.colour, below.colour)) > 60, (label.name, below.name)


@pytest.mark.parametrize("name", ["L3", "l3", " L3 ", "L3 vertebra", "l3_VERTEBRA"])
def test_a_label_is_found_whatever_its_spelling(name: str) -> None:
    assert spine_labels().by_name(name).value == 22


@pytest.mark.parametrize("name", ["disc L4-L5", "disc l4/l5", "Disc_L4_L5", "L4-L5 intervertebral disc"])
def test_a_disc_is_found_whatever_its_separators(name: str) -> None:
    assert spine_labels().by_name(name).value == 123


def test_an_unknown_name_or_value_is_refused_with_what_is_known() -> None:
    with pytest.raises(LabelError, match=r"'L9'.*C1.*spinal cord"):
        spine_labels().by_name("L9")
    with pytest.raises(LabelError, match=r"77.*\[1, 2, 3"):
        spine_labels().by_value(77)


def test_a_terminology_entry_has_seven_parts_and_three_codes() -> None:
    context, category, kind, modifier, anatomy, region, region_modifier = (
        spine_labels().by_name("L3").terminology.split("~")
    )
    assert context
    assert category == "SCT^123037004^Anatomical Structure"
    assert kind == "SCT^36470004^L3 vertebra"
    assert (modifier, region, region_modifier) == ("^^", "^^", "^^")
    assert anatomy


@pytest.mark.parametrize("name", ["T13", "L6", "S2", "S5", "disc T13-L1"])
def test_what_has_no_code_has_no_terminology(name: str) -> None:
    assert spine_labels().by_name(name).code == ""
    assert spine_labels().by_name(name).terminology == ""


def test_every_snomed_code_is_unique_and_has_a_right_check_digit() -> None:
    codes = [label.code for label in spine_labels() if label.code]
    assert len(set(codes)) == len(codes)
    assert [code for code in codes if not _verhoeff_is_valid(code)] == []
    assert not _verhoeff_is_valid("36470005")


def test_large_structures_are_marked_as_such() -> None:
    whole = {label.name for label in spine_labels() if label.whole}
    assert whole == {"sacrum", "spine", "spinal canal", "spinal cord"}


def test_the_vertebrae_follow_one_another_from_the_atlas_to_the_coccyx() -> None:
    table = spine_labels()
    label: Label | None = table.by_name("C1")
    seen = []
    while label is not None:
        seen.append(label.name)
        label = table.next_level(label)
    assert len(seen) == 26
    assert seen[-3:] == ["L5", "sacrum", "coccyx"]
    for upper, lower in pairwise(seen):
        assert table.next_level(table.by_name(lower), -1) == table.by_name(upper)


@pytest.mark.parametrize(
    ("name", "step", "expected"),
    [
        ("T12", 1, "L1"),
        ("T13", 1, "L1"),
        ("T13", -1, "T12"),
        ("L6", 1, "sacrum"),
        ("L5", 2, "coccyx"),
        ("C1", -1, None),
        ("coccyx", 1, None),
        ("S1", 1, "S2"),
        ("disc T12-L1", 1, "disc L1-L2"),
        ("disc L5-S1", 1, None),
        ("spinal canal", 1, None),
    ],
)
def test_the_next_level_steps_over_variants_unless_one_stands_on_them(
    name: str, step: int, expected: str | None
) -> None:
    table = spine_labels()
    found = table.next_level(table.by_name(name), step)
    assert (found.name if found else None) == expected


def test_adding_a_structure_is_one_line(tmp_path: Path) -> None:
    bundled = resource_path("Labels", "spine.csv").read_text(encoding="utf-8").splitlines()
    table = _table(tmp_path, *bundled[1:], LINE, header=bundled[0])
    rib = table.by_name("RIB 1")
    assert len(table) == len(spine_labels()) + 1
    assert rib == Label(50, "rib 1", "First rib", "rib", (200, 180, 90), "48535007", "First rib", None, 92, False)
    assert table.by_value(50) is rib


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("50,other,Other,rib,1,2,3,,,,,0", r"Value 50 .*'rib 1' and 'other'.*another value"),
        ("51,Rib_1,Other,rib,1,2,3,,,,,0", r"'Rib_1'.*already means value 50"),
        ("51,other,FIRST RIB,rib,1,2,3,,,,,0", r"'FIRST RIB'.*already means value 50"),
        ("51,other,Other,rib,256,2,3,,,,,0", r"'red' must be a whole number from 0 to 255, got '256'"),
        ("51,other,Other,rib,1,,3,,,,,0", r"'green' .* got ''"),
        ("51,other,Other,rib,1,2,-3,,,,,0", r"'blue' .* got '-3'"),
        ("0,other,Other,rib,1,2,3,,,,,0", r"'value' must be a whole number from 1"),
        ("51,,Other,rib,1,2,3,,,,,0", r"must not be empty"),
        ("51,other,Other,rib,1,2,3,12x4,Rib,,,0", r"'snomed' must be digits.*'12x4'"),
        ("51,other,Other,rib,1,2,3,1234,,,,0", r"'snomed_meaning'"),
        ("51,other,Other,rib,1,2,3,1234,a~b,,,0", r"must not contain"),
        ("51,other,Other,rib,1,2,3,,,x,,0", r"'verse' .* got 'x'"),
        ("51,other,Other,rib,1,2,3,,,,,maybe", r"'whole' .* got 'maybe'"),
        ("51,other", r"'red' .* got ''"),
    ],
)
def test_a_wrong_line_is_named_with_what_to_do(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(LabelError, match=re.compile(rf"table\.csv, line 3: .*{message}", re.DOTALL)):
        _table(tmp_path, LINE, line)


def test_a_missing_column_or_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"line 1: columns missing: whole"):
        _table(tmp_path, LINE, header=HEADER.removesuffix(",whole"))
    with pytest.raises(LabelError, match=r"nowhere\.csv does not exist"):
        LabelTable.from_csv(tmp_path / "nowhere.csv")


def test_a_table_saved_by_a_spreadsheet_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(f"{HEADER}\n{LINE}\n", encoding="utf-8-sig")
    assert LabelTable.from_csv(path).names == ("rib 1",)


def test_the_bundled_table_is_read_once() -> None:
    assert spine_labels() is spine_labels()
