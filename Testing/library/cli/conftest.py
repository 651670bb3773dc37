"""The command line in this process, a small phantom on disk, and a network too small to be of use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from SAMSpineLib.cli import console, run
from SAMSpineLib.io import write_segmentation, write_volume
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.training.synthetic.phantom import Phantom, make_phantom
from SAMSpineLib.training.synthetic.settings import PhantomSettings

SEED = 1
IN_L3, IN_L4 = "L3:+:2,35,105", "L4:+:8,31,69"


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, stdout and stderr."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class CaseFiles:
    """A phantom on disk and in memory."""

    image: Path
    labels: Path
    phantom: Phantom


Command = Callable[..., Ended]


@pytest.fixture
def samspine(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Give a function that runs `samspine` on words; a slow machine makes no progress lines."""
    monkeypatch.setattr(console, "PATIENCE", 1e6)

    def command(*words: object) -> Ended:
        capfd.readouterr()
        code = run([str(word) for word in words])
        seen = capfd.readouterr()
        return Ended(code, seen.out, seen.err)

    return command


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory) -> CaseFiles:
    """Give the phantom L2 to L4 at 2 mm."""
    folder = tmp_path_factory.mktemp("case")
    phantom = make_phantom(SEED, PhantomSettings.small())
    write_volume(folder / "ct.nii.gz", phantom.image)
    write_segmentation(folder / "ct_labels.nii.gz", phantom.labels.array, phantom.labels.grid, spine_labels())
    return CaseFiles(folder / "ct.nii.gz", folder / "ct_labels.nii.gz", phantom)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give weights of `ct-sam3d-tiny` drawn at random."""
    torch = pytest.importorskip("torch")
    from SAMSpineLib.models.ct_sam3d.config import CONFIGS
    from SAMSpineLib.models.ct_sam3d.network import CTSAM3D
    from SAMSpineLib.models.weights import save_weights

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    return save_weights(path, CTSAM3D(CONFIGS["ct-sam3d-tiny"]), {"model": "ct-sam3d-tiny"})


@pytest.fixture
def tiny(weights: Path) -> tuple[str, ...]:
    """Give the options that choose the tiny network."""
    return ("--model", "ct-sam3d-tiny", "--weights", str(weights))


@pytest.fixture
def make_series(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that adds a DICOM series of small slices at the given heights (mm) to a folder."""

    def make(number: int = 1, heights: tuple[float, ...] = (0.0, 2.0, 4.0, 6.0)) -> Path:
        folder = tmp_path / "dicom"
        folder.mkdir(exist_ok=True)
        for order, height in enumerate(heights):
            _write_slice(folder / f"{number}-{order}.dcm", number, height)
        return folder

    return make


def _write_slice(path: Path, number: int, height: float) -> None:
    pydicom: Any = pytest.importorskip("pydicom")
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = pydicom.uid.CTImageStorage, pydicom.uid.generate_uid()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.Modality, data.SeriesInstanceUID, data.SeriesNumber = "CT", f"1.2.3.{number}", number
    data.SeriesDescription = f"Series {number}"
    data.Rows, data.Columns, data.PixelSpacing, data.SliceThickness = 8, 6, [1.0, 1.0], 2.0
    data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, height], [1, 0, 0, 0, 1, 0]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.RescaleSlope, data.RescaleIntercept = 1, 0
    data.PixelData = np.full((8, 6), 10 * number, np.int16).tobytes()
    data.save_as(path, enforce_file_format=True)
