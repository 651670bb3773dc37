"""The report of an autonomous run: a page that stands alone, and pictures that show what is there, where it is."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from SAMSpineLib.engine.autonomous.result import AutoResult, LevelResult
from SAMSpineLib.errors import LabelError, OutputError
from SAMSpineLib.evaluation.auto_pictures import PIXEL_MM, Picture, pictures_of, png
from SAMSpineLib.evaluation.auto_report import body_height_mm, write_report
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.volume import Grid, Volume

TABLE = spine_labels()
COLOURS = {label.value: label.colour for label in TABLE}
NAMES = ("T12", "L1", "L2")
VALUES = tuple(TABLE.by_name(name).value for name in NAMES)
# Head to foot, 31 mm apart, leaning to the patient's left.
CENTRES = {value: (4.0 - 9.0 * n, -30.0, 120.0 - 31.0 * n) for n, value in enumerate(VALUES)}
HEIGHT_MM = 24.0
VOID = {"meta", "image", "br"}


def _oblique_grid() -> Grid:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", (14, -9, 21), degrees=True).as_matrix() * np.array([-0.8, -0.9, 2.5])
    shape = (56, 100, 120)
    middle = np.mean(list(CENTRES.values()), axis=0)
    matrix[:3, 3] = middle - matrix[:3, :3] @ (np.array(shape[::-1]) / 2)
    return Grid(shape, matrix)


def _phantom(grid: Grid) -> np.ndarray:
    """Boxes with one process to the patient's right and one to the back."""
    k, j, i = np.indices(grid.shape)
    ras = grid.to_ras(np.stack((i, j, k), axis=-1))
    labels = np.zeros(grid.shape, np.uint16)
    for value, centre in CENTRES.items():
        r, a, s = np.moveaxis(ras - centre, -1, 0)
        body = (abs(r) <= 15) & (abs(a) <= 12) & (abs(s) <= HEIGHT_MM / 2)
        right = (r > 0) & (r <= 32) & (abs(a) <= 5) & (abs(s) <= 5)
        back = (a < 0) & (a >= -30) & (abs(r) <= 5) & (abs(s) <= 5)
        labels[body | right | back] = value
    return labels


GRID = _oblique_grid()
LABELS = _phantom(GRID)
AIR = Volume(np.full(GRID.shape, -1000, np.int16), GRID, "phantom")


def _level(value: int, *flags: str) -> LevelResult:
    return LevelResult(value, CENTRES[value], 0.875, 0.91, int((value == LABELS).sum()), flags)


RESULT = AutoResult(
    GRID, LABELS, tuple(_level(v) for v in VALUES), False, (), "3 vertebrae, T12 to L2.", {"find": 1.25, "segment": 2.5}
)
EMPTY = AutoResult(GRID, np.zeros_like(LABELS), (), False, (), "Sorry.", {})


@pytest.fixture(scope="module")
def pictures() -> dict[str, Picture]:
    names = ("sagittal", "coronal", "front", "left")
    return dict(zip(names, pictures_of(AIR, LABELS, GRID, CENTRES, COLOURS), strict=True))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, AIR, RESULT, TABLE)
    return path


@pytest.fixture(scope="module")
def page(written: Path) -> Page:
    return Page(written.read_text(encoding="utf-8"))


class Page(HTMLParser):
    """Reads a page strictly: what is opened is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.review: list[bool] = []
        self.svg_texts: list[list[str]] = []
        self.images: list[tuple[dict[str, str], bytes]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        given = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
            self.review.append(given.get("class") == "review")
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "svg":
            self.svg_texts.append([])
            self.box = given["viewbox"]
        if tag == "image":
            kind, data = given["href"].split(",")
            assert kind == "data:image/png;base64"
            self.images.append(({"box": self.box, **given}, base64.b64decode(data)))

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        where = self.open[-1] if self.open else ""
        self.text += data if where != "style" else ""
        if where in ("td", "th"):
            self.rows[-1][-1] += data
        if where == "text":
            self.svg_texts[-1].append(data)


def page_of(path: Path, result: AutoResult, volume: Volume = AIR) -> Page:
    write_report(path / "report.html", volume, result, TABLE)
    return Page((path / "report.html").read_text(encoding="utf-8"))


def decoded(data: bytes, path: Path) -> np.ndarray:
    """Read a PNG with somebody else's decoder: (rows, columns, channels)."""
    (path / "one.png").write_bytes(data)
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path / "one.png")))


def at(picture: Picture, value: int, right: float = 0, down: float = 0) -> np.ndarray:
    x, y = picture.marks[value]
    return picture.pixels[round(y + down / PIXEL_MM), round(x + right / PIXEL_MM)].astype(float)


def test_every_level_stands_once_in_the_table_and_once_over_each_picture(page: Page) -> None:
    assert [row[0] for row in page.rows if row[0] in TABLE.names] == list(NAMES)
    assert page.svg_texts == [list(NAMES)] * 4
    assert "3 vertebrae, T12 to L2." in page.text


