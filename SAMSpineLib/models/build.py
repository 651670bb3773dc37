"""From a name to a network: those that answer prompts are in `MODELS`, those that find vertebrae in `LOCALISERS`.

The keys are architectures. A name is that of weights: bundled ones are called as their architecture, a user may have
many of one architecture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from SAMSpineLib.errors import MissingExtraError, ModelError
from SAMSpineLib.models.precision import Precision
from SAMSpineLib.models.registry import releases
from SAMSpineLib.models.store.resolving import architecture_of, names_of, resolve, weights_given
from SAMSpineLib.models.store.stored_model import StoredModel

if TYPE_CHECKING:
    from SAMSpineLib.models.localiser.localiser import VolumeLocaliser
    from SAMSpineLib.models.ma_sam.segmenter import MaSamSegmenter
    from SAMSpineLib.models.masksam.prompter import MaskSamPrompter
    from SAMSpineLib.models.protocols import Promptable
    from SAMSpineLib.models.sam.promptable import SamPromptable

Model = TypeVar("Model")
DEFAULT_MODEL = "ct-sam3d-small"
DEFAULT_LOCALISER = "localiser-small"


def build_ct_sam3d(model: StoredModel, device: str, precision: Precision) -> Promptable:
    """Return CT-SAM3D of a size with its weights."""
    from SAMSpineLib.models.ct_sam3d.config import CONFIGS
    from SAMSpineLib.models.ct_sam3d.network import CTSAM3D
    from SAMSpineLib.models.ct_sam3d.promptable import CTSAM3DPromptable
    from SAMSpineLib.models.weights import load_weights

    network = CTSAM3D(CONFIGS[model.architecture])
    load_weights(model.path, network)
    return CTSAM3DPromptable(network, name=model.name, device=device, precision=precision)


def build_volume_localiser(model: StoredModel, device: str, precision: Precision) -> VolumeLocaliser:
    """Return the localiser of a size with its weights."""
    from SAMSpineLib.models.localiser.config import CONFIGS
    from SAMSpineLib.models.localiser.localiser import VolumeLocaliser
    from SAMSpineLib.models.localiser.network import Localiser
    from SAMSpineLib.models.weights import load_weights

    network = Localiser(CONFIGS[model.architecture])
    load_weights(model.path, network)
    return VolumeLocaliser(network, name=model.name, device=device, precision=precision)


def build_sam_model(model: StoredModel, device: str, precision: Precision) -> Promptable:
    """Return a SAM of a size with its weights."""
    from SAMSpineLib.models.sam.config import SAM_CONFIGS
    from SAMSpineLib.models.sam.networks import build_sam
    from SAMSpineLib.models.sam.promptable import SamPromptable
    from SAMSpineLib.models.sam.sam_backbone import SamBackbone
    from SAMSpineLib.models.weights import load_weights

    config = SAM_CONFIGS[model.architecture]
    network = build_sam(replace(config, image_size=model.image_size or config.image_size))
    load_weights(model.path, network)
    return SamPromptable(SamBackbone(network, device, precision), name=model.name)


def build_sam2_model(model: StoredModel, device: str, precision: Precision) -> Promptable:
    """Return a SAM 2 of a size with its weights."""
    from SAMSpineLib.models.sam.config import OWN_CONFIGS, SAM2_CONFIGS
    from SAMSpineLib.models.sam.networks import build_sam2
    from SAMSpineLib.models.sam.promptable import SamPromptable
    from SAMSpineLib.models.sam.sam2_backbone import Sam2Backbone
    from SAMSpineLib.models.weights import load_weights

    config = {**SAM2_CONFIGS, **OWN_CONFIGS}[model.architecture]
    network = build_sam2(replace(config, image_size=model.image_size or config.image_size))
    load_weights(model.path, network)
    return SamPromptable(Sam2Backbone(network, device, precision), name=model.name)


MODELS: dict[str, Callable[[StoredModel, str, Precision], Promptable]] = {
    "ct-sam3d-small": build_ct_sam3d,
    "ct-sam3d-paper": build_ct_sam3d,
    "sam-vit-b": build_sam_model,
    "sam-vit-l": build_sam_model,
    "sam-vit-h": build_sam_model,
    "sam2-tiny": build_sam2_model,
    "sam2-small": build_sam2_model,
    "sam2-base-plus": build_sam2_model,
    "sam2-large": build_sam2_model,
    "sam2.1-tiny": build_sam2_model,
    "sam2.1-small": build_sam2_model,
    "sam2.1-base-plus": build_sam2_model,
    "sam2.1-large": build_sam2_model,
    "sam-spine-tiny": build_sam2_model,
    # For tests: the whole story in seconds, and no weights that are of use.
    "ct-sam3d-tiny": build_ct_sam3d,
    "sam-spine-smoke": build_sam2_model,
}


def build_taught_model(model: StoredModel, device: str, precision: Precision) -> Promptable:
    """Return a taught model on the SAM that its card names."""
    from SAMSpineLib.models.sam2rad.segmenter import TaughtSam
    from SAMSpineLib.models.sam2rad.taught import load_taught, read_card

    sam = build_backbone(read_card(model.path).backbone, device=device, precision=precision)
    network, card = load_taught(model.path, sam.backbone.network)
    return TaughtSam(network, card, sam, model.name)


# The SAM that is taught where the model in use is none.
BUNDLED_SAM = "sam-spine-tiny"
# What was taught to a model of `MODELS`, and is none by itself.
TAUGHT: dict[str, Callable[[StoredModel, str, Precision], Promptable]] = {"sam2rad": build_taught_model}

LOCALISERS: dict[str, Callable[[StoredModel, str, Precision], VolumeLocaliser]] = {
    "localiser-small": build_volume_localiser,
    "localiser-tiny": build_volume_localiser,
}


def build_promptable(
    name: str = DEFAULT_MODEL, *, weights: Path | None = None, device: str = "cpu", precision: Precision = "auto"
) -> Promptable:
    """Build a model that answers prompts.

    Args:
        name: a model of `samspine models list`.
        weights: a safetensors file of the user's own; without it the bundled file, or the one in the user's folder of
            models, checked against its SHA-256.
        device: a torch device.
        precision: in which the network computes; of a SAM, the image encoder.

    Raises:
        ModelError: if the name is unknown, the weights are missing, damaged or another network's, or the device
            cannot be used, or not in that precision.
        MissingExtraError: if torch is not installed.
    """
    return _built({**MODELS, **TAUGHT}, name, weights, (device, precision))


def build_localiser(
    name: str = DEFAULT_LOCALISER, *, weights: Path | None = None, device: str = "cpu", precision: Precision = "auto"
) -> VolumeLocaliser:
    """Build a model that finds vertebrae; arguments and errors are those of `build_promptable`, names `LOCALISERS`."""
    return _built(LOCALISERS, name, weights, (device, precision))


def build_backbone(
    name: str, *, image_size: int | None = None, device: str = "cpu", precision: Precision = "auto"
) -> SamPromptable:
    """Build a SAM on which something else is, or will be, taught.

    Args:
        name: a SAM of `samspine models list`.
        image_size: side (pixels) of the square that it shall see; None for that of its training.
        device: a torch device.
        precision: in which its image encoder computes.

    Raises:
        ModelError: as `build_promptable` does; also if it is no SAM, or none for images of that size.
    """
    from SAMSpineLib.models.sam.promptable import SamPromptable

    sam = _built(MODELS, name, None, (device, precision), image_size)
    if not isinstance(sam, SamPromptable):
        msg = f"'{name}' is no SAM, and nothing can be taught on it: choose a SAM of `samspine models list`"
        raise ModelError(msg)
    return sam


def sam_for(name: str) -> str:
    """Return which SAM to teach where a model is in use: itself, the one that it was taught on, or the bundled one.

    Raises:
        ModelError: if there is no such model, or its file cannot be read.
    """
    from SAMSpineLib.models.sam2rad.taught import read_card

    architecture = architecture_of(name)
    if MODELS.get(architecture) in (build_sam_model, build_sam2_model):
        return name
    return read_card(resolve(name).path).backbone if architecture in TAUGHT else BUNDLED_SAM


def build_masksam(model: StoredModel, device: str, precision: Precision) -> MaskSamPrompter:
    """Return a MaskSAM on the SAM that its card names."""
    from SAMSpineLib.models.masksam.learnt import load_masksam, read_masksam
    from SAMSpineLib.models.masksam.prompter import MaskSamPrompter

    _, card = read_masksam(model.path)
    size = card.config.image_size
    sam = build_backbone(card.backbone, image_size=size, device=device, precision=precision)
    network, card = load_masksam(model.path, sam.backbone.network)
    return MaskSamPrompter(network, card, sam, model.name, precision)


def build_ma_sam(model: StoredModel, device: str, precision: Precision) -> MaSamSegmenter:
    """Return an MA-SAM on the SAM that its card names."""
    from SAMSpineLib.models.ma_sam.learnt import load_ma_sam, read_ma_sam
    from SAMSpineLib.models.ma_sam.segmenter import MaSamSegmenter

    _, card = read_ma_sam(model.path)
    size = card.config.image_size
    sam = build_backbone(card.backbone, image_size=size, device=device, precision=precision)
    network, card = load_ma_sam(model.path, sam.backbone.network)
    return MaSamSegmenter(network, card, sam, model.name, precision)


# What segments whole volumes, by the method of autonomous mode: what is trained or added, and what is bundled.
SEGMENTERS: dict[str, dict[str, Callable[[StoredModel, str, Precision], Any]]] = {
    "masksam": {"masksam": build_masksam, "masksam-small": build_masksam},
    "ma-sam": {"ma-sam": build_ma_sam, "ma-sam-small": build_ma_sam},
}


def build_segmenter(
    method: str,
    name: str = "",
    *,
    weights: Path | None = None,
    device: str = "cpu",
    precision: Precision = "auto",
) -> Any:
    """Build a network that segments whole volumes: for `masksam` a `MaskSamPrompter`, for `ma-sam` a `MaSamSegmenter`.

    Args:
        method: of autonomous mode.
        name: of the model; without one the bundled one, or else the first of the user's own.
        weights: a file of the user's own; its SAM is the one that its card names.
        device: a torch device.
        precision: in which it computes.

    Raises:
        ModelError: if there is none, or as `build_promptable`.
    """
    known = SEGMENTERS[method]
    if weights is not None:
        _check_device(device)
        return known[method](StoredModel(weights.stem, method, weights), device, precision)
    chosen = name or next(iter(names_of(frozenset(known))), "")
    if not chosen:
        msg = (
            f"No network for the method '{method}' is on this machine: train one (`samspine train {method}-small`) and "
            "add what comes of it (`samspine models add`)"
        )
        raise ModelError(msg)
    return _built(known, chosen, None, (device, precision))


def _built(
    known: Mapping[str, Callable[[StoredModel, str, Precision], Model]],
    name: str,
    weights: Path | None,
    where: tuple[str, Precision],
    image_size: int | None = None,
) -> Model:
    architecture = architecture_of(name)
    if architecture not in known:
        choice = dict.fromkeys((*known, *names_of(frozenset(known)), *_released(known)))
        msg = f"There is no model '{name}'; choose one of: {', '.join(choice)}"
        raise ModelError(msg)
    model = weights_given(name, weights) if weights is not None else resolve(name)
    if image_size is not None:
        model = replace(model, image_size=image_size)
    _check_device(where[0])
    return known[architecture](model, *where)


def _released(known: Mapping[str, object]) -> list[str]:
    """Return the releases that fill a known network."""
    return [name for name, release in releases().items() if release.architecture in known]


def _check_device(device: str) -> None:
    """Refuse a device that torch cannot use here."""
    try:
        import torch
    except ImportError as error:
        package = "torch"
        raise MissingExtraError(package, "sam") from error
    if device.startswith("cuda") and not torch.cuda.is_available():
        msg = f"The device '{device}' was asked for, but this machine has no CUDA device that torch can use; use 'cpu'"
        raise ModelError(msg)
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        msg = f"The device '{device}' cannot be used ({reason}); choose 'cpu', or 'cuda' where there is a CUDA device"
        raise ModelError(msg) from error
