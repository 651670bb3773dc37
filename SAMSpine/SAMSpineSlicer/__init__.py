"""The Slicer face: what the panel does. Decisions are the library's (SAMSpineLib); this package only shows and asks."""
