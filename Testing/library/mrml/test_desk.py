"""The panel's conversation without a panel: clicks in, segments out, and nothing applied that was dropped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer")

from SAMSpineLib.engine.autonomous.numbering import Numbering
from SAMSpineLib.engine.autonomous.result import AutoResult, LevelResult
from SAMSpineLib.errors import LabelError, PromptError
from SAMSpineLib.labels import Label, spine_labels
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.mrml.desk import SETTLED, STILL_ASKED, Desk
from SAMSpineLib.mrml.segment_labels import add_segment, rename
from SAMSpineLib.mrml.segments import create_segmentation, read_segment
from SAMSpineLib.mrml.volumes import node_from_volume
from SAMSpineLib.mrml.workbench import Workbench
from SAMSpineLib.prompts import Point, Prompt
from SAMSpineLib.volume import Extent, Volume, slices_of

HALF = 3


class Answer:
    """What a call of the real mirror is to a queue: worked out when its turn comes."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work


class FakeMirror:
    """Marks a cube around each positive point and erases one around each negative point."""

    def __init__(self) -> None:
        self.opened: list[np.ndarray | None] = []
        self.notice = ""
        self.label: Label | None = None
        self.result = np.zeros((0, 0, 0), np.uint16)
        self._prompts: dict[int, list[Prompt]] = {}
        self._done: list[tuple[int, Prompt, np.ndarray]] = []

    @property
    def can_undo(self) -> bool:
        return bool(self._done)

    def select(self, label: Label, *, overwrite: bool = False) -> None:
        self.label = label

    def prompts_of(self, value: int) -> tuple[Prompt, ...]:
        return tuple(self._prompts.get(value, ()))

    def open(self, volume: Volume, labels: np.ndarray | None) -> Answer:
        def work() -> None:
            self.volume = volume
            self.opened.append(labels)
            self.result = np.zeros(volume.shape, np.uint16) if labels is None else labels.copy()
            self._prompts, self._done = {}, []

        return Answer(work)

    def add(self, prompt: Point) -> Answer:
        label = self.label
        return Answer(lambda: self._add(label, prompt))

    def add_all(self, orders: Mapping[Label, Sequence[Point]]) -> Answer:
        return Answer(lambda: tuple(self._add(label, one) for label, given in orders.items() for one in given))

    def _add(self, label: Label, prompt: Point) -> MaskUpdate:
        k, j, i = self.volume.grid.voxel_at(prompt.ras)
        extent: Extent = (i - HALF, i + HALF, j - HALF, j + HALF, k - HALF, k + HALF)
        crop = self.result[slices_of(extent)]
        self._done.append((label.value, prompt, self.result.copy()))
        crop[crop == 0] = label.value if prompt.positive else 0
        if not prompt.positive:
            crop[crop == label.value] = 0
        self._prompts.setdefault(label.value, []).append(prompt)
        return MaskUpdate(label.value, (crop == label.value).astype(np.uint8), extent)

    def undo(self) -> Answer:
        def work() -> MaskUpdate:
            if not self._done:
                return MaskUpdate.nothing(0, "There is nothing to undo")
            value, prompt, self.result = self._done.pop()
            self._prompts[value].remove(prompt)
            k, j, i = self.volume.shape
            whole = (0, i - 1, 0, j - 1, 0, k - 1)
            return MaskUpdate(value, (self.result == value).astype(np.uint8), whole)

        return Answer(work)


class Later:
    """Stands for `Call.later`: what it makes is worked out when its turn comes."""

    @staticmethod
    def later(_title: str, make: Callable[[], Answer]) -> Answer:
        return Answer(lambda: make().work())


