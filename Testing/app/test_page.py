"""The page in a real browser, in the order in which a person meets it: each test goes on where the last one ended."""

from __future__ import annotations

import base64
import zipfile
from pathlib import Path

import numpy as np
import pytest

from .appdriver import Case, Screen, dice, slice_of, upload

pytestmark = pytest.mark.browser


def test_the_page_opens_on_the_image_that_was_given(a_screen: Screen) -> None:
    assert a_screen.state("volume_name") == "case"
    assert "click on a vertebra" in a_screen.state("message")
    assert [one["name"] for one in a_screen.state("segments")] == ["L3"]
    for view in ("Red", "Green", "Yellow"):
        assert a_screen.colours(view).max() > 60, f"the {view} view is black"


def test_a_click_on_l3_in_the_axial_view_segments_it(a_screen: Screen, a_phantom: Case, tmp_path: Path) -> None:
    place = a_phantom.centre("L3")
    a_screen.show("Red", place)
    a_screen.key("p")
    a_screen.wait("state('tool') === 'positivePoint'")
    a_screen.after(lambda: a_screen.click("Red", place))
    assert dice(a_screen.labels(tmp_path, a_phantom) > 0, a_phantom.mask("L3")) > 0.8
    assert float(a_screen.segment("L3")["ml"]) > 10


def test_pixels_and_node_agree(a_screen: Screen, a_phantom: Case, tmp_path: Path) -> None:
    mask = a_screen.labels(tmp_path, a_phantom) > 0
    a_screen.page.wait_for_timeout(1000)  # the still image follows the quick one
    seen = a_screen.colours("Red")
    coloured = seen[..., 0] - seen[..., 1] > 25
    origin, across, down = a_screen.frame("Red")
    rows, columns = coloured.shape
    places = [(y, x) for y in range(4, rows, 8) for x in range(4, columns, 8)]
    voxels = [a_phantom.grid.voxel_at(origin + x / columns * across + y / rows * down) for y, x in places]
    expected = np.array([voxel is not None and mask[voxel] for voxel in voxels])
    found = np.array([coloured[place] for place in places])
    assert expected.sum() > 20
    assert dice(expected, found) > 0.9


def test_the_prompt_is_drawn_where_it_was_given(a_screen: Screen, a_phantom: Case) -> None:
    marker = a_screen.page.locator("svg[data-view=Red] polyline.samspine-marker").bounding_box()
    x, y = a_screen.pixel("Red", a_phantom.centre("L3"))
    assert abs(marker["x"] + marker["width"] / 2 - x) < 3
    assert abs(marker["y"] + marker["height"] / 2 - y) < 3


def test_a_negative_click_takes_away_and_undo_brings_it_back(a_screen: Screen, a_phantom: Case, tmp_path: Path) -> None:
    before = a_screen.labels(tmp_path, a_phantom)
    inside = np.argwhere(before > 0)
    rear = inside[np.abs(inside[:, 0] - inside[:, 0].mean()) < 1][:, ::-1]
    place = max(a_phantom.grid.to_ras(rear.astype(float)), key=lambda ras: -ras[1])
    a_screen.show("Red", place)
    a_screen.key("n")
    a_screen.wait("state('tool') === 'negativePoint'")
    a_screen.after(lambda: a_screen.click("Red", place))
    after = a_screen.labels(tmp_path, a_phantom)
    voxel = a_phantom.grid.voxel_at(place)
    assert before[voxel]
    assert not after[voxel]
    a_screen.after(lambda: a_screen.key("Control+z"))
    assert np.array_equal(a_screen.labels(tmp_path, a_phantom), before)
    a_screen.after(lambda: a_screen.page.click("#act-redo"))
    assert np.array_equal(a_screen.labels(tmp_path, a_phantom), after)
    a_screen.after(lambda: a_screen.page.click("#act-undo"))


