"""Drives the real 3D Slicer from within, by real events; `Testing/host/slicerhost` does the same to its stand-in."""
