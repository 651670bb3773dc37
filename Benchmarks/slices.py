"""What slices cost: our session against the plain use of SAM 2's own predictors, with the same weights.

Plain use is what extensions for viewers do, written anew from what they do:

- A click (MONAI Label's server, as its client asks it): the image is set anew for every click, also on a slice that was
  seen before; the mask is put into an array of float64 of the whole volume, which is written as a compressed NRRD and
  read by the client. Ratios are given with these files (`..._with_files`) and for the networks alone.
- All slices ahead (SegmentWithSAM, TomoSAM): every slice of the volume is encoded before the first mask.
- Propagation (both of SegmentWithSAM and MONAI Label): all slices are written as JPEG files and read again, every time
  it is asked for.

The network has the shape of `sam-spine-tiny`, weights are random, of a fixed seed. Both sides take turns, slice by
slice where there are several, so that whatever else the machine does slows both alike. What our session encodes ahead
is left out, except in `ratio_60_slices_looking`: there a user looks at each slice for a second before going on, and
what is counted is the waiting after a click. Plain use waits for the same, whether somebody looks or not.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

os.environ.setdefault("TQDM_DISABLE", "1")

import numpy as np
import SimpleITK as sitk
import torch
from PIL import Image
from sam2.sam2_image_predictor import SAM2ImagePredictor
from sam2.sam2_video_predictor import SAM2VideoPredictor

from Benchmarks.timing import median
from SAMSpineLib.engine.session import Session
from SAMSpineLib.engine.settings import EngineSettings
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.sam.channels import grey, grey_window
from SAMSpineLib.models.sam.config import OWN_CONFIGS
from SAMSpineLib.models.sam.networks import build_sam2
from SAMSpineLib.models.sam.promptable import SamPromptable
from SAMSpineLib.models.sam.sam2_backbone import Sam2Backbone
from SAMSpineLib.prompts import Point
from SAMSpineLib.volume import Volume

CONFIG = OWN_CONFIGS["sam-spine-tiny"]
SIZE = CONFIG.image_size
AHEAD, LOOKING_S = 8, 1.0
SCROLLED, FOLLOWED = 60, 100
CORRECTED = 70  # the slice on which a propagation is corrected


def measure() -> dict[str, float]:
    """Time first and repeated clicks, 60 slices there and back, and 100 slices of propagation and its correction."""
    torch.manual_seed(7)
    network, plain = build_sam2(CONFIG), build_sam2(CONFIG, SAM2VideoPredictor)
    with torch.no_grad():  # nothing may end by itself, or the work would not be the same
        network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(9.0)
    plain.load_state_dict(network.state_dict())
    volume = _block(FOLLOWED)
    return _clicks(network, plain, volume) | _propagation(network, plain, volume)


class _Plain:
    """Clicks as a server answers them that remembers nothing; `network` and `files` are the seconds of the last one."""

    def __init__(self, network: Any, volume: Volume, folder: Path) -> None:
        self.predictor, self.pictures = SAM2ImagePredictor(network), _pictures(volume)
        sides = (SIZE // 4, SIZE // 8, SIZE // 16)
        self.predictor._bb_feat_sizes = [(side, side) for side in sides]  # written for images of 1024 pixels
        self._shape, self._file = volume.shape, str(folder / "answer.nrrd")
        self.network = self.files = 0.0

    def click(self, index: int) -> None:
        start = perf_counter()
        self.predictor.set_image(self.pictures[index])
        masks, scores, _ = self.predictor.predict(np.array([[120.0, 130.0]]), np.array([1]))
        self.network = perf_counter() - start
        answer = np.zeros(self._shape, np.float64)
        answer[index] = masks[scores.argmax()]
        sitk.WriteImage(sitk.GetImageFromArray(answer), self._file, useCompression=True)
        sitk.GetArrayFromImage(sitk.ReadImage(self._file))
        self.files = perf_counter() - start - self.network


def _clicks(network: Any, other: Any, volume: Volume) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        plain, session = _Plain(other, volume, Path(folder)), _session(network, volume)
        turn = _Turns(plain, session)
        turn.take(99)
        first = [turn.take(index) for index in range(SCROLLED)]
        back = [turn.take(index) for index in reversed(range(SCROLLED))]
        again = [turn.take(30) for _ in range(30)]
        ahead = _Turns(plain, _session(network, volume, slices_ahead=AHEAD))
        looking = [ahead.take(index, looking=LOOKING_S) for index in range(SCROLLED)]
        every = _timed(lambda: [plain.predictor.set_image(one) for one in plain.pictures])
    figures: dict[str, float] = {}
    for name, pairs in (("first_click", first), ("repeated_click", again)):
        plain_ms, files_ms, ours_ms = (median(1000 * one[part] for one in pairs) for part in range(3))
        figures |= {
            f"slice_{name}_plain_ms": plain_ms,
            f"slice_{name}_plain_files_ms": files_ms,
            f"slice_{name}_ms": ours_ms,
            f"ratio_slice_{name}": round(plain_ms / ours_ms, 2),
            f"ratio_slice_{name}_with_files": round((plain_ms + files_ms) / ours_ms, 2),
        }
    for name, pairs in (("there", first), ("there_and_back", first + back), ("looking", looking)):
        plain_s, files_s, ours_s = (sum(one[part] for one in pairs) for part in range(3))
        figures[f"ratio_60_slices_{name}"] = round(plain_s / ours_s, 2)
        figures[f"ratio_60_slices_{name}_with_files"] = round((plain_s + files_s) / ours_s, 2)
    first_ms = figures["slice_first_click_ms"]
    return figures | {"ratio_first_mask_all_slices_ahead": round(1000 * every / first_ms, 1)}


class _Turns:
    """Clicks on both sides, one after the other."""

    def __init__(self, plain: _Plain, session: Session) -> None:
        self._plain, self._session, self._count = plain, session, 0

    def take(self, index: int, *, looking: float = 0.0) -> tuple[float, float, float]:
        """Return the seconds that plain use waits for its network and for its files, and those that ours waits."""
        self._count += 1
        ours = _timed(lambda: self._session.add(Point((-120.0, -130.0 - self._count % 7, float(index)))))
        sleep(looking)
        self._session._ahead.stop()
        self._session._ahead.wait()
        self._plain.click(index)
        return self._plain.network, self._plain.files, ours


def _propagation(network: Any, predictor: Any, volume: Volume) -> dict[str, float]:
    session, pictures = _session(network, volume), _pictures(volume)
    at = {FOLLOWED // 2: (120.0, 130.0), CORRECTED: (125.0, 128.0)}
    plain, ours, encoded = [], [], []
    for count in (1, 2):
        clicks = dict(list(at.items())[:count])
        plain.append(_timed(lambda clicks=clicks: _plain_propagation(predictor, pictures, clicks)))  # type: ignore[misc]
        index, (x, y) = list(at.items())[count - 1]
        session.add(Point((-x, -y, float(index))))
        before = session.cache.encoded_count
        ours.append(_timed(session.propagate))
        encoded.append(session.cache.encoded_count - before)
    return {
        "propagation_100_plain_ms": 1000 * plain[0],
        "propagation_100_ms": 1000 * ours[0],
        "correction_plain_ms": 1000 * plain[1],
        "correction_ms": 1000 * ours[1],
        "correction_slices_encoded": float(encoded[1]),
        "ratio_propagation_100": round(plain[0] / ours[0], 2),
        "ratio_correction": round(plain[1] / ours[1], 2),
    }


def _plain_propagation(predictor: Any, pictures: list[Any], clicks: dict[int, tuple[float, float]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for index, picture in enumerate(pictures):
            Image.fromarray(picture).save(Path(folder) / f"{index:05d}.jpg")
        state = predictor.init_state(folder)
        for index, place in clicks.items():
            predictor.add_new_points_or_box(state, index, 1, points=[place], labels=[1])
        for reverse in (False, True):
            for _, _, masks in predictor.propagate_in_video(state, min(clicks), reverse=reverse):
                (masks[0] > 0).numpy()


def _session(network: Any, volume: Volume, *, slices_ahead: int = 0) -> Session:
    session = Session(SamPromptable(Sam2Backbone(network), name="small"), EngineSettings(slices_ahead=slices_ahead))
    session.set_volume(volume)
    session.select(spine_labels().by_name("L3"))
    return session


def _block(count: int) -> Volume:
    """Return slices (count, S, S) of noise with a ball, voxels in the order of a screen."""
    k, j, i = np.ogrid[:count, :SIZE, :SIZE]
    ball = (i - 120) ** 2 + (j - 130) ** 2 + 0 * k < 40**2
    array = np.random.default_rng(0).integers(-100, 100, (count, SIZE, SIZE)) + 500 * ball
    return Volume.from_array(array.astype(np.int16), np.diag([-1.0, -1.0, 1.0, 1.0]))


def _pictures(volume: Volume) -> list[Any]:
    """Return all slices as images (S, S, 3) of 8 bits."""
    shown = grey(volume.array.astype(np.float32), grey_window(volume)).astype(np.uint8)
    return [np.repeat(one[..., None], 3, axis=2) for one in shown]


def _timed(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start
