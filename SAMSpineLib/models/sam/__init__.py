"""SAM and SAM 2 on slices: the networks are those of the packages `segment-anything` and `sam2`."""
