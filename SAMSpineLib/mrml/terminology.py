"""The label table as a terminology file of Slicer, so that its names, colours and codes can be chosen there.

Run as `python -m SAMSpineLib.mrml.terminology SAMSpine/Resources/SAMSpine.term.json` after a change of the table.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from SAMSpineLib.labels import CATEGORY, CONTEXT, Label, spine_labels

_SCHEMA = "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/schemas/segment-context-schema.json#"


def terminology(labels: Iterable[Label]) -> dict[str, Any]:
    """Return the content of a `.term.json` file with every label that has a code."""
    scheme, code, meaning = CATEGORY.split("^")
    types = [
        {
            "CodingSchemeDesignator": "SCT",
            "CodeValue": label.code,
            "CodeMeaning": label.meaning,
            "SNOMEDCTConceptID": label.code,
            "recommendedDisplayRGBValue": list(label.colour),
            "3dSlicerLabel": label.title,
        }
        for label in labels
        if label.code
    ]
    category = {
        "CodingSchemeDesignator": scheme,
        "CodeValue": code,
        "CodeMeaning": meaning,
        "showAnatomy": False,
        "Type": types,
    }
    return {
        "SegmentationCategoryTypeContextName": CONTEXT,
        "@schema": _SCHEMA,
        "SegmentationCodes": {"Category": [category]},
    }


def write_terminology(path: Path) -> None:
    """Write the bundled label table as a terminology file."""
    path.write_text(json.dumps(terminology(spine_labels()), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_terminology(Path(sys.argv[1]))
