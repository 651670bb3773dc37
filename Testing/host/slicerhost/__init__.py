"""A stand-in for the application 3D Slicer around the real SAMSpine.py, the real .ui file and the real MRML scene."""
