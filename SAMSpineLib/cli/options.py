"""Options that several verbs share, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
Model = Annotated[str, typer.Option("--model", metavar="NAME", help="A network of `samspine models list`.")]
Weights = Annotated[
    Path | None,
    typer.Option("--weights", metavar="FILE", help="Weights of your own (safetensors) instead of the bundled ones."),
]
Device = Annotated[Literal["cpu", "cuda"], typer.Option("--device", help="Where the network runs.")]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"],
    typer.Option("--precision", help="In which the network computes; auto: float32."),
]
Series = Annotated[
    str | None,
    typer.Option("--series", metavar="UID|NUMBER", help="Which DICOM series, where a folder holds several."),
]
Ids = Annotated[
    Literal["verse", "totalsegmentator", "samspine"] | None,
    typer.Option(
        "--ids",
        help="Numbering of the truth's labels. Without it the names count where the file has them (.seg.nrrd, or a "
        "table beside it); else it is verse.",
        show_default=False,
    ),
]
Modality = Annotated[
    Literal["CT", "MR", "US"] | None,
    typer.Option(
        "--modality",
        help="What the image is, where its file does not say so, or says it wrong: CT is shown in a window of its own.",
        show_default=False,
    ),
]
# "none": each value is a structure of its own; "any": all of them are one.
Numbering = Literal["verse", "totalsegmentator", "samspine", "none", "any"]
TruthIds = Annotated[
    Numbering | None,
    typer.Option(
        "--ids",
        help="Numbering of the truth's labels. Without it the names count where the file has them (.seg.nrrd, or a "
        "table beside it); else it is verse. none: each value is a structure, called as the file calls it, else after "
        "its number. any: all values are one structure.",
        show_default=False,
    ),
]
Direction = Annotated[
    Literal["axial", "sagittal", "coronal"] | None,
    typer.Option(
        "--direction",
        help="For networks that work slice by slice: which slices are prompted. Without it those that were acquired.",
        show_default=False,
    ),
]
Propagate = Annotated[
    bool,
    typer.Option("--propagate/--one-slice", help="For networks that work slice by slice: follow the structure beyond."),
]
# The normals (RAS) of the directions.
NORMALS = {"axial": (0.0, 0.0, 1.0), "sagittal": (1.0, 0.0, 0.0), "coronal": (0.0, 1.0, 0.0)}
