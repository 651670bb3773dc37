"""What both hosts do alike while an event loop runs: the one that stands in for Slicer, and Slicer itself."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any


class Waiting(ABC):
    """Waits in an event loop that a host knows how to run."""

    @abstractmethod
    def run_for(self, seconds: float) -> None:
        """Run the event loop for a while; asleep when nothing happens."""

    def wait_until(self, predicate: Callable[[], Any], seconds: float = 10.0) -> Any:
        """Run the event loop until a predicate is true, and return what it returned.

        Raises:
            TimeoutError: if that takes too long.
        """
        end = time.monotonic() + seconds
        while not (result := predicate()):
            if time.monotonic() > end:
                msg = f"Still not true after {seconds} s: {predicate}"
                raise TimeoutError(msg)
            self.run_for(0.005)
        return result
