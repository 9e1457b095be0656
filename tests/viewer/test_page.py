"""The page in a real browser: opens, shows a picture, zooms, switches, keeps a view in its address."""

import re

import numpy as np
import pytest
from PIL import Image as Pillow

from browsing import NEEDED, Visit, chromium
from histoscope.viewer.library import Library

pytestmark = NEEDED


@pytest.fixture(scope="module")
def address(shown, serve):
    from histoscope.viewer.server import create_app

    with serve(create_app(Library([shown]).search())) as place:
        yield place


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture
def visit(browser, address):
    opened = []

    def go(path="", **how):
        opened.append(Visit(browser, address + path, **how))
        return opened[-1]

    yield go
    for one in opened:
        assert one.errors == []
        one.context.close()


def test_it_opens_with_a_slide_and_its_nuclei(visit):
    one = visit()
    assert one.in_view() == 300
    assert "300 nuclei" in one.page.inner_text("#lead")
    assert one.page.inner_text("#title") == "slide.tif"
    one.until(lambda: one.picture()[200:600, 300:600].std() > 20)
    yellow = np.abs(one.picture().astype(int) - (255, 255, 0)).sum(axis=2) < 90
    assert yellow.sum() > 200
    assert one.page.inner_text("#scale-text").endswith("µm")


def test_a_switched_class_is_neither_drawn_nor_counted(visit):
    one = visit()
    one.page.click("#legend li[data-kind='1'] button")
    one.until(lambda: one.in_view() == 150)
    one.until(lambda: (np.abs(one.picture().astype(int) - (255, 255, 0)).sum(axis=2) < 60).sum() < 20)
    one.page.keyboard.press("1")
    one.until(lambda: one.in_view() == 300)


def test_the_threshold_counts_by_probability(visit):
    one = visit()
    one.page.locator("#least").fill("10")
    one.until(lambda: one.in_view() == (np.linspace(0, 1, 300, dtype=np.float32) >= 0.5).sum())


def test_closer_there_are_fewer_nuclei_and_a_click_tells_of_one(visit, shown):
    import pyarrow.parquet as pq

    table = pq.read_table(shown / "out" / "slide" / "cells.parquet", columns=["x_px", "y_px"]).to_pydict()
    x, y = table["x_px"][7], table["y_px"][7]
    one = visit()
    slide, found = re.search(r"slide=(\w+)&results=(\w+)", one.page.url).groups()
    closer = visit(f"#slide={slide}&results={found}&x={x}&y={y}&zoom=6")
    closer.until(lambda: 0 < closer.in_view() < 60)
    box = closer.page.locator("#pane-a").bounding_box()
    closer.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    closer.until(lambda: closer.page.is_visible("#nucleus") and "Area" in closer.page.inner_text("#nucleus"))
    assert closer.page.get_attribute("#nucleus", "data-row") == "7"


def test_the_address_opens_the_same_view(visit):
    one = visit()
    one.page.keyboard.press("+")
    one.page.keyboard.press("ArrowRight")
    one.page.keyboard.press("2")
    one.page.keyboard.press("o")
    one.until(lambda: "off=2" in one.page.url and "style=fill" in one.page.url)
    one.page.wait_for_timeout(1000)
    again = visit(one.page.url.partition("/#")[2].join(["#", ""]))
    again.until(lambda: again.place() != {})
    assert again.place() == pytest.approx(one.place(), rel=1e-3)
    assert again.page.get_attribute("#legend li[data-kind='2'] button", "aria-checked") == "false"
    again.until(lambda: again.in_view() == one.in_view())


def test_two_views_move_together(visit):
    one = visit()
    one.page.keyboard.press("b")
    one.until(lambda: one.page.is_visible("#pane-b"))
    one.page.wait_for_timeout(500)
    one.page.keyboard.press("+")
    one.page.wait_for_timeout(1500)
    stage = one.picture()
    half = stage.shape[1] // 2
    left, right = stage[100:500, 120 : half - 120], stage[100:500, half + 120 : -120]
    assert left.std() > 20
    assert right.std() > 20


