"""Shapes of MA-SAM: numbers only, no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MaSamConfig:
    """Shape of what is learnt for one SAM (Fan et al., IEEE TMI 2025, doi 10.1109/TMI.2024.3524570, and release).

    Attributes:
        classes: that a place can be of; the first one is background.
        atlases: how many label maps the prompt has, each a channel of its own, as published; 0 for the probability of
            each class over any number of atlases.
        channels: of the SAM's embedding.
        adapter: kind of the encoder's adapters, a key of `ADAPTERS`.
        shrink: how many times narrower than a block the inside of its adapter is.
        widths: channels of the prompt encoder, and of the decoder, at the resolution of the image, of its half, its
            fourth and its eighth.
        image_size: side in pixels of the square that the SAM sees.
        pixel: size (mm) of its pixels when a volume is segmented. No weight depends on it.
        apart: distance (mm) of the slices that are looked at then.
        prior: how much of what atlases say is in the answer before anything is learnt: 0, as published, or 1 to learn
            nothing but where they are wrong.
        lean: whether the SAM's transformer stays as it is and one MLP speaks for all classes: a fifth of the weights.
    """

    classes: int
    atlases: int = 0
    channels: int = 256
    adapter: str = "published"
    shrink: int = 4
    widths: tuple[int, int, int, int] = (16, 32, 64, 128)
    image_size: int = 512
    pixel: float = 0.75
    apart: float = 1.5
    prior: float = 0.0
    lean: bool = False

    @property
    def prompt_channels(self) -> int:
        """Channels of a prompt."""
        return self.atlases or self.classes


CONFIGS: dict[str, MaSamConfig] = {
    # Published, on SAM's ViT-B at 512 pixels: 273.1 million weights, 185.8 of them learnt.
    "ma-sam-paper": MaSamConfig(classes=4, atlases=20),
    # Ours, on sam-spine-tiny: background, C1 to C7, T1 to T12, L1 to L5 and the sacrum.
    "ma-sam-small": MaSamConfig(
        classes=26, channels=128, adapter="bottleneck", widths=(16, 16, 32, 64), prior=1.0, lean=True,
    ),
    # For tests: the whole story in seconds, and no weights that are of use.
    "ma-sam-smoke": MaSamConfig(
        classes=26, channels=128, adapter="bottleneck", shrink=8, widths=(8, 8, 16, 16), image_size=128, pixel=1.5,
        apart=6.0, prior=1.0, lean=True,
    ),
}  # fmt: skip
