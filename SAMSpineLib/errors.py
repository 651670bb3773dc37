"""What can go wrong by the user's doing, each as a class of its own.

Every message says what was expected, what came, and what to do about it. The command line turns any of these into
one line on stderr and exit code 2; anything else is a fault of ours and exits with 1.
"""


class SAMSpineError(Exception):
    """Base of every error that a user can cause and can mend."""


class VolumeError(SAMSpineError):
    """An image that cannot be used: missing, empty, truncated, of the wrong type or dimension."""


class GeometryError(VolumeError):
    """Voxels whose place in the patient is unknown or contradictory."""


class LabelError(SAMSpineError):
    """A structure that the label table does not know, or a label map that does not fit."""


class PromptError(SAMSpineError):
    """A prompt that cannot be used: outside the volume, malformed, or of a kind the model does not take."""


class ModelError(SAMSpineError):
    """A model or its weights: unknown name, missing file, corrupt or foreign content."""


class OutputError(SAMSpineError):
    """A result that could not be written: no permission, no space, unknown format."""


class GraphicsError(SAMSpineError):
    """A machine that cannot draw: no OpenGL, neither on a screen nor without one."""


class Cancelled(SAMSpineError):  # noqa: N818 - nothing went wrong
    """The user has ended a long run; what it had finished stays."""


class MissingExtraError(SAMSpineError):
    """An optional package is not installed; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str) -> None:
        """Name the package that was looked for and the extra of `samspine` that installs it."""
        super().__init__(f"This needs the package '{package}', which is not installed: pip install 'samspine[{extra}]'")


class EngineError(SAMSpineError):
    """An engine in another process that cannot be reached, has died, refuses, or has failed inside."""


class EngineLostError(EngineError):
    """A session that its engine does not know (any more): it was started anew, or the session was idle too long."""
