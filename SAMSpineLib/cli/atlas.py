"""`samspine atlas`: labelled spines that others are compared with."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from SAMSpineLib.cli import options
from SAMSpineLib.cli.console import counting, note, print_json, print_table, working
from SAMSpineLib.errors import VolumeError
from SAMSpineLib.labels import spine_labels

if TYPE_CHECKING:
    from SAMSpineLib.atlas.atlas import Atlas
    from SAMSpineLib.atlas.library import AtlasEntry
    from SAMSpineLib.io.label_map import Source

EXAMPLES = """\b
Your own atlases lie in the folder that --library or the variable SAMSPINE_ATLASES names, else in ~/.samspine/atlases.
They are asked before the bundled ones.

\b
Examples:
  samspine atlas add my_labels.nii.gz --name my-patient --image my_ct.nii.gz
  samspine atlas list
  samspine atlas remove my-patient
  samspine atlas build more/ --phantoms 20 --seed 100
"""

app = typer.Typer(help="List, add or remove atlases, or build a library.", epilog=EXAMPLES, rich_markup_mode=None)

Library = Annotated[
    Path | None,
    typer.Option("--library", metavar="DIR", help="Your own atlases: SAMSPINE_ATLASES, else ~/.samspine/atlases."),
]


@app.command("add", epilog="Example: samspine atlas add l.nii.gz --name mine --ids totalsegmentator")
def add_atlas(
    labels: Annotated[Path, typer.Argument(metavar="LABELS", help="A segmentation or label map.")],
    *,
    name: Annotated[str, typer.Option(metavar="NAME", help="What to call it.")],
    image: Annotated[
        Path | None,
        typer.Option(metavar="IMAGE", help="What was labelled. It tells too where the field of view ends."),
    ] = None,
    ids: options.Ids = None,
    source: Annotated[str, typer.Option(metavar="TEXT", help="Where it comes from.")] = "",
    licence: Annotated[str, typer.Option(metavar="TEXT", help="On what terms it may be passed on.")] = "",
    library: Library = None,
    as_json: options.Json = False,
) -> None:
    """Add a segmentation as an atlas.

    It is copied: the file may be moved afterwards. With an image, labels are brought to the voxels of the image.
    """
    from SAMSpineLib.atlas.library import AtlasLibrary, user_folder

    shelf = AtlasLibrary(library or user_folder())
    shelf.check_free([name])
    with working("Reading"):
        atlas = read_atlas(labels, image, name=name, ids=ids, about=(source, licence))
    with working("Writing"):
        entry = shelf.add(atlas)
    if cut := [level.name for level in atlas.levels if atlas.is_cut(level.value)]:
        note(f"The border of the field of view cuts {', '.join(cut)}: they do not serve as shapes")
    if as_json:
        print_json({"library": str(shelf.folder), "atlas": asdict(entry), "cut": cut})
    else:
        typer.echo(f"Added '{name}' ({_levels(entry)}) to {shelf.folder}")


@app.command("list", epilog="Example: samspine atlas list --json")
def list_atlases(library: Library = None, as_json: options.Json = False) -> None:
    """List your own atlases and the bundled ones."""
    from SAMSpineLib.atlas.library import AtlasLibrary, default_library, existing_library, user_folder

    own = existing_library(library) if library is not None else AtlasLibrary(user_folder())
    found = [(shelf, entry) for shelf in (own, default_library()) for entry in shelf.entries().values()]
    if as_json:
        rows = [{"library": str(shelf.folder), "bundled": not shelf.writable, **asdict(one)} for shelf, one in found]
        print_json({"library": str(own.folder), "atlases": rows})
        return
    lines = [
        (one.name + (" (bundled)" if not shelf.writable else ""), _levels(one), "no" if one.image is None else "yes",
         f"{sum(file.bytes for file in one.files) / 1e6:.2f} MB", one.licence, one.source)
        for shelf, one in found
    ]  # fmt: skip
    print_table("Atlases", ("name", "levels", "image", "size", "licence", "source"), lines)
    typer.echo(f"Your own: {own.folder}")


@app.command("remove", epilog="Example: samspine atlas remove mine")
def remove_atlas(
    name: Annotated[str, typer.Argument(metavar="NAME", help="One of your own atlases.")],
    library: Library = None,
    as_json: options.Json = False,
) -> None:
    """Remove one of your own atlases.

    The files that it was added from stay.
    """
    from SAMSpineLib.atlas.library import AtlasLibrary, user_folder

    shelf = AtlasLibrary(library or user_folder())
    shelf.remove(name)
    if as_json:
        print_json({"library": str(shelf.folder), "removed": name})
    else:
        typer.echo(f"Removed '{name}' from {shelf.folder}")


@app.command("build", epilog="Example: samspine atlas build more/ --phantoms 20 --seed 100")
def build_atlases(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A folder; atlases in it stay.")],
    *,
    phantoms: Annotated[int, typer.Option(min=0, help="How many synthetic spines.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="The seed of the first; the next has the next.")] = 0,
    manifest: Annotated[
        Path | None,
        typer.Option("--from", metavar="MANIFEST", help="A CSV list: name,labels,ids,source,licence; all needed."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Build a library of synthetic spines.

    The label maps of a list can be added to them. The same seed makes the same spines.
    """
    from SAMSpineLib.training.atlases import build_library

    with counting("Building") as tell:
        shelf = build_library(out, phantoms, first_seed=seed, manifest=manifest, progress=tell)
    entries = shelf.entries().values()
    if as_json:
        print_json({"library": str(out), "atlases": [asdict(entry) for entry in entries]})
    else:
        typer.echo("\n".join([f"{out} holds:", *(f"  {entry.name}: {_levels(entry)}" for entry in entries)]))


def read_atlas(labels: Path, image: Path | None, *, name: str, ids: Source | None, about: tuple[str, str]) -> Atlas:
    """Read a label map or segmentation, and its image if there is one, as an atlas.

    Raises:
        VolumeError: if a file cannot be read, or the image shows nothing of what is labelled.
        LabelError: if nothing in the label map is a level.
    """
    from SAMSpineLib.atlas.atlas import Atlas
    from SAMSpineLib.io import place_labels, read_with_notices
    from SAMSpineLib.io.numbering import read_labels

    found = read_labels(labels, spine_labels(), ids=ids)
    shown = None if image is None else read_with_notices(image)
    for text in (*found.notices, *(shown.notices if shown is not None else ())):
        note(text)
    array, grid = found.volume.array, found.volume.grid
    if shown is None:
        return Atlas(name, array, grid, None, *about)
    placed = place_labels(array, grid, shown.volume.grid)
    if array.any() and not placed.any():
        msg = f"{labels} and {image} do not overlap; give the image that was labelled"
        raise VolumeError(msg)
    return Atlas(name, placed, shown.volume.grid, shown.volume, *about)


def _levels(entry: AtlasEntry) -> str:
    """Write the levels of an atlas: how many, from where to where."""
    first, last = entry.levels[0], entry.levels[-1]
    return first if first == last else f"{first} to {last}, {len(entry.levels)}"
