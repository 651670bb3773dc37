"""Run the command line as `python -m SAMSpineLib`."""

from SAMSpineLib.cli import main

main()
