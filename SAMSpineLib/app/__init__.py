"""The web face: Slicer's own views in a browser, with the engine in this process. It computes nothing itself."""

from __future__ import annotations

from SAMSpineLib.errors import MissingExtraError

try:
    import trame_slicer  # noqa: F401
except ImportError as error:
    raise MissingExtraError("trame-slicer", "app") from error  # noqa: EM101
