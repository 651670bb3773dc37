"""All that can be set about the engine: one dataclass for command line, panel, web app and server."""

from __future__ import annotations

from dataclasses import dataclass

from SAMSpineLib.models.precision import Precision


@dataclass(frozen=True)
class EngineSettings:
    """Limits and thresholds of segmentation.

    Attributes:
        threshold: probability from which a voxel belongs to the structure.
        cache_bytes: memory that encoded patches may hold.
        undo_bytes: memory that the undo history may hold; the oldest steps are forgotten first.
        max_patches: patches that one structure may spread over.
        max_patches_large: the same for structures that are known to be larger than a patch (sacrum, canal, spine).
        face_voxels: marked voxels on a patch's face from which the structure is followed beyond it.
        border_share: where, between its surroundings and the bone, a bright border lies (0..1; see `engine.border`);
            None leaves it where the network has it. 0.5 is where bone ends; experts, who mark whole voxels, draw about
            0.3 mm further out, which in a CT of usual sharpness is 0.4.
        heat_threshold: how sure the cross-patch prompter must be of a click before it is used.
        batch_size: parts of an image that a network looks at together on a GPU, where it looks at more than one; they
            are halved when its memory runs out. A CPU takes one after the other.
        precision: in which networks compute. float32 gives the figures of the README, and is what "auto" takes;
            bfloat16 needs a CPU, or a GPU that has it, float16 a GPU; encoded patches then take half the memory.
        slices_ahead: slices to either side that a network which works slice by slice encodes while the user looks at
            the one that was prompted; 0 where nobody looks.
    """

    threshold: float = 0.5
    cache_bytes: int = 512 * 2**20
    undo_bytes: int = 256 * 2**20
    max_patches: int = 6
    max_patches_large: int = 96
    face_voxels: int = 12
    border_share: float | None = 0.4
    heat_threshold: float = 0.7
    batch_size: int = 4
    precision: Precision = "auto"
    slices_ahead: int = 0
