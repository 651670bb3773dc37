"""Teaching MA-SAM: slices, what atlases could say of them, and what it is scored by."""
