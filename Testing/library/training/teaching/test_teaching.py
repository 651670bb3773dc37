"""Teach: what is refused, what is shown, that a model learns from ten pictures, and that a killed run loses nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from SAMSpineLib.errors import LabelError, VolumeError
from SAMSpineLib.io import read_volume, write_segmentation
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.sam2rad.taught import load_taught, read_card
from SAMSpineLib.models.taught_file import fingerprint
from SAMSpineLib.training.teaching import teach as teaching
from SAMSpineLib.training.teaching.features import encode_lessons
from SAMSpineLib.training.teaching.images import TeachImage, divided, read_images, wanted
from SAMSpineLib.training.teaching.losses import boxes_around, mask_loss, prompt_loss
from SAMSpineLib.training.teaching.plan import RECIPE, TeachPlan
from SAMSpineLib.training.teaching.slices import (
    MOST_CHECKED,
    check_enough,
    checked_slices,
    chosen_slices,
    truth_of,
    varied,
)
from SAMSpineLib.training.teaching.task import TeachTask, box_prompts, corrected, dices, features_of
from SAMSpineLib.training.teaching.teach import teach


def test_structures_of_the_label_table_keep_their_value_and_colour(picture):
    found = wanted(["L3=22", "sheath=4,5"])
    image = TeachImage(picture(0).volume, np.array([3, 4, 5]), "s")
    assert found[0].structure.name == "L3"
    assert found[0].structure.value == 22
    assert found[1].structure.value > 1000
    assert image.marked(found[1]).tolist() == [False, True, True]


@pytest.mark.parametrize("specs", [[], ["=3"], ["L3=0"], ["L3=a"], ["L3=1", "L3=2"]])
def test_structures_that_are_not_clear_are_refused(specs):
    with pytest.raises(LabelError):
        wanted(specs)


def test_several_structures_without_values_need_labels_with_names(plan, picture):
    two = replace(plan, structures=wanted(["upper", "lower"]))
    bare = [picture(seed, values=(1, 2)) for seed in range(4)]
    with pytest.raises(LabelError, match="upper=1"):
        check_enough(two, bare)
    named = [replace(one, names={"upper": 1, "lower": 2}) for one in bare]
    check_enough(two, named)
    assert (named[0].marked(two.structures[1]) == (named[0].labels == 2)).all()


def test_no_subject_both_teaches_and_tells_when_to_stop(picture):
    images = [picture(seed, subject=f"s{seed % 5}") for seed in range(15)]
    teaching_images, held = divided(images, 3)
    assert held
    assert not {one.subject for one in teaching_images} & {one.subject for one in held}
    assert len(teaching_images) + len(held) == 15


def test_of_two_subjects_none_is_held_back(picture):
    assert divided([picture(0), picture(1)], 1)[1] == ()


def test_a_subject_on_both_sides_is_refused(plan, tmp_path, picture):
    with pytest.raises(LabelError, match="subject 1"):
        teach(plan, [picture(0), picture(1), picture(2)], tmp_path, held=[picture(1)])


def test_too_few_labels_are_refused(plan, picture):
    with pytest.raises(LabelError, match="too few"):
        check_enough(plan, [picture(0), picture(1)])


def test_a_structure_that_no_image_has_is_refused(model, picture):
    with pytest.raises(LabelError, match="None of the 3 images has 'disc'"):
        check_enough(TeachPlan(wanted(["disc=7"]), model), [picture(seed) for seed in range(3)])


def test_an_unknown_direction_is_refused(plan, picture):
    with pytest.raises(LabelError, match="sideways"):
        chosen_slices(replace(plan, direction="sideways"), [picture(0)])


def test_labels_that_are_stored_the_other_way_round_lie_where_they_belong(tmp_path):
    import SimpleITK as sitk

    array = np.zeros((4, 8, 8), np.uint8)
    array[1, 2:5, 1:3] = 1
    image = sitk.GetImageFromArray(array * 100)
    labels = sitk.Flip(sitk.GetImageFromArray(array), [False, True, True], flipAboutOrigin=False)
    sitk.WriteImage(image, str(tmp_path / "a_ct.nii.gz"))
    sitk.WriteImage(labels, str(tmp_path / "a_seg.nii.gz"))
    assert not np.array_equal(sitk.GetArrayFromImage(labels), array)
    (one,) = read_images(tmp_path)
    np.testing.assert_array_equal(one.labels > 0, one.volume.array > 0)


def test_labels_on_another_grid_are_refused(tmp_path):
    import SimpleITK as sitk

    for name, size in (("a", 8), ("b", 9)):
        sitk.WriteImage(sitk.GetImageFromArray(np.ones((4, size, size), np.uint8)), str(tmp_path / f"{name}.nii.gz"))
    manifest = tmp_path / "list.csv"
    manifest.write_text("image,labels\na.nii.gz,b.nii.gz\n")
    with pytest.raises(LabelError, match="grid"):
        read_images(manifest)
    manifest.write_text("image,subject\na.nii.gz,x\n")
    with pytest.raises(VolumeError, match="labels"):
        read_images(manifest)
    manifest.write_text("image,labels,subject,complete\na.nii.gz,a.nii.gz,x,no\n")
    (only,) = read_images(manifest)
    assert (only.subject, only.complete) == ("x", False)


def test_slices_without_labels_teach_only_where_all_was_labelled(plan, picture):
    image = picture(0, depth=8)
    structure = plan.structures
    for complete, empties in ((True, 1), (False, 0)):
        shown = chosen_slices(plan, [replace(image, complete=complete)])
        there = [bool(truth_of(one, structure, 128).present[0]) for one in shown]
        assert there.count(True) == 4
        assert there.count(False) == empties


def test_some_of_many_slices_tell_when_to_stop_with_and_without_the_structure(plan, picture):
    few, many = [picture(0, depth=8)], [picture(seed, depth=40, subject=f"s{seed}") for seed in range(3)]
    assert len(checked_slices(plan, few)) == len(chosen_slices(plan, few))
    kept = checked_slices(plan, many)
    assert len(kept) == MOST_CHECKED < len(chosen_slices(plan, many))
    there = [bool(truth_of(one, plan.structures, 128).present[0]) for one in kept]
    assert 0 < there.count(False) < there.count(True)
    assert {one.image.subject for one in kept} == {"s0", "s1", "s2"}


def test_image_and_truth_are_turned_together(plan, model, picture):
    """In every variant the disc is where the picture is bright."""
    (shown,) = chosen_slices(plan, [picture(3)])
    rng = np.random.default_rng(0)
    for _ in range(10):
        one = varied(shown, rng, mirror=True)
        share = truth_of(one, plan.structures, 128).share[0]
        seen = model.picture(one.image.volume, one.grid)[::4, ::4]
        assert seen[share > 0.9].mean() > 100 + seen[share < 0.05].mean()


def test_only_pictures_without_a_side_are_mirrored(model, picture):
    flat, deep = [picture(0)], [picture(0, depth=6)]
    assert TeachPlan(wanted(["disc"]), model).mirrors(flat)
    assert not TeachPlan(wanted(["disc"]), model).mirrors(deep)
    assert not TeachPlan(wanted(["left disc"]), model).mirrors(flat)


def test_boxes_go_around_what_is_marked():
    share = torch.zeros(2, 32, 32)
    share[0, 8:16, 4:20] = 1.0
    share[1, 5, 6] = 0.3
    left, top, right, bottom = (boxes_around(share) * 32).T.tolist()
    assert (left, top, right, bottom) == ([4, 6], [8, 5], [20, 7], [16, 6])


def test_the_loss_is_least_for_the_truth(plan, model):
    network = TeachTask(plan, encode_nothing()).network()
    maps = tuple(torch.randn(2, *shape) for shape in ((32, 8, 8), (8, 16, 16), (4, 32, 32)))
    learned = network.predict(maps, torch.tensor([0, 0]))
    truth = torch.zeros(2, 32, 32)
    truth[:, 8:20, 4:16] = 1.0
    right = replace(
        learned, box=boxes_around(truth), mask=(truth[:, None] * 2 - 1) * 9, presence=torch.tensor([9.0, -9.0])
    )
    present = torch.tensor([True, False])
    assert prompt_loss(right, truth, present) < 0.3 * prompt_loss(learned, truth, present)
    assert mask_loss((truth * 2 - 1) * 9, truth).max() < 0.01 < mask_loss(torch.zeros_like(truth), truth).min()
    prompt_loss(learned, truth, present).backward()
    assert all(float(one.grad.abs().sum()) > 0 for one in (network.queries, network.predictor.box_head[0].weight))


def encode_nothing():
    from SAMSpineLib.training.teaching.features import Lessons

    return Lessons("", (), ((True,),))


def test_a_click_goes_into_the_worst_error():
    truth = torch.zeros(1, 32, 32)
    truth[0, 8:20, 4:16] = 1.0
    none = box_prompts(boxes_around(truth), torch.tensor([False]), 128)
    assert none.labels.tolist() == [[-1, -1]]
    after = corrected(none, torch.full((1, 1, 32, 32), -5.0), truth, np.random.default_rng(0))
    assert after.labels.tolist() == [[-1, -1, 1]]
    x, y = (after.points[0, -1] / 4).tolist()
    assert truth[0, int(y), int(x)] == 1
    perfect = corrected(none, (truth[:, None] * 2 - 1) * 5, truth, np.random.default_rng(0))
    assert perfect.labels.tolist() == [[-1, -1, -1]]


def test_features_are_encoded_once(plan, tmp_path, monkeypatch, picture):
    images = [picture(seed) for seed in range(3)]
    shown = chosen_slices(plan, images)
    first = encode_lessons(shown, plan, tmp_path, variants=1)
    monkeypatch.setattr(plan.model.backbone, "encode", None)
    again = encode_lessons(shown, plan, tmp_path, variants=1)
    assert first == again
    lesson = again.read(0)
    assert [tuple(one.shape) for one in lesson.shown] == [(32, 8, 8), (8, 16, 16), (4, 32, 32)]
    assert lesson.present.tolist() == [True]


def test_other_labels_are_other_features(plan, tmp_path, picture):
    images = [picture(seed) for seed in range(3)]
    first = encode_lessons(chosen_slices(plan, images), plan, tmp_path, variants=0)
    moved = [replace(one, labels=np.roll(one.labels, 5, axis=2)) for one in images]
    second = encode_lessons(chosen_slices(plan, moved), plan, tmp_path, variants=0)
    assert set(first.files).isdisjoint(second.files)


def test_the_label_of_a_slice_that_is_not_the_first_counts_too(plan, tmp_path, picture):
    image = picture(0, depth=6)
    shown = chosen_slices(plan, [image])
    first = encode_lessons(shown, plan, tmp_path, variants=0)
    labels = image.labels.copy()
    labels[2] = np.roll(labels[2], 3, axis=0)
    second = encode_lessons(
        [replace(one, image=replace(image, labels=labels)) for one in shown], plan, tmp_path, variants=0
    )
    assert first.identity != second.identity


def test_with_more_labels_a_new_run_begins_in_the_same_folder(plan, tmp_path, picture):
    teach(plan, [picture(seed) for seed in range(4)], tmp_path)
    again = teach(plan, [picture(seed) for seed in range(5)], tmp_path)
    assert again.card.images == (4, 1)
    alone = teach(plan, [picture(seed) for seed in range(5)], tmp_path / "alone")
    first, second = load_file(again.path), load_file(alone.path)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_frozen_sam_stays_and_the_card_says_what_was_taught(plan, tmp_path, picture):
    before = fingerprint(plan.model.backbone.network)
    done = teach(plan, [picture(seed) for seed in range(5)], tmp_path)
    assert fingerprint(plan.model.backbone.network) == before
    card = read_card(done.path)
    assert card == done.card
    assert card.fingerprint == before
    assert card.structures == plan.named
    assert card.images == (4, 1)
    assert set(card.figures) == {"dice", "presence", "score"}
    network, _ = load_taught(done.path, plan.model.backbone.network)
    assert not network.training


def test_labels_are_read_as_their_files_name_them(tmp_path):
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ones((4, 8, 8), np.int16))
    sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
    numbers = np.zeros((4, 8, 8), np.uint8)
    numbers[1, 2:5, 2:5] = 22
    grid = read_volume(tmp_path / "a.nii.gz").grid
    write_segmentation(tmp_path / "a.seg.nrrd", numbers, grid, spine_labels())
    sitk.WriteImage(sitk.GetImageFromArray(numbers), str(tmp_path / "plain.nii.gz"))
    manifest = tmp_path / "list.csv"
    manifest.write_text("image,labels,ids\na.nii.gz,a.seg.nrrd,\na.nii.gz,plain.nii.gz,verse\n")
    named, numbered = read_images(manifest, modality="MR")
    assert (named.volume.modality, named.names["L3"]) == ("MR", 22)
    (l3,) = wanted(["L3"])
    assert named.marked(l3).sum() == numbered.marked(l3).sum() == 9
    (ribs,) = wanted(["rib"])
    assert not named.marked(ribs).any()
    manifest.write_text("image,labels,ids\na.nii.gz,plain.nii.gz,mine\n")
    with pytest.raises(VolumeError, match="mine"):
        read_images(manifest)


def test_a_run_that_was_killed_ends_in_the_same_weights(plan, tmp_path, monkeypatch, picture):
    images = [picture(seed) for seed in range(5)]
    whole = teach(plan, images, tmp_path / "whole")
    steps = {"left": 3}
    real = teaching.train_step

    def dies(*given):
        if steps["left"] == 0:
            raise KeyboardInterrupt
        steps["left"] -= 1
        return real(*given)

    monkeypatch.setattr(teaching, "train_step", dies)
    with pytest.raises(KeyboardInterrupt):
        teach(plan, images, tmp_path / "killed")
    monkeypatch.setattr(teaching, "train_step", real)
    continued = teach(plan, images, tmp_path / "killed")
    assert continued.card == whole.card
    first, second = load_file(whole.path), load_file(continued.path)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_cancelling_keeps_the_best_so_far(plan, tmp_path, picture):
    asked: list[int] = []

    def enough() -> bool:
        asked.append(1)
        return len(asked) > 3

    done = teach(plan, [picture(seed) for seed in range(5)], tmp_path, cancelled=enough)
    assert (done.stopped, done.steps) == ("cancelled", 3)
    assert read_card(done.path).figures


def test_it_stops_when_nothing_gets_better(plan, tmp_path, picture):
    still = replace(plan, recipe=replace(plan.recipe, steps=400, learning_rate=0.0, look_every=1, patience=2))
    done = teach(still, [picture(seed) for seed in range(5)], tmp_path)
    assert done.steps == 3
    assert "better" in done.stopped


def test_progress_tells_both_stages_and_the_curve(plan, tmp_path, picture):
    seen: list[tuple[str, int, int]] = []
    figures: dict[str, float] = {}

    def tell(stage, done, total, now):
        seen.append((stage, done, total))
        figures.update(now)

    teach(plan, [picture(seed) for seed in range(5)], tmp_path, progress=tell)
    assert [stage for stage, _, _ in seen] == ["encode"] * 9 + ["teach"] * 4
    assert {"dice", "dice_clicked", "presence", "held_dice"} <= figures.keys()
    assert (tmp_path / "log.csv").read_text().count("\n") == 5


@pytest.mark.slow
def test_discs_are_learnt_from_eight_pictures_and_found_in_others(model, tmp_path, picture):
    """Even on features of a network with weights at random: without a prompt, two named structures apart."""
    recipe = replace(RECIPE, steps=300, batch=4, variants=4, look_every=50, learning_rate=2e-3)
    plan = TeachPlan(wanted(["upper=1", "lower=2"]), model, recipe=recipe)
    both = (1, 2)
    done = teach(plan, [picture(seed, values=both) for seed in range(10)], tmp_path)
    assert done.card.figures["dice"] > 0.6
    network, _ = load_taught(done.path, model.backbone.network)
    lessons = encode_lessons(
        chosen_slices(plan, [picture(seed, values=both) for seed in range(20, 26)]), plan, tmp_path, variants=0
    )
    scores = []
    with torch.inference_mode():
        for index in range(len(lessons.files)):
            lesson = lessons.read(index)
            maps = features_of(network, [lesson], torch.device("cpu"))
            for structure in (0, 1):
                learned = network.predict(maps, torch.tensor([structure]))
                logits, _ = network.decode(maps, learned)
                scores.append(float(dices(logits[:, 0], lesson.share[structure][None])[0]))
    assert np.mean(scores) > 0.6
