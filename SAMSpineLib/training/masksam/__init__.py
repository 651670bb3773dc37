"""Teaching MaskSAM: stacks of slices, which query answers for which structure, and what it is scored by."""
