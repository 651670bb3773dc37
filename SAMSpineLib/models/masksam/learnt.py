"""MaskSAM as a file: what was learnt, and a card that says what it knows and which SAM it belongs to."""

from __future__ import annotations

from SAMSpineLib.models.masksam.config import MaskSamConfig
from SAMSpineLib.models.masksam.network import MaskSam
from SAMSpineLib.models.taught_file import LearntCard, LearntFile

KIND = "masksam"
MaskSamCard = LearntCard[MaskSamConfig]
MASKSAM_FILE = LearntFile(KIND, MaskSamConfig, MaskSam)
save_masksam, read_masksam, load_masksam = MASKSAM_FILE.save, MASKSAM_FILE.read, MASKSAM_FILE.load
