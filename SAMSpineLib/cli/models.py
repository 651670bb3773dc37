"""`samspine models`: which networks there are, and whether their weights are what was released."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from SAMSpineLib.cli import options
from SAMSpineLib.cli.console import print_json, print_table
from SAMSpineLib.errors import ModelError

EXAMPLES = """\b
Examples:
  samspine models list
  samspine models verify ct-sam3d-small
"""

app = typer.Typer(help="List networks, or check bundled weights.", epilog=EXAMPLES, rich_markup_mode=None)


@app.command("list", epilog="Example: samspine models list --json")
def list_models(as_json: options.Json = False) -> None:
    """List the networks, and which come with weights."""
    from SAMSpineLib.models.build import DEFAULT_MODEL, MODELS
    from SAMSpineLib.models.registry import model_entries

    entries = model_entries()
    found: list[dict[str, Any]] = []
    for name in MODELS:
        entry = entries.get(name)
        row = {"name": name, "default": name == DEFAULT_MODEL, "bundled": entry is not None}
        more = {"bytes": entry.bytes, "licence": entry.licence, "summary": entry.summary} if entry is not None else {}
        found.append(row | more)
    if as_json:
        print_json({"models": found})
        return
    rows = [
        (
            row["name"] + (" (default)" if row["default"] else ""),
            f"{row['bytes'] / 1e6:.1f} MB" if row["bundled"] else "none: train it",
            row.get("licence", ""),
            row.get("summary", ""),
        )
        for row in found
    ]
    print_table("Networks", ("name", "weights", "licence", "what it is"), rows)


@app.command("verify", epilog="Example: samspine models verify ct-sam3d-small")
def verify_models(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One network; without it all.")] = None,
    as_json: options.Json = False,
) -> None:
    """Check the SHA-256 of bundled weights.

    Damaged or missing ones are an error.
    """
    from SAMSpineLib.models.registry import model_entries, verify

    entries = model_entries()
    if name is not None and name not in entries:
        msg = f"No weights are bundled for '{name}'; bundled are: {', '.join(entries) or 'none'}"
        raise ModelError(msg)
    paths = {one: str(verify(entries[one])) for one in ([name] if name is not None else entries)}
    if as_json:
        print_json({"verified": paths})
    else:
        typer.echo("\n".join(f"{one}: as released ({path})" for one, path in paths.items()))
