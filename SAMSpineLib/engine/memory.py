"""When memory runs out: room is made, one thing after the other, and the work is done again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

from SAMSpineLib.errors import EngineError

Found = TypeVar("Found")
Notify = Callable[[str], None]
CACHE_EMPTIED = "Memory ran out: the cache was emptied, and the step tried again"
NOT_ENOUGH = "There is not enough memory for this step, even with the cache emptied; close other programs or volumes"
_SAID = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


def is_out_of_memory(error: BaseException) -> bool:
    """Tell an error about memory from others, whichever library it comes from."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    text = str(error).lower()
    return bool(kinds & {"MemoryError", "OutOfMemoryError"}) or any(words in text for words in _SAID)


def attempt(work: Callable[[], Found], remedies: Iterator[str], notify: Notify) -> Found:
    """Return what some work gives; where memory runs out, after as many remedies as it takes.

    Args:
        work: is done from its beginning each time, so it must leave nothing half done.
        remedies: each makes room when it is asked for, and says in one line what it did, or nothing.
        notify: is told that line.

    Raises:
        EngineError: if memory is not enough after the last remedy.
    """
    while True:
        try:
            return work()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # Not before the error is gone: its traceback holds on to what was computed.
        said = next(remedies, None)
        if said is None:
            raise EngineError(NOT_ENOUGH)
        if said:
            notify(said)


def emptied(empty_cache: Callable[[], None]) -> Iterator[str]:
    """Empty our own cache, and torch's where torch is loaded: the remedy that always comes first."""
    empty_cache()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    yield CACHE_EMPTIED
