"""What clients may say and what they hear, as pydantic models: they check every message and make the description.

Sizes that the settings decide are checked in `hosting`; what is here holds for every engine.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from SAMSpineLib.engine.autonomous.methods import Run


def _whole(value: object) -> object:
    """Take 3.0 for 3, as JSON does."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]

# Beyond 100 m there is no patient, and beyond 2**20 voxels along an axis no scanner.
Mm = Annotated[float, Field(ge=-1e5, le=1e5, allow_inf_nan=False)]
Place = Annotated[list[Mm], Field(min_length=3, max_length=3)]
Row4 = Annotated[list[Mm], Field(min_length=4, max_length=4)]
Matrix4 = Annotated[list[Row4], Field(min_length=4, max_length=4)]
Count = Annotated[Whole, Field(ge=1, le=2**20)]
Shape = Annotated[list[Count], Field(min_length=3, max_length=3)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
SessionId = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
StepNumber = Annotated[Whole, Field(ge=1, le=2**31)]
FitNumber = Annotated[Whole, Field(ge=0, le=2**20)]
LabelValue = Annotated[Whole, Field(ge=1, le=65535)]
Dtype = Literal[
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"
]  # fmt: skip


class Message(BaseModel):
    """Nothing is guessed: types must be right, and what is not known is refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ArrayAbout(Message):
    """Voxels that a client wants to send."""

    shape: Shape
    dtype: Dtype


class SharedName(Message):
    """Shared memory of this machine that holds the voxels."""

    name: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,64}$")]


class OpenSession(Message):
    """A volume to segment, by the hash of its voxels; `labels` likewise for an earlier result (uint16)."""

    array: Digest
    labels: Digest | None = None
    ijk_to_ras: Matrix4
    name: Annotated[str, Field(max_length=1000)] = "volume"
    modality: Annotated[str, Field(max_length=20)] = "CT"
    replaces: SessionId | None = None


class GridIn(Message):
    """A lattice: shape (K, J, I) and matrix from IJK to RAS (mm)."""

    shape: Shape
    ijk_to_ras: Matrix4


class Packed(Message):
    """Voxels (K, J, I): base64 of zlib of the bytes, or of packed bits where the type is bool."""

    shape: Shape
    dtype: Dtype
    data: str


class PointIn(Message):
    """A click (RAS mm); as with all that is drawn, `normal` says which way its slice faces."""

    kind: Literal["point"]
    ras: Place
    positive: bool = True
    normal: Place | None = None


class BoxIn(Message):
    """A box by two opposite corners (RAS mm)."""

    kind: Literal["box"]
    corner_a: Place
    corner_b: Place
    normal: Place | None = None


class LineIn(Message):
    """A freehand line, or an outline of at least three points (RAS mm)."""

    kind: Literal["scribble", "lasso"]
    points: Annotated[list[Place], Field(min_length=1)]
    positive: bool = True
    normal: Place | None = None


class MaskIn(Message):
    """A rough mask on a grid of its own."""

    kind: Literal["mask"]
    grid: GridIn
    mask: Packed


PromptIn = Annotated[PointIn | BoxIn | LineIn | MaskIn, Field(discriminator="kind")]


class LabelIn(Message):
    """A structure: its voxel value, and what decides how far it is followed."""

    value: LabelValue
    name: Annotated[str, Field(min_length=1, max_length=200)]
    group: Annotated[str, Field(max_length=100)] = ""
    whole: bool = False


class Numbered(Message):
    """A step: numbered from 1, so that one that is sent twice is done once; `key` tells two with one number apart."""

    step: StepNumber
    key: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


class Add(Numbered):
    """One more prompt for a label."""

    action: Literal["add"]
    label: LabelIn
    overwrite: bool = False
    prompt: PromptIn


class Remove(Numbered):
    """Take a label's prompt back, by its place among them (from 0)."""

    action: Literal["remove"]
    label: LabelIn
    overwrite: bool = False
    index: Annotated[Whole, Field(ge=0, le=2**31)]


class Clear(Numbered):
    """Remove a label's prompts and voxels."""

    action: Literal["clear"]
    label: LabelIn
    overwrite: bool = False


class NextCandidate(Numbered):
    """Take the next of the masks that were offered on the slice that was prompted last."""

    action: Literal["next_candidate"]
    label: LabelIn
    overwrite: bool = False


class BackOrForth(Numbered):
    """Undo or redo a step."""

    action: Literal["undo", "redo"]


Step = Annotated[Add | Remove | Clear | NextCandidate | BackOrForth, Field(discriminator="action")]


class Order(Message):
    """Prompts of one label."""

    label: LabelIn
    prompts: list[PromptIn]


class AddAll(Numbered):
    """Prompt several labels and let them settle what more than one of them claims."""

    action: Literal["add_all"]
    orders: list[Order]


class SegmentSpine(Numbered):
    """Find, name and segment every vertebra, or, by the method `sam2rad`, what the network was taught."""

    action: Literal["segment_spine"]
    method: Run = "centres"


class Propagate(Numbered):
    """Follow labels from their prompted slices through the stack, and `most` of its slices where that is given."""

    action: Literal["propagate"]
    labels: Annotated[list[LabelIn], Field(min_length=1)]
    overwrite: bool = False
    most: Annotated[Whole, Field(ge=1, le=2**31)] | None = None


class TaughtLabel(LabelIn):
    """A structure to teach, with its colour (0..255)."""

    colour: Annotated[list[Annotated[Whole, Field(ge=0, le=255)]], Field(min_length=3, max_length=3)]


class LabelledIn(Message):
    """A volume that teaches, and its label map, by the hashes of their voxels."""

    array: Digest
    labels: Digest
    ijk_to_ras: Matrix4
    modality: Annotated[str, Field(max_length=20)] = "CT"
    subject: Annotated[str, Field(min_length=1, max_length=1000)]
    complete: bool = False


class Teach(Numbered):
    """Teach the engine's SAM structures, and keep what came of it among the engine's models under a name."""

    action: Literal["teach"]
    name: Annotated[str, Field(min_length=1, max_length=64)]
    structures: Annotated[list[TaughtLabel], Field(min_length=1, max_length=64)]
    volumes: Annotated[list[LabelledIn], Field(min_length=1, max_length=1000)]
    steps: Annotated[Whole, Field(ge=0, le=100_000)] = 0


Job = Annotated[AddAll | SegmentSpine | Propagate | Teach, Field(discriminator="action")]


class ArrayState(BaseModel):
    """How much of an array is here (bytes, expanded)."""

    received: int
    complete: bool


class Opened(BaseModel):
    """A session's name."""

    session: str


class Done(BaseModel):
    """Whether there was anything to do."""

    done: bool


class GridOut(BaseModel):
    """A lattice: shape (K, J, I) and matrix from IJK to RAS (mm)."""

    shape: list[int]
    ijk_to_ras: list[list[float]]


class PackedOut(BaseModel):
    """Voxels (K, J, I): base64 of zlib of the bytes, or of packed bits where the type is bool."""

    shape: list[int]
    dtype: Dtype
    data: str


class UpdateOut(BaseModel):
    """A label's mask in an extent (i0, i1, j0, j1, k0, k1), or all labels of it where others changed too."""

    label: int
    extent: list[int]
    mask: PackedOut
    crop: PackedOut | None
    overwritten: list[int]
    visited: list[GridOut]
    message: str


class RowOut(BaseModel):
    """An update, the Dice that is expected of the label now, and whether it can be followed through the stack."""

    update: UpdateOut
    quality: float | None
    follows: bool


class TransformOut(BaseModel):
    """Where each point of a level lies in an atlas: mm along R, A, S (float32), voxel by voxel along I (K, J, 3 I)."""

    atlas: str
    value: int
    grid: GridOut
    displacement: PackedOut


class StepDone(BaseModel):
    """What a step changed; lines for the user."""

    rows: list[RowOut]
    notices: list[str]


class ErrorText(BaseModel):
    """The name of our exception class, and one line for the user."""

    type: str
    message: str


class ErrorOut(BaseModel):
    """A refusal."""

    error: ErrorText


class Health(BaseModel):
    """The engine is there."""

    status: Literal["ok"] = "ok"


class Info(BaseModel):
    """What the engine is and how it fares; memory in bytes."""

    version: str
    protocol: int
    model: str
    device: str
    ready: bool
    sessions: int
    sessions_limit: int
    voxel_bytes: int
    voxel_bytes_limit: int
    cache_bytes: int
    process_bytes: int | None
    gpu: dict[str, Any] | None