def test_a_click_on_a_prompt_takes_it_back_and_one_without_a_tool_picks_a_segment(
    a_screen: Screen, a_phantom: Case, tmp_path: Path
) -> None:
    before, place = a_screen.labels(tmp_path, a_phantom), a_phantom.centre("L3")
    a_screen.show("Red", place)
    a_screen.key("Escape")
    a_screen.wait("state('tool') === ''")
    a_screen.page.evaluate("window.trame.state.set('new_name', 'L5')")
    a_screen.wait("state('selected') === 'L5'")
    a_screen.click("Red", place)
    a_screen.wait("state('selected') === 'L3'")
    a_screen.choose("negativePoint")
    a_screen.after(lambda: a_screen.click("Red", place))
    assert a_screen.segment("L3")["ml"] == ""
    a_screen.after(lambda: a_screen.key("Control+z"))
    assert np.array_equal(a_screen.labels(tmp_path, a_phantom), before)


def test_the_next_vertebra_is_one_key_away_and_takes_a_box(a_screen: Screen, a_phantom: Case, tmp_path: Path) -> None:
    a_screen.key(".")
    a_screen.wait("state('selected') === 'L4'")
    a_screen.wait("state('segments').find(one => one.name === 'L3').done")
    place = a_phantom.centre("L4")
    a_screen.show("Yellow", place)
    a_screen.choose("box")
    corner = np.array([0.0, 22.0, 18.0])
    a_screen.after(lambda: a_screen.drag("Yellow", [place - corner, place + corner]))
    labels = a_screen.labels(tmp_path, a_phantom)
    assert float(a_screen.segment("L4")["ml"]) > 5
    assert (labels == 23)[a_phantom.grid.voxel_at(place)]
    assert dice(labels == 22, a_phantom.mask("L3")) > 0.8


def test_a_scribble_and_a_lasso_are_prompts_too(a_screen: Screen, a_phantom: Case) -> None:
    a_screen.page.keyboard.press(",")
    a_screen.wait("state('selected') === 'L3'")
    a_screen.page.keyboard.press(",")
    a_screen.wait("state('selected') === 'L2'")
    place = a_phantom.centre("L2")
    a_screen.show("Yellow", place)
    a_screen.choose("scribble")
    across = np.array([0.0, 6.0, 0.0])
    a_screen.after(lambda: a_screen.drag("Yellow", [place - across, place, place + across]))
    first = float(a_screen.segment("L2")["ml"])
    assert first > 10
    a_screen.choose("lasso")
    up = np.array([0.0, 0.0, 5.0])
    a_screen.after(lambda: a_screen.drag("Yellow", [place - across - up, place + up, place + across - up]))
    assert float(a_screen.segment("L2")["ml"]) > 10


def test_slice_and_orientation_change_what_is_seen(a_screen: Screen) -> None:
    before, seen = a_screen.frame("Green")[0], a_screen.colours("Green")
    slider = a_screen.page.locator(".samspine-slider [role=slider]").nth(1)
    slider.focus()
    for _ in range(4):
        slider.press("ArrowRight")
    a_screen.wait("Math.abs(state('frame_Green').origin[1] - argument) > 1", float(before[1]))
    a_screen.page.evaluate("window.trame.state.set('orientation_Green', 'Axial')")
    a_screen.wait("Math.abs(state('frame_Green').down[1]) > 1")
    a_screen.page.wait_for_timeout(700)
    assert np.abs(a_screen.colours("Green") - seen).mean() > 3
    a_screen.page.evaluate("window.trame.state.set('orientation_Green', 'Coronal')")
    a_screen.wait("Math.abs(state('frame_Green').down[1]) < 1")


