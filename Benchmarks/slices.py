"""What slices cost: our session against the plain use of SAM 2's own predictors, with the same weights.

Plain use is what extensions for viewers do with the predictors: an image is set anew for every click, also on a slice
that was seen before; for propagation all slices are written as JPEG files and read again, every time it is asked for.

The network is a SAM 2.1 made small enough for a processor, weights are random, of a fixed seed. Both take turns, slice
by slice where there are several, so that whatever else the machine does slows both alike. What our session encodes
ahead while a user looks is left out of it: every slice is waited for.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from PIL import Image
from sam2.sam2_image_predictor import SAM2ImagePredictor
from sam2.sam2_video_predictor import SAM2VideoPredictor

from Benchmarks.timing import median
from SAMSpineLib.engine.session import Session
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.sam.channels import grey, grey_window
from SAMSpineLib.models.sam.config import Sam2Config
from SAMSpineLib.models.sam.networks import build_sam2
from SAMSpineLib.models.sam.promptable import SamPromptable
from SAMSpineLib.models.sam.sam2_backbone import Sam2Backbone
from SAMSpineLib.prompts import Point
from SAMSpineLib.volume import Volume

SIZE = 256
CONFIG = Sam2Config(
    32, 1, (1, 1, 4, 1), (3, 5), image_size=SIZE, channels=64, memory_channels=32, memory_layers=2, memory_hidden=256
)
SCROLLED, FOLLOWED = 60, 100
CORRECTED = 70  # the slice on which a propagation is corrected


def measure() -> dict[str, float]:
    """Time first and repeated clicks, 60 slices there and back, and 100 slices of propagation and its correction."""
    torch.manual_seed(7)
    network = build_sam2(CONFIG)
    with torch.no_grad():  # nothing may end by itself, or the work would not be the same
        network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(9.0)
    volume = _block(FOLLOWED)
    return _clicks(network, volume) | _propagation(network, volume)


def _clicks(network: Any, volume: Volume) -> dict[str, float]:
    session, predictor, pictures = _session(network, volume), SAM2ImagePredictor(network), _pictures(volume)
    sides = (SIZE // 4, SIZE // 8, SIZE // 16)
    predictor._bb_feat_sizes = [(side, side) for side in sides]  # written for images of 1024 pixels

    def plain(index: int) -> float:
        start = perf_counter()
        predictor.set_image(pictures[index])
        predictor.predict(np.array([[120.0, 130.0]]), np.array([1]))
        return perf_counter() - start

    def ours(index: int) -> float:
        start = perf_counter()
        session.add(Point((-120.0, -130.0 - index % 3, float(index))))
        return perf_counter() - start

    plain(99), ours(99)
    first = [(plain(index), ours(index)) for index in range(SCROLLED)]
    back = [(plain(index), ours(index)) for index in reversed(range(SCROLLED))]
    again = [(plain(30), ours(30)) for _ in range(15)]
    return {
        "slice_first_click_plain_ms": median(1000 * one for one, _ in first),
        "slice_first_click_ms": median(1000 * one for _, one in first),
        "slice_repeated_click_plain_ms": median(1000 * one for one, _ in again),
        "slice_repeated_click_ms": median(1000 * one for _, one in again),
        "ratio_slice_first_click": _ratio(first),
        "ratio_slice_repeated_click": _ratio(again),
        "ratio_60_slices_there": _ratio(first),
        "ratio_60_slices_there_and_back": _ratio(first + back),
    }


def _propagation(network: Any, volume: Volume) -> dict[str, float]:
    predictor = build_sam2(CONFIG, SAM2VideoPredictor)
    predictor.load_state_dict(network.state_dict())
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


def _session(network: Any, volume: Volume) -> Session:
    session = Session(SamPromptable(Sam2Backbone(network), name="small"))
    session.set_volume(volume)
    session.select(spine_labels().by_name("L3"))
    return session


def _block(count: int) -> Volume:
    """Return slices (count, 256, 256) of noise with a ball, voxels in the order of a screen."""
    k, j, i = np.ogrid[:count, :SIZE, :SIZE]
    ball = (i - 120) ** 2 + (j - 130) ** 2 + 0 * k < 40**2
    array = np.random.default_rng(0).integers(-100, 100, (count, SIZE, SIZE)) + 500 * ball
    return Volume.from_array(array.astype(np.int16), np.diag([-1.0, -1.0, 1.0, 1.0]))


def _pictures(volume: Volume) -> list[Any]:
    """Return all slices as images (256, 256, 3) of 8 bits."""
    shown = grey(volume.array.astype(np.float32), grey_window(volume)).astype(np.uint8)
    return [np.repeat(one[..., None], 3, axis=2) for one in shown]


def _timed(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def _ratio(pairs: list[tuple[float, float]]) -> float:
    """Return how many times as long plain use takes, all pairs together."""
    return round(sum(one for one, _ in pairs) / sum(one for _, one in pairs), 2)