def test_the_row_of_a_level_says_what_was_measured(page: Page) -> None:
    row = next(row for row in page.rows if row[0] == "L1")
    assert float(row[1]) == pytest.approx((VALUES[1] == LABELS).sum() * 0.8 * 0.9 * 2.5 / 1000, abs=0.06)
    assert float(row[2]) == pytest.approx(HEIGHT_MM, abs=2.5)
    assert row[3:] == ["88%", "0.91", ""]


def test_names_of_levels_that_lie_close_together_do_not_hide_each_other(tmp_path: Path) -> None:
    near = replace(_level(VALUES[1]), centre=CENTRES[VALUES[0]])
    page_of(tmp_path, replace(RESULT, levels=(_level(VALUES[0]), near, _level(VALUES[2]))))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    heights = [float(y) for y in re.findall(r'<text x="[\d.]+" y="([\d.]+)">', text)]
    assert np.diff(np.reshape(heights, (4, 3)), axis=1).min() >= 8.9


def test_levels_to_review_are_marked_and_say_why(tmp_path: Path) -> None:
    flagged = (_level(VALUES[0]), _level(VALUES[1], "touches the border", "small"), _level(VALUES[2]))
    page = page_of(tmp_path, replace(RESULT, levels=flagged))
    marked = [row for row, review in zip(page.rows, page.review, strict=True) if review]
    assert [(row[0], row[-1]) for row in marked] == [("L1", "Review: touches the border; small")]


def test_other_numberings_that_are_as_likely_are_written_out(tmp_path: Path) -> None:
    page = page_of(tmp_path, replace(RESULT, ambiguous=True, alternatives=(tuple(v + 1 for v in VALUES),)))
    assert "L1, L2, L3" in page.text


def test_the_time_of_each_stage_and_their_sum_are_told(page: Page) -> None:
    assert page.rows[-3:] == [["find", "1.2"], ["segment", "2.5"], ["Total", "3.8"]]


