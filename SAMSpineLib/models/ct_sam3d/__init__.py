"""CT-SAM3D (arXiv 2403.15063): click maps, image encoder, prompt-driven decoder, cross-patch prompter."""