def test_a_click_on_a_turned_plane_is_where_it_was_made(a_screen: Screen, a_phantom: Case, tmp_path: Path) -> None:
    from SAMSpineLib.app.bundle import read_bundle
    from SAMSpineLib.mrml.prompt_log import prompts_in

    place = a_phantom.centre("L5")
    a_screen.page.evaluate("window.trame.state.set('new_name', 'L5')")
    a_screen.wait("state('selected') === 'L5'")
    a_screen.show("Red", place)
    a_screen.page.click("#turn-Red")
    slider = a_screen.page.locator("#turn-Red-card [role=slider]").first
    for _ in range(400):  # a key may be lost, or count twice, while the page shows the last one
        turned = a_screen.state("tilt_Red")
        if turned == 20:
            break
        slider.press("ArrowRight" if turned < 20 else "ArrowLeft")
        a_screen.page.wait_for_timeout(50)
    assert a_screen.state("tilt_Red") == 20
    a_screen.key("Escape")
    turn = "Math.atan2(Math.abs(state('frame_Red').down[2]), Math.abs(state('frame_Red').down[1]))"
    a_screen.wait(f"Math.abs({turn} - 20 * Math.PI / 180) < 0.0015")
    origin, across, down = a_screen.frame("Red")
    normal = np.cross(across, down) / np.linalg.norm(np.cross(across, down))
    assert np.isclose(np.degrees(np.arccos(abs(normal[2]))), 20, atol=0.1)
    assert abs((place - origin) @ normal) < 0.01
    target = place - 4 * down / np.linalg.norm(down) - 3 * across / np.linalg.norm(across)
    a_screen.choose("positivePoint")
    a_screen.after(lambda: a_screen.click("Red", target))
    assert float(a_screen.segment("L5")["ml"]) > 5
    with zipfile.ZipFile(a_screen.saved("mrb", tmp_path)) as packed:
        packed.extractall(tmp_path)
    bundle = read_bundle(next(tmp_path.rglob("*.mrml")))
    said = next(one for one in prompts_in(bundle.prompts, bundle.segmentation_id) if one.segment_id == "L5")
    assert np.linalg.norm(np.array(said.prompts[0].places[0]) - target) < 0.4  # half a pixel of the screen
    a_screen.after(lambda: a_screen.key("Control+z"))
    a_screen.page.click("#turn-Red")
    a_screen.page.click("#unturn-Red")
    a_screen.wait("Math.abs(state('frame_Red').down[2]) < 1e-6")
    a_screen.key("Escape")


def test_window_opacity_and_layout_follow_the_controls(a_screen: Screen) -> None:
    seen = a_screen.colours("Red")
    a_screen.page.evaluate("window.trame.state.set('window', 'Soft tissue')")
    a_screen.page.wait_for_timeout(700)
    assert np.abs(a_screen.colours("Red") - seen).mean() > 3
    a_screen.page.evaluate("window.trame.state.update({window: 'Bone', layout: 'Red slice only'})")
    a_screen.page.locator("svg[data-view=Green]").wait_for(state="detached")
    assert a_screen.page.locator("svg[data-view=Red]").bounding_box()["width"] > 900
    a_screen.page.evaluate("window.trame.state.set('layout', 'Four-Up')")
    a_screen.page.locator("svg[data-view=Green]").wait_for()


def test_a_segment_is_hidden_and_shown(a_screen: Screen) -> None:
    a_screen.page.get_by_label("Hide L3").click()
    a_screen.wait("state('segments').find(one => one.name === 'L3').visible === false")
    a_screen.page.get_by_label("Show L3").click()
    a_screen.wait("state('segments').find(one => one.name === 'L3').visible === true")


@pytest.mark.parametrize("name", ["seg.nrrd", "nifti", "stl", "mrb"])
def test_what_is_saved_opens_elsewhere(a_screen: Screen, a_phantom: Case, tmp_path: Path, name: str) -> None:
    path = a_screen.saved(name, tmp_path)
    if name == "seg.nrrd":
        import SimpleITK as sitk

        assert sitk.GetArrayFromImage(sitk.ReadImage(str(path))).any()
    elif name == "mrb":
        assert names_in_bundle(path, tmp_path) == {"L2", "L3", "L4", "L5"}
    else:
        with zipfile.ZipFile(path) as packed:
            packed.extractall(tmp_path)
        if name == "nifti":
            import SimpleITK as sitk

            image = sitk.ReadImage(str(tmp_path / "case.nii.gz"))
            assert image.GetSize() == a_phantom.labels.shape[::-1]
        else:
            found = sorted(one.name for one in tmp_path.glob("*.stl"))
            assert len(found) == 3
            assert all((tmp_path / one).stat().st_size > 1000 for one in found)