def test_the_page_needs_nothing_but_itself(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    assert re.findall(r"<script|<link|https?:|url\(|@import", text) == []
    assert "prefers-color-scheme: dark" in text


def test_whatever_a_file_is_called_it_stays_text(tmp_path: Path) -> None:
    evil = '<script>alert("&")</script>'
    flagged = replace(RESULT, levels=(_level(VALUES[0], evil),), message=evil, seconds={evil: 1.0})
    page = page_of(tmp_path, flagged, Volume(AIR.array, GRID, evil))
    assert "<script" not in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.text.count(evil) == 5  # title, heading, message, flag, stage


def test_the_pictures_decode_to_the_size_that_the_page_gives_them(
    page: Page, tmp_path: Path, pictures: dict[str, Picture]
) -> None:
    assert len(page.images) == 4
    for (attributes, data), picture in zip(page.images, pictures.values(), strict=True):
        array = decoded(data, tmp_path)
        assert np.array_equal(array, picture.pixels)
        assert attributes["box"] == f"0 0 {array.shape[1]} {array.shape[0]}"


@pytest.mark.parametrize("channels", [3, 4])
def test_a_png_comes_back_bit_for_bit(channels: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (17, 23, channels), np.uint8)
    assert np.array_equal(decoded(png(pixels), tmp_path), pixels)


@pytest.mark.parametrize("view", ["sagittal", "coronal"])
def test_the_slices_follow_the_spine_through_every_centre(view: str, pictures: dict[str, Picture]) -> None:
    # Over air the tint is the label's colour, darkened; a plain slice would miss the vertebrae that lean to the side.
    for value in VALUES:
        assert at(pictures[view], value) == pytest.approx(0.45 * np.array(COLOURS[value]), abs=1)


@pytest.mark.parametrize("view", ["front", "left"])
def test_the_surface_has_the_colour_of_its_label_and_nothing_is_drawn_beside_it(
    view: str, pictures: dict[str, Picture]
) -> None:
    for value in VALUES:
        red_green_blue, alpha = at(pictures[view], value)[:3], at(pictures[view], value)[3]
        colour = np.array(COLOURS[value], float)
        shade = red_green_blue @ colour / (colour @ colour)
        assert red_green_blue == pytest.approx(shade * colour, abs=1.5)
        assert 0.35 < shade <= 1
        assert alpha == 255
        assert at(pictures[view], value, down=15.5)[3] == 0, "the disc is no vertebra"


def test_head_is_up_and_a_pixel_is_a_millimetre(pictures: dict[str, Picture]) -> None:
    for picture in pictures.values():
        heights = [picture.marks[value][1] for value in VALUES]
        assert np.diff(heights) == pytest.approx([31.0 / PIXEL_MM] * 2)
    assert np.diff([pictures["front"].marks[value][0] for value in VALUES]) == pytest.approx([9.0 / PIXEL_MM] * 2)


def test_the_patients_right_is_on_the_left_from_the_front_and_the_back_is_on_the_right_from_the_side(
    pictures: dict[str, Picture],
) -> None:
    for value in VALUES:
        assert at(pictures["front"], value, right=-24)[3] == 255
        assert at(pictures["front"], value, right=+24)[3] == 0
        assert at(pictures["left"], value, right=+24)[3] == 255
        assert at(pictures["left"], value, right=-24)[3] == 0
        assert at(pictures["coronal"], value, right=-24).max() > 0
        assert at(pictures["coronal"], value, right=+24).max() == 0
        assert at(pictures["sagittal"], value, right=+24).max() > 0
        assert at(pictures["sagittal"], value, right=-24).max() == 0


def test_what_is_nearer_to_the_viewer_hides_what_is_behind() -> None:
    grid = Grid((30, 40, 40), np.eye(4))
    labels = np.zeros(grid.shape, np.uint16)
    labels[10:20, 5:15, 5:15] = 1  # back and left
    labels[10:20, 5:15, 25:35] = 2  # back and right
    labels[10:20, 25:35, 25:35] = 3  # front and right
    centres = {1: (10, 10, 15), 2: (30, 10, 15), 3: (30, 30, 15)}
    colours = {1: (250, 0, 0), 2: (0, 250, 0), 3: (0, 0, 250)}
    *_, front, left = pictures_of(Volume(labels, grid), labels, grid, centres, colours)
    assert [at(front, value)[:3].argmax() for value in (1, 2, 3)] == [0, 2, 2]
    assert [at(left, value)[:3].argmax() for value in (1, 2, 3)] == [0, 0, 2]


def test_what_faces_the_light_is_brighter_than_what_faces_away() -> None:
    grid = Grid((60, 60, 60), np.eye(4))
    k, j, i = np.indices(grid.shape)
    ball = ((k - 30) ** 2 + (j - 30) ** 2 + (i - 30) ** 2 <= 20**2).astype(np.uint16)
    *_, front, _ = pictures_of(Volume(ball, grid), ball, grid, {1: (30, 30, 30)}, {1: (200, 200, 200)})
    upper_left, lower_right = at(front, 1, right=-9, down=-9)[0], at(front, 1, right=9, down=9)[0]
    assert upper_left > lower_right + 40


def test_an_image_on_another_grid_than_the_labels_is_shown_behind_them() -> None:
    coarse = Grid((80, 90, 80), np.array([[2.0, 0, 0, -80], [0, 2, 0, -120], [0, 0, 2, 10], [0, 0, 0, 1.0]]))
    bright = Volume(np.full(coarse.shape, 1000, np.int16), coarse)
    sagittal, *_ = pictures_of(bright, LABELS, GRID, CENTRES, COLOURS)
    assert at(sagittal, VALUES[1], right=-24) == pytest.approx([255, 255, 255])


@pytest.mark.parametrize("tilt", [0.0, 20.0])
def test_the_height_of_a_box_is_found_within_a_voxel_however_it_is_tilted(tilt: float) -> None:
    axis = Rotation.from_euler("x", tilt, degrees=True).apply([0.0, 0.0, 1.0])
    k, j, i = np.indices(GRID.shape)
    ras = GRID.to_ras(np.stack((i, j, k), axis=-1)) - CENTRES[VALUES[1]]
    box = (abs(ras @ axis) <= HEIGHT_MM / 2) & (np.linalg.norm(np.cross(ras, axis), axis=-1) <= 16)
    spur = (abs(ras @ axis) <= 22) & (abs(np.linalg.norm(np.cross(ras, axis), axis=-1) - 14) <= 2)
    for mask in (box, box | spur):
        assert body_height_mm(mask, GRID, CENTRES[VALUES[1]], 3 * axis) == pytest.approx(HEIGHT_MM, abs=2.5)


def test_a_ring_without_a_body_has_no_height() -> None:
    k, j, i = np.indices(GRID.shape)
    ras = GRID.to_ras(np.stack((i, j, k), axis=-1)) - CENTRES[VALUES[1]]
    ring = (abs(ras[..., 2]) <= 6) & (abs(np.hypot(ras[..., 0], ras[..., 1]) - 14) <= 4)
    assert np.isnan(body_height_mm(ring, GRID, CENTRES[VALUES[1]], (0, 0, 1)))


def test_an_empty_result_says_so_and_has_neither_pictures_nor_levels(tmp_path: Path) -> None:
    page = page_of(tmp_path, EMPTY)
    assert "no vertebra found" in page.text
    assert page.images == []
    assert [row[0] for row in page.rows] == ["Stage", "Total"]


def test_a_level_without_voxels_keeps_its_row(tmp_path: Path) -> None:
    lost = replace(RESULT, labels=np.where(VALUES[2] == LABELS, 0, LABELS).astype(np.uint16))
    row = next(row for row in page_of(tmp_path, lost).rows if row[0] == "L2")
    assert row[1:3] == ["0.0", "–"]


def test_an_unwritable_place_and_an_unknown_value_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        write_report(tmp_path / "nowhere" / "report.html", AIR, RESULT, TABLE)
    with pytest.raises(LabelError, match="999"):
        write_report(tmp_path / "report.html", AIR, replace(RESULT, levels=(replace(_level(20), value=999),)), TABLE)
    assert list(tmp_path.iterdir()) == []
