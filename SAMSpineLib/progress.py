"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

# Called as (done, in all, what was done last). What it raises ends the work.
Counted = Callable[[int, int, str], None]
# Called with the name of a stage and the share (0..1) of the whole run that is done.
StageProgress = Callable[[str, float], None]