def names_in_bundle(path: Path, folder: Path) -> set[str]:
    """Open a scene with slicer-core and return the names of its segments."""
    from SAMSpineLib.mrml.scene import headless_scene

    with zipfile.ZipFile(path) as packed:
        packed.extractall(folder / "bundle")
    scene = headless_scene()
    scene.SetURL(str(next((folder / "bundle").rglob("*.mrml"))))
    scene.Import()
    assert scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode").GetImageData() is not None
    segmentation = scene.GetFirstNodeByClass("vtkMRMLSegmentationNode").GetSegmentation()
    return {segmentation.GetSegment(one).GetName() for one in segmentation.GetSegmentIDs()}


def test_a_reload_keeps_the_session(a_screen: Screen, a_phantom: Case, tmp_path: Path) -> None:
    before, segments = a_screen.labels(tmp_path, a_phantom), a_screen.state("segments")
    a_screen.page.reload()
    a_screen.wait_idle()
    assert a_screen.state("segments") == segments
    assert np.array_equal(a_screen.labels(tmp_path, a_phantom), before)
    a_screen.page.wait_for_timeout(1500)
    assert a_screen.colours("Red").max() > 60


def test_a_broken_file_is_refused_in_a_sentence_and_changes_nothing(a_screen: Screen, tmp_path: Path) -> None:
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"this is no image")
    upload(a_screen, [broken])
    a_screen.wait("state('message').includes('broken.nii.gz')")
    assert "/" not in a_screen.state("message")
    assert a_screen.state("volume_name") == "case"
    program = tmp_path / "program.exe"
    program.write_bytes(b"MZ")
    upload(a_screen, [program], waits=False)
    a_screen.wait("state('message').includes('program.exe is of a type')")
    a_screen.forgive("400")


def test_a_long_run_holds_up_nothing_and_can_be_cancelled(a_screen: Screen, a_phantom: Case) -> None:
    a_screen.wait_idle()
    a_screen.page.click("#act-run")
    a_screen.page.wait_for_selector("#act-cancel")
    a_screen.show("Red", a_phantom.centre("L4"))
    assert a_screen.state("running")
    a_screen.page.click("#act-cancel")
    a_screen.wait("!state('running') && !state('busy')")
    assert "Cancelled" in a_screen.state("message")
    assert float(a_screen.segment("L3")["ml"]) > 10


def test_an_image_is_sent_and_opened(a_screen: Screen, a_phantom: Case, tmp_path: Path) -> None:
    packed = tmp_path / "other.zip"
    with zipfile.ZipFile(packed, "w") as into:
        into.write(a_phantom.path, "scan/other.nii.gz")
    upload(a_screen, [packed])
    a_screen.wait("state('volume_name') === 'other'")
    a_screen.wait_idle()
    assert [one["ml"] for one in a_screen.state("segments")] == [""]


def test_an_image_is_dropped_on_the_page(a_screen: Screen, a_phantom: Case) -> None:
    content = base64.b64encode(a_phantom.path.read_bytes()).decode()
    drop = """
        content => {
          const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([bytes], "dropped.nii.gz"));
          document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
        }
    """
    a_screen.page.evaluate(drop, content)
    a_screen.wait("state('volume_name') === 'dropped'")
    a_screen.wait_idle()


