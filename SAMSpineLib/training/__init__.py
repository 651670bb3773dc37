"""How the bundled weights came about: synthetic spines, datasets, clicks, losses, the loop."""