def test_other_slides_are_chosen_from_the_list_and_broken_ones_say_so(visit):
    one = visit()
    one.page.click("#items li:has-text('broken.svs') button")
    one.until(lambda: "broken.svs" in one.page.inner_text("#message"))
    one.page.click("#items li:has-text('field.png') button")
    one.until(lambda: "field.png" in one.page.inner_text("#lead") and one.in_view() > 5)


@pytest.mark.parametrize("dark", [False, True])
def test_a_telephone_shows_slide_and_legend_side_by_side_with_nothing_beyond(visit, dark):
    one = visit(width=400, dark=dark)
    one.until(lambda: one.picture()[50:300].std() > 20)
    assert one.page.evaluate("document.documentElement.scrollWidth") <= 400
    assert one.page.is_visible("#legend")
    paper = one.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(22, 24, 29)" if dark else "rgb(255, 255, 255)")
    for button in one.page.locator("nav button:visible").all():
        box = button.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 400


def test_help_names_every_key(visit):
    one = visit()
    one.page.keyboard.press("?")
    assert one.page.is_visible("#help")
    assert one.page.locator("#keys dt").count() >= 15
    one.page.keyboard.press("Escape")
    assert not one.page.is_visible("#help")


def test_a_view_is_saved_as_png(visit):
    one = visit()
    one.until(lambda: one.picture()[200:600, 300:600].std() > 20)
    with one.page.expect_download() as waits:
        one.page.keyboard.press("s")
    saved = Pillow.open(waits.value.path())
    assert np.asarray(saved.convert("RGB")).std() > 20


def test_an_address_of_two_views_opens_at_its_place(visit):
    one = visit()
    one.page.keyboard.press("+")
    one.page.keyboard.press("ArrowRight")
    one.page.wait_for_timeout(1000)
    one.page.keyboard.press("b")
    one.until(lambda: "split=" in one.page.url and one.page.is_visible("#pane-b"))
    one.page.wait_for_timeout(1000)
    again = visit(one.page.url.partition("/#")[2].join(["#", ""]))
    again.until(lambda: again.place() != {})
    again.page.wait_for_timeout(1000)
    assert again.place() == pytest.approx(one.place(), rel=1e-3)


def test_the_whole_slide_fills_its_pane_beside_the_list(visit):
    """The list takes its place while the page starts."""
    one = visit()
    assert one.page.is_visible("#list")
    box = one.page.locator("#pane-a").bounding_box()
    assert one.place()["zoom"] == pytest.approx(min(box["width"], box["height"]) / 512, rel=0.02)


def test_the_addresses_for_programs_can_be_read(visit):
    one = visit()
    one.page.goto(one.page.url.partition("#")[0] + "openapi.html")
    one.until(lambda: one.page.locator("#addresses details").count() > 10)
    one.page.click("#addresses summary:has-text('/predict')")
    assert "mpp" in one.page.inner_text("#addresses details[open]")


def test_a_slide_is_shown_normalised_alone_and_beside_the_original(visit):
    one = visit()
    before = one.picture()[200:600, 300:600].mean(axis=(0, 1))
    one.page.select_option("#stain", "macenko")
    one.until(lambda: np.abs(one.picture()[200:600, 300:600].mean(axis=(0, 1)) - before).max() > 4)
    assert "stain=macenko" in one.page.url
    one.page.keyboard.press("b")
    one.until(lambda: one.page.get_attribute("#pane-b", "data-name") == "slide, Macenko")
    assert one.page.get_attribute("#pane-a", "data-name") == "out"


def test_back_returns_to_the_slide_before_and_one_class_is_shown_alone(visit):
    one = visit()
    one.page.dblclick("#legend li[data-kind='1'] button")
    one.until(lambda: one.in_view() == 150)
    assert "300 nuclei in view, 150 shown" in one.page.inner_text("#in-view")
    one.page.click("#items li button:has-text('field.png')")
    one.until(lambda: one.page.inner_text("#title") == "field.png")
    one.page.go_back()
    one.until(lambda: one.page.inner_text("#title") == "slide.tif")
