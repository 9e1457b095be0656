"""A heat map in a real browser: not flat, in the colours of its scale, of the class that is chosen."""

import shutil

import numpy as np
import pytest

from browsing import NEEDED, Visit, chromium
from histoscope.viewer.library import Library

pytestmark = NEEDED
HIGH, LOW = (253, 231, 37), (59, 31, 112)


@pytest.fixture
def one(shown_slide, tmp_path, serve, tiles):
    from histoscope.viewer.server import create_app

    shutil.copy(shown_slide, tmp_path / "slide.tif")
    tiles(tmp_path / "out" / "slide")
    with serve(create_app(Library([tmp_path]).search())) as address, chromium() as browser:
        visit = Visit(browser, address + "#heatOpacity=1")
        yield visit
        assert visit.errors == []


def test_it_follows_probabilities_class_and_threshold(one):
    def places(colour):
        near = np.abs(one.picture().astype(int) - colour).sum(axis=2) < 30
        return np.flatnonzero(near.sum(axis=0) > 100)

    one.until(lambda: len(places(HIGH)) and len(places(LOW)))
    assert places(HIGH).mean() > places(LOW).mean() + 200  # more of a gland to the right
    assert one.picture()[200:600, 300:600].std() > 20
    one.page.select_option("#heat", "2")
    one.until(lambda: len(places(HIGH)) and places(HIGH).mean() < places(LOW).mean() - 200)
    one.page.locator("#least").fill("10")
    one.until(lambda: not len(places(LOW)) and len(places(HIGH)))
    one.page.keyboard.press("o")
    one.until(lambda: "tiles=outline" in one.page.url and len(places(HIGH)) < 20)  # but for lines
    assert not one.page.is_visible("#heat-box")
