"""Where the data files are: label tables, terminologies, weights, atlases."""

from __future__ import annotations

from pathlib import Path

from SAMSpineLib.errors import SAMSpineError

_PACKAGE = Path(__file__).resolve().parent


def resource_path(*parts: str) -> Path:
    """Return the path of a bundled file or folder, for example `resource_path("Labels", "spine.csv")`.

    An installed package carries `Resources` inside itself; in a checkout the folder lies beside the package.

    Raises:
        SAMSpineError: if neither place has it.
    """
    roots = (_PACKAGE / "Resources", _PACKAGE.parent / "Resources")
    for root in roots:
        if root.joinpath(*parts).exists():
            return root.joinpath(*parts)
    msg = (
        f"The bundled resource '{'/'.join(parts)}' was expected in {roots[0]} or {roots[1]}, found in neither: "
        "the installation is incomplete, install samspine again or complete the checkout"
    )
    raise SAMSpineError(msg)