def test_a_series_is_chosen_where_a_folder_holds_several(a_screen: Screen, tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    packed = tmp_path / "study.zip"
    with zipfile.ZipFile(packed, "w") as into:
        for series in (1, 2):
            for number in range(4):
                plane = np.arange(256).reshape(16, 16) + 100 * number
                axes, place = (1, 0, 0, 0, 1, 0), (0, 0, 2 * number)
                content = slice_of(plane, place, axes, number=number + 1, series=series)
                into.writestr(f"{series}/IM{number:04}", content)
    upload(a_screen, [packed], waits=False)
    a_screen.page.wait_for_selector("#choices")
    a_screen.page.get_by_text("CT series 2").click()
    a_screen.wait("state('message').includes('is open') && !state('choices').length && !state('loading')")
    a_screen.wait_idle()


def test_the_numbering_of_a_label_map_is_asked_where_several_fit(
    a_screen: Screen, a_phantom: Case, tmp_path: Path
) -> None:
    from SAMSpineLib.io import write_volume
    from SAMSpineLib.labels import spine_labels
    from SAMSpineLib.volume import Volume

    theirs = np.zeros(256, np.uint8)
    for name in ("L4", "L5"):
        theirs[spine_labels().by_name(name).value] = spine_labels().by_name(name).totalsegmentator
    path = tmp_path / "theirs_label.nii.gz"
    write_volume(path, Volume(theirs[a_phantom.labels], a_phantom.grid))
    upload(a_screen, [a_phantom.path])
    a_screen.wait("state('volume_name') === 'case' && !state('loading')")
    upload(a_screen, [path], waits=False)
    a_screen.page.wait_for_selector("#choices")
    assert "theirs_label.nii.gz" in a_screen.state("message")
    a_screen.page.get_by_text("TotalSegmentator: L5, L4").click()
    a_screen.wait("state('message').includes('Segments to go on with: 2')")
    a_screen.wait("state('segments').filter(one => one.ml && ['L4', 'L5'].includes(one.name)).length === 2")


def test_a_segmentation_is_sent_and_goes_on(a_screen: Screen, a_phantom: Case, tmp_path: Path) -> None:
    from SAMSpineLib.io import write_segmentation
    from SAMSpineLib.labels import spine_labels

    labels = np.where(np.isin(a_phantom.labels, [22, 23]), a_phantom.labels, 0)
    upload(a_screen, [a_phantom.path])
    a_screen.wait("state('volume_name') === 'case' && !state('loading')")
    path = tmp_path / "earlier.seg.nrrd"
    write_segmentation(path, labels, a_phantom.grid, spine_labels())
    upload(a_screen, [path])
    a_screen.wait("state('message').includes('to go on with')")
    a_screen.wait("state('segments').filter(one => one.ml).length === 2")
    assert {one["name"] for one in a_screen.state("segments") if one["ml"]} == {"L3", "L4"}


def test_the_chain_is_renumbered(a_screen: Screen) -> None:
    a_screen.page.evaluate("window.trame.trigger('pick', ['L3'])")
    a_screen.wait("state('selected') === 'L3'")
    a_screen.page.evaluate("window.trame.state.set('new_number', 'L2')")
    a_screen.wait("state('segments').some(one => one.name === 'L2' && one.ml)")
    a_screen.wait_idle()
    assert {one["name"] for one in a_screen.state("segments") if one["ml"]} == {"L2", "L3"}
    a_screen.wait_idle()


def test_dark_and_light(a_screen: Screen) -> None:
    background = "getComputedStyle(document.querySelector('header')).backgroundColor"
    dark = a_screen.page.evaluate(background)
    a_screen.page.click("#theme")
    a_screen.wait("state('theme') === 'light'")
    a_screen.page.wait_for_timeout(500)
    assert a_screen.page.evaluate(background) != dark


def test_a_fault_of_the_page_would_be_noticed(a_screen: Screen) -> None:
    a_screen.page.evaluate("console.error('on purpose')")
    while not a_screen.served.complaints:  # the page tells the server, too
        a_screen.page.wait_for_timeout(50)
    said = a_screen.take_wrong()
    assert len(said) == 2
    assert all("on purpose" in one for one in said)
