"""The page for who has no mouse, weak eyes, or a browser's Back button."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from .appdriver import Case, Screen

pytestmark = pytest.mark.browser

# Everything that can be worked with now, numbered in the order of the page.
NUMBERED = """
() => [...document.querySelectorAll("button, input, a[href], [tabindex='0']")]
  .filter((one) => one.checkVisibility() && one.tabIndex >= 0 && !one.disabled && one.getClientRects().length)
  .map((one, n) => { one.dataset.n = n; return one.id || one.ariaLabel || one.outerHTML.slice(0, 90); })
"""
FOCUSED = """
() => {
  const one = document.activeElement, styles = [];
  for (let near = one; near && near !== document.body && styles.length < 6; near = near.parentElement) {
    styles.push(getComputedStyle(near).outlineStyle);
  }
  return { n: one.dataset.n ?? null, ringed: styles.includes("solid") };
}
"""
FAINT = """
() => {
  const parts = (text) => {
    const [r, g, b, a = 1] = (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
    return [r, g, b, a];
  };
  const over = (top, below, a) => [0, 1, 2].map((n) => top[n] * a + below[n] * (1 - a));
  const line = (one) => { const found = []; for (; one; one = one.parentElement) found.unshift(one); return found; };
  const light = (colour) => {
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = colour.map((part) => linear(part / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one) => {
    let behind = [255, 255, 255], opacity = 1;
    for (const each of line(one)) {
      const style = getComputedStyle(each), own = parts(style.backgroundColor);
      opacity *= Number(style.opacity);
      behind = over(own, behind, own[3]);
    }
    const ink = parts(getComputedStyle(one).color);
    const [a, b] = [light(over(ink, behind, ink[3] * opacity)), light(behind)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  const isText = (node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim();
  const speaks = (one) => [...one.childNodes].some(isText);
  return [...document.querySelectorAll("body *")]
    .filter((one) => speaks(one) && one.checkVisibility({ opacityProperty: true }) && one.getClientRects().length)
    .filter((one) => !one.closest(".layout-grid-item, [disabled], .v-input--disabled, .v-btn--disabled, script, style"))
    .map((one) => [one.textContent.trim().slice(0, 40), contrast(one)])
    .filter(([, ratio]) => ratio < 4.5);
}
"""


def test_every_control_is_reached_by_tab_and_shows_it(a_screen: Screen) -> None:
    names = a_screen.page.evaluate(NUMBERED)
    assert len(names) > 25
    reached, bare = set(), []
    for _ in range(len(names) + 5):
        a_screen.key("Tab")
        found = a_screen.page.evaluate(FOCUSED)
        if found["n"] is not None:
            reached.add(int(found["n"]))
            bare += [] if found["ringed"] else [names[int(found["n"])]]
    assert [name for n, name in enumerate(names) if n not in reached] == []
    assert bare == []


def test_every_control_has_a_name_for_who_does_not_see_it(a_screen: Screen) -> None:
    spoken = a_screen.page.locator("body").aria_snapshot().splitlines()
    controls = ("- button", "- slider", "- checkbox", "- textbox", "- option", "- progressbar", "- listbox")
    assert [line for line in spoken if line.strip().startswith(controls) and '"' not in line] == []


@pytest.mark.parametrize("menu", ["open-menu", "save-menu"])
def test_a_menu_is_worked_by_keys_and_gives_the_focus_back(a_screen: Screen, menu: str) -> None:
    a_screen.page.locator(f"#{menu}").focus()
    a_screen.key("Enter")
    a_screen.page.wait_for_selector(f"#{menu}-list")
    a_screen.key("ArrowDown")
    a_screen.page.wait_for_function("name => document.activeElement.closest(`#${name}-list`)", arg=menu)
    a_screen.key("Escape")
    a_screen.page.wait_for_selector(f"#{menu}-list", state="hidden")
    assert a_screen.page.evaluate("document.activeElement.id") == menu


@pytest.mark.parametrize("button", ["open-menu", "turn-Red"])
def test_what_a_click_has_opened_is_closed_by_escape(a_screen: Screen, button: str) -> None:
    opened = f"#{button}-list, #{button}-card"
    a_screen.page.click(f"#{button}")
    a_screen.page.wait_for_selector(opened)
    a_screen.key("Escape")
    a_screen.page.wait_for_selector(opened, state="hidden")
    assert a_screen.page.evaluate("document.activeElement.id") == button


def _tab_to(a_screen: Screen, there: str) -> None:
    """Press Tab until the focus is there: a card that is still opening takes it late."""
    for _ in range(10):
        a_screen.key("Tab")
        a_screen.page.wait_for_timeout(100)
        if a_screen.page.evaluate(f"Boolean({there})"):
            return
    pytest.fail(f"The focus never came to: {there}")


def test_the_angles_of_a_view_are_set_and_taken_back_by_keys(a_screen: Screen) -> None:
    a_screen.page.locator("#turn-Yellow").focus()
    a_screen.key("Enter")
    a_screen.page.wait_for_selector("#turn-Yellow-card")
    _tab_to(a_screen, "document.activeElement.closest('.v-slider')?.querySelector('#slider-swing_Yellow')")
    a_screen.key("ArrowLeft")
    a_screen.wait("state('swing_Yellow') === -1 && Math.abs(state('frame_Yellow').across[0]) > 0.1")
    _tab_to(a_screen, "document.activeElement.id === 'unturn-Yellow'")
    a_screen.key("Enter")
    a_screen.wait("state('swing_Yellow') === 0 && Math.abs(state('frame_Yellow').across[0]) < 1e-6")
    a_screen.key("Escape")


def test_a_question_keeps_the_focus_until_escape_and_gives_it_back(a_screen: Screen) -> None:
    a_screen.page.locator("#theme").focus()
    choices = [{"title": "First", "value": "1"}, {"title": "Second", "value": "2"}]
    a_screen.page.evaluate("choices => window.trame.state.update({choices, choice_title: 'Which?'})", choices)
    a_screen.page.wait_for_selector("#choices")
    a_screen.page.wait_for_function("document.activeElement.closest('.v-dialog')")
    for _ in range(8):
        a_screen.key("Tab")
        assert a_screen.page.evaluate("Boolean(document.activeElement.closest('.v-dialog'))")
    a_screen.key("Escape")
    a_screen.page.wait_for_selector("#choices", state="hidden")
    a_screen.wait("state('choices').length === 0")
    a_screen.page.wait_for_function("document.activeElement.id === 'theme'")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_word_stands_out_and_everything_fits(a_screen: Screen, theme: str) -> None:
    a_screen.page.evaluate("theme => window.trame.state.set('theme', theme)", theme)
    a_screen.page.wait_for_selector(f".v-application.v-theme--{theme}")
    a_screen.page.wait_for_timeout(500)  # colours fade into each other
    assert a_screen.page.evaluate(FAINT) == []
    size = a_screen.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert size == [1280, 800]
    beyond = """
        () => [...document.querySelectorAll("header button, nav button, nav input, footer span, header .v-field")]
          .map((one) => [one, one.getBoundingClientRect()])
          .filter(([one, box]) => box.width && (box.right > 1281 || box.bottom > 801 || box.left < 0 || box.top < 0))
          .map(([one]) => one.outerHTML.slice(0, 90))
    """
    assert a_screen.page.evaluate(beyond) == []


def test_back_and_forward_keep_the_session(a_screen: Screen, a_phantom: Case) -> None:
    place = a_phantom.centre("L3")
    a_screen.show("Red", place)
    a_screen.choose("positivePoint")
    a_screen.after(lambda: a_screen.click("Red", place))
    kept = a_screen.state("segments")
    assert float(a_screen.segment("L3")["ml"]) > 10
    a_screen.page.goto("about:blank")
    a_screen.page.go_back()
    assert_goes_on(a_screen, kept)
    a_screen.page.go_forward()
    assert a_screen.page.url == "about:blank"
    a_screen.page.go_back()
    assert_goes_on(a_screen, kept)
    a_screen.after(lambda: a_screen.key("Control+z"))
    assert a_screen.segment("L3")["ml"] == ""


def assert_goes_on(screen: Screen, segments: Any) -> None:
    """Wait until the page is alive again, with the same segments, and shows the image."""
    screen.wait_idle()
    assert screen.state("segments") == segments
    screen.page.wait_for_timeout(1500)
    assert np.asarray(screen.colours("Red")).max() > 60
