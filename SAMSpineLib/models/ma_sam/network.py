"""MA-SAM: a frozen SAM with adapters, prompted by pseudo-masks; every pixel is given a class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from SAMSpineLib.errors import ModelError
from SAMSpineLib.models.ma_sam.adapters import ADAPTERS, EncoderAdapters
from SAMSpineLib.models.ma_sam.config import MaSamConfig
from SAMSpineLib.models.ma_sam.decoder import ClassDecoder
from SAMSpineLib.models.ma_sam.prompt_encoder import PromptEncoder, class_probabilities
from SAMSpineLib.models.sam.frozen_encoder import FrozenEncoder
from SAMSpineLib.models.sam.trunk import levels, walk, widths
from SAMSpineLib.models.taught_file import LearntOnSam

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base
    from segment_anything.modeling import Sam


# The probability of a class that no atlas says: small, and to be overcome.
UNSAID = 0.02


class MaSam(LearntOnSam):
    """Tell the class of each pixel of a slice, given what atlases say of it.

    Source: Fan et al., IEEE TMI 2025, doi 10.1109/TMI.2024.3524570 (the spine's MA-SAM, not the modality-agnostic one).
    The image encoder is the SAM's; its adapters, the prompt encoder and the decoder are learnt.
    """

    def __init__(self, config: MaSamConfig, network: Sam | SAM2Base) -> None:
        """Build on a SAM, which is left as it is.

        Raises:
            ModelError: if the shape is not for this SAM.
        """
        super().__init__()
        self.config = config
        self.sam = FrozenEncoder(network)
        _check(config, network, self.sam.image_size)
        self.adapters = EncoderAdapters(config.adapter, widths(self.sam.trunk), config.shrink)
        self.prompts = PromptEncoder(config)
        self.decoder = ClassDecoder(config, network)
        self.remember_learning()

    def forward(self, pictures: Tensor, prompt: Tensor) -> Tensor:
        """Return the logits (B, classes, S, S) of each class; the arguments are those of `encode` and `decode`."""
        return self.decode(self.encode(pictures), prompt)

    def encode(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Return the maps (B, C, H_i, W_i), coarse to fine, of pictures (B, S, S) of grey values 0..255.

        They do not depend on the prompt: a prompt that is changed costs the decoder only.
        """
        after = walk(self.sam.trunk, self.sam.images(pictures.unbind(0)), self.adapters)
        stages = [after[block] for block in levels(self.sam.trunk)] if self.sam.newer else after[-1:]
        embedding, *finer = self.sam.necked(stages)
        return self.sam.alone(embedding), *finer

    def decode(self, maps: tuple[Tensor, ...], prompt: Tensor) -> Tensor:
        """Return the logits (B, classes, S, S) of each class.

        Args:
            maps: of the pictures, coarse to fine.
            prompt: (B, P, S, S), of as many channels as the shape says: what each atlas says, as the index of a class,
                or `class_probabilities`.
        """
        coarse, finer = self.prompts(prompt)
        logits: Tensor = self.decoder(maps, coarse, finer)
        return logits + self.config.prior * self._said(prompt).log() if self.config.prior else logits

    def _said(self, prompt: Tensor) -> Tensor:
        """Return the probability (B, classes, S, S) of each class that atlases give it, none of them impossible."""
        said = class_probabilities(prompt, self.config.classes) if self.config.atlases else prompt
        return said.clamp(min=UNSAID)


def _check(config: MaSamConfig, network: Sam | SAM2Base, image_size: int) -> None:
    """Refuse adapters that nobody knows, and a SAM that is too wide, too narrow, or for images of another size."""
    if config.adapter not in ADAPTERS:
        msg = f"There are no adapters '{config.adapter}'; choose one of: {', '.join(ADAPTERS)}"
        raise ModelError(msg)
    decoder = network.get_submodule("sam_mask_decoder" if hasattr(network, "sam_mask_decoder") else "mask_decoder")
    found = (int(decoder.get_submodule("transformer").get_submodule("norm_final_attn").weight.numel()), image_size)
    if found != (config.channels, config.image_size):
        msg = (
            f"MA-SAM of this shape needs a SAM of {config.channels} channels for images of {config.image_size} pixels, "
            f"this one has {found[0]} and {found[1]}: choose the shape for this SAM, or build it for that size"
        )
        raise ModelError(msg)
