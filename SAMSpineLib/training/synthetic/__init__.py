"""Synthetic spines: CT volumes with true labels, made from published morphometry and chance alone."""

from SAMSpineLib.training.synthetic.phantom import Phantom, make_phantom
from SAMSpineLib.training.synthetic.settings import PhantomSettings

__all__ = ["Phantom", "PhantomSettings", "make_phantom"]
