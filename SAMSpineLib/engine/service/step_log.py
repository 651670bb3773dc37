"""What must be repeated to bring a new engine to where the lost one was: the steps that count, and those undone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from SAMSpineLib.engine.service.wire import Message
from SAMSpineLib.prompts import Prompt


@dataclass(eq=False)
class Sent:
    """One message that made `steps` steps, each of which can be undone by itself."""

    message: Message = field(repr=False)
    steps: int = 0


@dataclass(frozen=True, eq=False)
class LoggedStep:
    """One step: what it did to the prompts of a label."""

    sent: Sent
    label: int
    before: tuple[Prompt, ...]
    after: tuple[Prompt, ...]


UNDO = Sent({"action": "undo"})


class StepLog:
    """Steps in effect, and steps undone that can be redone."""

    def __init__(self) -> None:
        """Begin with none."""
        self.done: list[LoggedStep] = []
        self.undone: list[LoggedStep] = []

    def push(self, sent: Sent, label: int, before: tuple[Prompt, ...], after: tuple[Prompt, ...]) -> None:
        """Add a step; what had been undone is gone."""
        self.undone.clear()
        sent.steps += 1
        self.done.append(LoggedStep(sent, label, before, after))

    def undo(self) -> LoggedStep | None:
        """Take the newest step back, or None."""
        if not self.done:
            return None
        self.undone.append(self.done.pop())
        return self.undone[-1]

    def redo(self) -> LoggedStep | None:
        """Bring the newest undone step back, or None."""
        if not self.undone:
            return None
        self.done.append(self.undone.pop())
        return self.done[-1]

    def replay(self) -> Iterator[Sent]:
        """Return the messages that lead to the same steps in effect and the same steps to redo.

        A message that made several steps is repeated whole, since its labels have settled with one another; those of
        its steps that are gone are undone again.
        """
        steps: Sequence[LoggedStep] = [*self.done, *reversed(self.undone)]
        for _, group in itertools.groupby(steps, key=lambda step: id(step.sent)):
            kept = list(group)
            yield kept[0].sent
            yield from itertools.repeat(UNDO, kept[0].sent.steps - len(kept))
        yield from itertools.repeat(UNDO, len(self.undone))