class Post:
    """Keeps calls until a test lets them be answered."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Answer, Callable[[Any], None], Callable[[Any], None]]] = []

    def __call__(self, call: Answer, _mirror: Any, done: Any, failed: Any) -> None:
        self.waiting.append((call, done, failed))

    def answer(self) -> None:
        while self.waiting:
            call, done, _failed = self.waiting.pop(0)
            done(call.work())


class Table:
    """A desk with nodes on it."""

    def __init__(self, scene: Any, volume: Volume) -> None:
        self.volume_node = node_from_volume(scene, volume)
        self.node = create_segmentation(scene, self.volume_node, "spine")
        self.post, self.mirrors, self.lines, self.changes = Post(), [], [], 0
        self.desk = Desk(self.post, tell=self.lines.append, changed=self._changed, new_mirror=self._mirror)
        self.desk.lay(Workbench(self.volume_node, self.node))

    def _changed(self) -> None:
        self.changes += 1

    def _mirror(self) -> Any:
        self.mirrors.append(FakeMirror())
        return self.mirrors[-1]

    def place(self, k: int, j: int, i: int) -> Any:
        return tuple(self.desk.bench.grid.to_ras([i, j, k]).tolist())

    def click(self, name: str, kji: tuple[int, int, int], *, positive: bool = True) -> str:
        segment_id = add_segment(self.node, name)
        self.desk.click(segment_id, "point", [self.place(*kji)], positive=positive)
        return segment_id

    def voxels(self, name: str) -> np.ndarray:
        segment_id = self.node.GetSegmentation().GetSegmentIdBySegmentName(name)
        return read_segment(self.node, segment_id, self.desk.bench.grid)


@pytest.fixture
def table(scene: Any, a_volume: Volume, monkeypatch: pytest.MonkeyPatch) -> Table:
    for module in ("desk", "engine_side"):
        monkeypatch.setattr(f"SAMSpineLib.mrml.{module}.Call", Later)
    return Table(scene, a_volume)


def test_a_click_is_shown_as_pending_and_then_answered(table: Table) -> None:
    table.click("L3", (8, 8, 8))
    assert [(one.pending, one.kind) for one in table.desk.markers()] == [(True, "point")]
    assert not table.voxels("L3").any()
    table.post.answer()
    assert [one.pending for one in table.desk.markers()] == [False]
    assert table.voxels("L3").sum() == (2 * HALF + 1) ** 3
    assert table.changes >= 3


def test_clicks_may_come_faster_than_answers(table: Table) -> None:
    for i in (5, 9, 13, 17):
        table.click("L3", (8, 8, i))
    table.click("L4", (15, 15, 8))
    table.post.answer()
    assert table.voxels("L3")[8, 8, 2:21].all()
    assert table.voxels("L4")[15, 15, 8]
    assert len(table.mirrors) == 1


def test_an_answer_to_what_was_dropped_changes_nothing(table: Table) -> None:
    table.click("L3", (8, 8, 8))
    table.desk.drop()
    table.post.answer()
    read = read_segment(table.node, "L3", Workbench(table.volume_node, table.node).grid)
    assert not read.any()
    assert table.desk.markers() == ()
    table.desk.lay(Workbench(table.volume_node, table.node))
    table.click("L3", (8, 8, 8))
    table.post.answer()
    assert table.voxels("L3").any()


def test_prompts_of_a_saved_scene_are_repeated_without_touching_segments(table: Table) -> None:
    table.click("L3", (8, 8, 8))
    table.click("L3", (8, 8, 12))
    table.post.answer()
    log, before = table.desk.log(""), table.voxels("L3")
    before[0, 0, 0] = 1  # what the user has painted since, with another tool
    from SAMSpineLib.mrml.segments import write

    k, j, i = before.shape
    write(table.node, "L3", MaskUpdate(22, before, (0, i - 1, 0, j - 1, 0, k - 1)), table.desk.bench.grid)
    table.desk.lay(Workbench(table.volume_node, table.node), log)
    assert len(table.desk.markers()) == 2
    table.desk.open()
    table.post.answer()
    assert table.mirrors[-1].opened == [None]
    assert np.array_equal(table.voxels("L3"), before)
    table.desk.undo()
    table.post.answer()
    assert len(table.desk.markers()) == 1
    assert table.voxels("L3")[0, 0, 0]
    assert not table.voxels("L3")[8, 8, 14]


def test_segments_that_were_there_are_handed_over_and_their_prompts_settled(table: Table) -> None:
    table.click("L3", (8, 8, 8))
    table.post.answer()
    table.desk.lay(Workbench(table.volume_node, table.node))  # a scene without a log
    table.click("L3", (8, 8, 12))
    table.post.answer()
    assert (table.mirrors[-1].opened[0] == 22).sum() == (2 * HALF + 1) ** 3
    log = table.desk.log("")
    table.desk.lay(Workbench(table.volume_node, table.node), log)
    (marker,) = table.desk.markers()
    with pytest.raises(PromptError, match=SETTLED[:20]):
        table.desk.remove(marker)


def test_a_prompt_that_is_being_answered_cannot_be_removed(table: Table) -> None:
    table.click("L3", (8, 8, 8))
    with pytest.raises(PromptError, match=STILL_ASKED[:20]):
        table.desk.remove(table.desk.markers()[0])
    with pytest.raises(PromptError, match=STILL_ASKED[:20]):
        table.desk.renumber("L3", "L2")


@pytest.mark.parametrize("how", ["renumbered", "renamed", "removed"])
def test_the_engine_is_told_when_segments_change_their_names_or_go(table: Table, how: str) -> None:
    table.click("L3", (8, 8, 8))
    table.click("L4", (15, 15, 8))
    table.post.answer()
    before = table.voxels("L3")
    if how == "renumbered":
        table.desk.renumber("L3", "T12")
    elif how == "renamed":
        rename(table.node, "L3", "T12")
    else:
        table.node.GetSegmentation().RemoveSegment("L3")
    table.click("L4", (15, 15, 12))
    table.post.answer()
    mirror = table.mirrors[-1]
    assert len(mirror.opened) == 2
    assert not (mirror.result == 22).any()
    if how != "removed":
        assert np.array_equal(table.voxels("T12"), before)
        assert (mirror.result == spine_labels().by_name("T12").value).sum() == before.sum()
    assert len(table.desk.markers()) == (2 if how == "removed" else 3)


def test_a_step_undone_in_the_segment_editor_is_undone_in_the_engine(scene: Any, table: Table) -> None:
    import slicer

    history = slicer.vtkSegmentationHistory()
    history.SetSegmentation(table.node.GetSegmentation())
    table.desk.lay(Workbench(table.volume_node, table.node, save_state=history.SaveState))
    table.click("L3", (8, 8, 8))
    table.post.answer()
    table.click("L3", (8, 8, 12))
    table.post.answer()
    history.RestorePreviousState()
    table.click("L3", (14, 8, 8))
    table.post.answer()
    assert np.array_equal(table.mirrors[-1].result == 22, table.voxels("L3") != 0)
    assert len(table.desk.markers()) == 2
    assert not table.voxels("L3")[8, 8, 14]


def test_a_removed_segment_is_made_again_under_its_name(table: Table) -> None:
    table.click("L3", (8, 8, 8))
    table.post.answer()
    table.node.GetSegmentation().RemoveSegment("L3")
    segment_id = table.desk.recall("L3", "L3")
    assert table.desk.bench.label_of(segment_id).name == "L3"
    with pytest.raises(PromptError, match="Select a segment"):
        table.desk.recall("", "")
    with pytest.raises(LabelError):
        table.desk.click("nobody", "point", [table.place(8, 8, 8)])


def test_nothing_to_undo_is_said(table: Table) -> None:
    table.desk.undo()
    table.post.answer()
    assert table.lines[-1] == "There is nothing to undo"


def doubtful(table: Table, names: Sequence[str], *others: Sequence[str]) -> None:
    """Bring an autonomous result onto the desk that may be numbered otherwise."""
    values = [[spine_labels().by_name(one).value for one in chain] for chain in (names, *others)]
    result = np.zeros(table.desk.bench.volume.shape, np.uint16)
    for n, value in enumerate(values[0]):
        result[2 + 5 * n : 6 + 5 * n, 6:12, 6:12] = value
    levels = tuple(
        LevelResult(value, (0.0, 0.0, float(value)), 0.5, 0.9, 144, ("the name is unsure",)) for value in values[0]
    )
    numberings = tuple(Numbering(tuple(chain), 0.6 / (1 + n)) for n, chain in enumerate(values))
    table.desk.open()
    table.post.answer()
    table.mirrors[-1].result = result
    table.desk._take(AutoResult(table.desk.bench.grid, result, levels, True, (), "", {}, numberings))


def test_a_numbering_is_chosen_undone_and_redone_with_the_whole_chain(table: Table) -> None:
    doubtful(table, ("T12", "L1", "L2"), ("L1", "L2", "L3"))
    names = table.desk.names
    assert names.numberings == ("T12 to L2 (60 %)", "L1 to L3 (30 %)")
    before = table.voxels("L2")
    table.desk.choose_numbering(1)
    table.post.answer()
    assert names.numbering == 1
    assert np.array_equal(table.voxels("L3"), before)
    assert {(row.confidence, row.flags) for row in table.desk.review} == {(1.0, ())}
    assert (table.mirrors[-1].result == spine_labels().by_name("L3").value).sum() == before.sum()
    assert table.desk.can_undo
    table.desk.undo()
    table.post.answer()
    assert names.numbering == 0
    assert np.array_equal(table.voxels("L2"), before)
    assert {row.confidence for row in table.desk.review} == {0.5}
    table.desk.redo()
    assert names.numbering == 1


def test_what_was_clicked_since_a_numbering_was_chosen_is_undone_before_it(table: Table) -> None:
    doubtful(table, ("T12", "L1"), ("L1", "L2"))
    table.desk.choose_numbering(1)
    table.click("L5", (15, 18, 18))
    with pytest.raises(PromptError, match=STILL_ASKED[:20]):
        table.desk.choose_numbering(0)
    table.post.answer()
    table.desk.undo()
    table.post.answer()
    assert not table.voxels("L5").any()
    assert table.desk.names.numbering == 1
    table.desk.undo()
    assert table.desk.names.numbering == 0


def test_a_level_renamed_or_removed_by_hand_ends_the_choice(table: Table) -> None:
    doubtful(table, ("T12", "L1"), ("L1", "L2"))
    table.node.GetSegmentation().RemoveSegment(table.desk.bench.segment_with(spine_labels().by_name("T12").value))
    assert table.desk.names.numberings == ()
