"""MA-SAM as a file: what was learnt, and a card that says what it knows and which SAM it belongs to."""

from __future__ import annotations

from SAMSpineLib.models.ma_sam.config import MaSamConfig
from SAMSpineLib.models.ma_sam.network import MaSam
from SAMSpineLib.models.taught_file import LearntCard, LearntFile

KIND = "ma-sam"
# Its structures are the classes but for the first one, background.
MaSamCard = LearntCard[MaSamConfig]
MA_SAM_FILE = LearntFile(KIND, MaSamConfig, MaSam)
save_ma_sam, read_ma_sam, load_ma_sam = MA_SAM_FILE.save, MA_SAM_FILE.read, MA_SAM_FILE.load
