"""MaskSAM: a 2D SAM that prompts itself, sees depth, and says what each of its masks is."""
