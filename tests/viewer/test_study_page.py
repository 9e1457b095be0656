"""A study in a real browser: its numbers, and the images behind them."""

import shutil
from pathlib import Path

import pytest

from browsing import NEEDED, Visit, chromium
from histoscope.viewer.library import Library

pytestmark = NEEDED
OLD = Path(__file__).parents[1] / "report" / "studies_of_0_1" / "nuclei"


@pytest.fixture(scope="module")
def visited(tmp_path_factory, serve):
    """A browser and the address of a study's folder."""
    from histoscope.viewer.server import create_app

    folder = tmp_path_factory.mktemp("study")
    shutil.copytree(OLD, folder / "study")
    with serve(create_app(Library([folder]).search())) as address, chromium() as browser:
        yield browser, address


@pytest.fixture
def one(visited):
    visit = Visit(*visited, shows="#study")
    yield visit
    assert visit.errors == []
    visit.context.close()


def test_it_opens_with_question_and_numbers(one):
    said = one.page.inner_text("#study")
    assert "How many labelled tiles does synthetic tissue save" in said
    assert "too few patients to say" in said
    assert one.page.locator("#study .number").count() == 6
    assert not one.page.is_visible("#stage")


def test_a_number_opens_its_images_worst_first_against_the_truth(one):
    one.page.click(".number[data-level=real_all][data-condition=test]")
    one.until(lambda: one.in_view() > 0)
    rows = one.page.locator("#walk-items small").all_inner_texts()
    scores = [float(text.split()[-1]) for text in rows]
    assert len(scores) == 4
    assert scores == sorted(scores)
    assert one.page.locator("#legend .name").all_inner_texts() == [
        "found",
        "missed",
        "false positive",
        "merged",
        "split",
    ]
    assert f"AJI {scores[0]:.3f}" in one.page.inner_text("#lead")
    one.until(lambda: one.picture()[200:600, 300:600].std() > 10)
    worst = one.page.inner_text("#title")
    one.page.keyboard.press("j")
    one.until(lambda: one.page.inner_text("#title") != worst)
    one.until(lambda: f"AJI {scores[1]:.3f}" in one.page.inner_text("#lead"))


def test_the_truth_stands_beside_and_the_address_opens_it_again(visited, one):
    one.page.click(".number[data-level=real_all][data-condition=test]")
    one.until(lambda: one.in_view() > 0)
    one.page.keyboard.press("b")
    one.until(lambda: one.page.is_visible("#pane-b"))
    one.until(
        lambda: (
            "ground truth"
            in one.page.locator("#sources select").nth(1).evaluate("e => e.selectedOptions[0].text")
        )
    )
    half = one.picture().shape[1] // 2

    def white():
        return (one.picture()[:, half:].min(axis=2) > 225).sum()

    one.page.keyboard.press("n")  # without nuclei
    one.page.wait_for_timeout(500)
    bare = white()
    one.page.keyboard.press("n")
    one.until(lambda: white() > bare + 500)
    assert "nuclei, white" in one.page.inner_text("#right-key")  # none of the outcomes has this colour
    one.page.wait_for_timeout(500)
    again = Visit(visited[0], one.page.url, shows="#walk")
    again.until(
        lambda: (
            again.page.is_visible("#pane-b")
            and again.page.inner_text("#title") == one.page.inner_text("#title")
        )
    )
    again.context.close()


def test_one_comes_back_to_the_study_and_to_all_slides(one):
    one.page.click(".number[data-level=real_2][data-condition=test]")
    one.until(lambda: one.page.is_visible("#walk"))
    one.page.click("#walk-back")
    one.until(lambda: one.page.is_visible("#study"))
    assert one.page.is_visible("#all")
