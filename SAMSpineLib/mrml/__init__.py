"""The scene's side of the library: volume nodes, segments and markups, in 3D Slicer or with the package slicer-core.

Nothing here touches an application or a global scene: a scene or a node is always an argument.
"""

from __future__ import annotations

from SAMSpineLib.errors import MissingExtraError

try:
    import slicer  # noqa: F401
except ImportError as error:
    raise MissingExtraError("slicer-core", "mrml") from error  # noqa: EM101
