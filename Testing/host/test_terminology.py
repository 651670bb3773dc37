"""The terminology file is the label table, and Slicer's terminology logic reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from SAMSpineLib.labels import CONTEXT, spine_labels

FILE = Path(__file__).resolve().parents[2] / "SAMSpine" / "Resources" / "SAMSpine.term.json"


def test_the_file_is_what_the_command_writes(host: Any, tmp_path: Path) -> None:
    from SAMSpineLib.mrml.terminology import write_terminology

    write_terminology(tmp_path / "again.json")
    message = "run: python -m SAMSpineLib.mrml.terminology SAMSpine/Resources/SAMSpine.term.json"
    assert FILE.read_text(encoding="utf-8") == (tmp_path / "again.json").read_text(encoding="utf-8"), message


def test_slicer_knows_every_code_once_it_has_started(host: Any) -> None:
    import slicer

    logic = slicer.modules.terminologies.logic()
    assert logic.IsTerminologyContextLoaded(CONTEXT)
    category = slicer.vtkSlicerTerminologyCategory()
    assert logic.GetNthCategoryInTerminology(CONTEXT, 0, category)
    assert category.GetCodeMeaning() == "Anatomical Structure"
    coded = [label for label in spine_labels() if label.code]
    assert logic.GetNumberOfTypesInTerminologyCategory(CONTEXT, category) == len(coded)


def test_an_entry_of_a_label_is_found_there(host: Any) -> None:
    import slicer

    logic = slicer.modules.terminologies.logic()
    for label in (one for one in spine_labels() if one.code):
        entry = slicer.vtkSlicerTerminologyEntry()
        assert logic.DeserializeTerminologyEntry(label.terminology, entry)
        assert entry.GetTerminologyContextName() == CONTEXT
        assert entry.GetTypeObject().GetCodeValue() == label.code
        found = slicer.vtkSlicerTerminologyEntry()
        assert logic.FindTypeInTerminologyBy3dSlicerLabel(CONTEXT, label.title, found)
        assert found.GetTypeObject().GetCodeValue() == label.code
        assert found.GetTypeObject().GetRecommendedDisplayRGBValue() == label.colour


def test_it_is_plain_json() -> None:
    assert json.loads(FILE.read_text(encoding="utf-8"))["SegmentationCategoryTypeContextName"] == CONTEXT
