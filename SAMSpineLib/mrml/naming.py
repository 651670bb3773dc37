"""Names that were given to a whole chain, as steps to undo among those of an engine, which knows nothing of names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from SAMSpineLib.engine.autonomous.result import AutoResult
from SAMSpineLib.engine.autonomous.review import UNSURE
from SAMSpineLib.labels import Label
from SAMSpineLib.mrml.renumbering import relabel
from SAMSpineLib.mrml.review_list import ReviewRow, review_of
from SAMSpineLib.mrml.workbench import Workbench


@dataclass(frozen=True)
class Renaming:
    """Labels and review list, before and after; labels by segment id."""

    before: Mapping[str, Label]
    after: Mapping[str, Label]
    review_before: Sequence[ReviewRow] = ()
    review_after: Sequence[ReviewRow] = ()


class Choice:
    """The numberings among which a user may choose, as long as the segments bear the names of one of them."""

    def __init__(self, bench: Workbench | None = None, result: AutoResult | None = None) -> None:
        """Take what autonomous mode has brought onto a bench; nothing to choose without."""
        found = result.levels if bench is not None and result is not None else ()
        segments = [bench.segment_with(one.value) for one in found] if bench is not None else []
        self._segments = [one or "" for one in segments]
        self._numberings = result.numberings if result is not None and all(self._segments) else ()
        self.titles = tuple(one.title for one in self._numberings)

    def current(self, bench: Workbench) -> int | None:
        """Return the number of the numbering that the segments have, None if they have none of them."""
        labels = bench.labels
        values = tuple(labels[one].value if one in labels else 0 for one in self._segments)
        given = [one.values for one in self._numberings]
        return given.index(values) if values in given else None

    def labels(self, number: int, bench: Workbench) -> dict[str, Label]:
        """Return the labels of a numbering by segment id."""
        values = self._numberings[number].values
        return {one: bench.table.by_value(value) for one, value in zip(self._segments, values, strict=True)}


class Naming:
    """The names of a chain on one bench: what to choose from, what to review, and which step comes next to undo.

    After a renaming the engine has the volume anew and nothing to undo; what it is asked from then on comes first.
    """

    def __init__(self, bench: Workbench | None = None, renamed: Callable[[int], None] | None = None) -> None:
        """Begin with nothing to choose from; `renamed` is told how many segments have new names."""
        self._bench, self._renamed = bench, renamed or (lambda _count: None)
        self.review: list[ReviewRow] = []
        self._choice = Choice()
        self._done: list[Renaming] = []
        self._undone: list[Renaming] = []
        self._asked = self._taken_back = 0

    def take(self, bench: Workbench, result: AutoResult) -> None:
        """Take what autonomous mode has brought onto the bench."""
        self.review = review_of(bench, result)
        self._choice = Choice(bench, result)
        self.asked(len(result.levels))

    @property
    def numbering(self) -> int | None:
        """Which of `numberings` the segments have."""
        return self._choice.current(self._bench) if self._bench is not None and self._choice.titles else None

    @property
    def numberings(self) -> tuple[str, ...]:
        """Titles of the numberings to choose from; none where nothing is in doubt, or names were changed since."""
        return self._choice.titles if self.numbering is not None else ()

    @property
    def can_undo(self) -> bool:
        """Tell whether a renaming is the next step to undo."""
        return bool(self._done) and self._asked <= 0

    @property
    def can_redo(self) -> bool:
        """Tell whether a renaming is the next step to redo."""
        return bool(self._undone) and self._taken_back <= 0

    def choose(self, number: int, bench: Workbench) -> None:
        """Give all levels the names of one of `numberings`."""
        if number != self.numbering:
            self.rename(self._choice.labels(number, bench), bench, settled(self.review))

    def rename(self, labels: Mapping[str, Label], bench: Workbench, review: list[ReviewRow] | None = None) -> None:
        """Give segments other labels, by segment id, in one step to undo."""
        now = bench.labels
        changed = {one: label for one, label in labels.items() if label != now[one]}
        if changed:
            before = {one: now[one] for one in changed}
            self._done.append(Renaming(before, changed, self.review, self.review if review is None else review))
            self._undone.clear()
            self._show(self._done[-1].after, self._done[-1].review_after, bench)

    def undo(self, bench: Workbench) -> bool:
        """Take the last renaming back; False if another step comes first."""
        if not self.can_undo:
            self._moved(-1)
            return False
        self._undone.append(self._done.pop())
        self._show(self._undone[-1].before, self._undone[-1].review_before, bench)
        return True

    def redo(self, bench: Workbench) -> bool:
        """Do the last renaming again; False if another step comes first."""
        if not self.can_redo:
            self._moved(1)
            return False
        self._done.append(self._undone.pop())
        self._show(self._done[-1].after, self._done[-1].review_after, bench)
        return True

    def asked(self, steps: int = 1) -> None:
        """Take note of new steps of the engine."""
        self._undone.clear()
        self._asked += steps

    def _moved(self, steps: int) -> None:
        self._asked += steps
        self._taken_back -= steps

    def _show(self, labels: Mapping[str, Label], review: Sequence[ReviewRow], bench: Workbench) -> None:
        kept = {one: label for one, label in labels.items() if one in bench.labels}
        relabel(bench.node, kept)
        self.review = list(review)
        self._asked = self._taken_back = 0
        self._renamed(len(kept))


def settled(rows: Sequence[ReviewRow]) -> list[ReviewRow]:
    """Return a review list after a user has said which numbering is right: names are sure."""
    return [replace(row, confidence=1.0, flags=tuple(one for one in row.flags if one != UNSURE)) for row in rows]
