"""All limits of a served engine: one dataclass for the command line, the server and the tests."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True)
class ServiceSettings:
    """Limits of an engine that others use; each is refused with a clear word, never exceeded.

    Attributes:
        sessions: sessions that may be open at once.
        memory_bytes: voxels that volumes and label maps of all sessions may take.
        volume_bytes: voxels that one volume may take.
        message_bytes: size of one message, compressed.
        piece_bytes: voxels in one piece of an upload, expanded.
        prompts: prompts in one message.
        prompt_points: points of one scribble or lasso.
        mask_voxels: voxels of one mask prompt.
        waiting: calls of one session that may wait for their turn.
        computing: sessions that may compute at the same time.
        idle_seconds: after this time without a call a session is closed, and a volume without a session forgotten.
        body_seconds: time that the headers of a message, and each next part of it, may take to arrive.
        connections: connections at once.
    """

    sessions: int = 64
    memory_bytes: int = 16 * 1024 * MIB
    volume_bytes: int = 4 * 1024 * MIB
    message_bytes: int = 64 * MIB
    piece_bytes: int = 16 * MIB
    prompts: int = 4096
    prompt_points: int = 20_000
    mask_voxels: int = 64 * MIB
    waiting: int = 16
    computing: int = 4
    idle_seconds: float = 3600.0
    body_seconds: float = 30.0
    connections: int = 256
