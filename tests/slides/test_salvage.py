"""Broken tiles: the least is lost, and a finer level stands in for a coarser one."""

import threading
import warnings

import numpy as np
import pytest

from histoscope.errors import CorruptDataError
from histoscope.slides import Box, open_slide, patience
from histoscope.slides.salvage import read_salvaged
from histoscope.slides.tissue import find_tissue


@pytest.fixture
def break_level(slide_path, monkeypatch):
    """Give a slide one of whose levels is broken within a box."""

    def give(broken_level, where):
        slide = open_slide(slide_path)
        crop = slide.reader.crop

        def broken(box, level):
            overlaps = (
                box.x < where.x + where.width
                and where.x < box.x + box.width
                and box.y < where.y + where.height
                and where.y < box.y + box.height
            )
            if level == broken_level and overlaps:
                raise CorruptDataError(f"a tile of level {level} is broken")
            return crop(box, level)

        monkeypatch.setattr(slide.reader, "crop", broken)
        return slide

    return give


def test_of_a_broken_level_0_little_more_is_lost_than_is_broken(slide_path, break_level):
    slide = break_level(0, Box(300, 200, 10, 10))
    seen, broken = read_salvaged(slide, Box(0, 0, 900, 700), 0.5)
    (one,) = broken
    assert one.is_lost
    assert one.why == "a tile of level 0 is broken"
    assert one.box.x <= 300 <= one.box.x + one.box.width <= 300 + 64
    lost = seen[one.box.y : one.box.y + one.box.height, one.box.x : one.box.x + one.box.width]
    assert (lost == 255).all()
    expected = open_slide(slide_path).read(Box(0, 0, 900, 700))
    assert (seen != expected).any(axis=2).sum() <= one.box.width * one.box.height


def test_a_finer_level_stands_in_for_a_broken_one(slide_path, break_level):
    slide = break_level(1, Box(0, 0, 450, 350))
    whole = Box(0, 0, 450, 350)
    seen, broken = read_salvaged(slide, whole, 1.0)
    assert [(one.box, one.is_lost) for one in broken] == [(whole, False)]
    assert "nothing is lost: a tile of level 1 is broken" in broken[0].why
    assert np.array_equal(seen, open_slide(slide_path).read_at(whole, 1.0, level=0))


def test_tissue_is_found_though_the_coarsest_level_is_broken(slide_path, break_level):
    expected, _ = find_tissue(open_slide(slide_path))
    found, _ = find_tissue(break_level(2, Box(0, 0, 225, 175)))
    assert found.area_mm2 == pytest.approx(expected.area_mm2, rel=0.03)


def test_a_slow_disk_is_told(slide_path, monkeypatch):
    slide = open_slide(slide_path)
    monkeypatch.setattr(patience, "PATIENCE_S", 0.0)
    crop = slide.reader.crop
    seen = threading.Event()

    def slow(box, level):
        assert seen.wait(60)
        return crop(box, level)

    monkeypatch.setattr(warnings, "warn", lambda words, **_: (told.append(words), seen.set()))
    monkeypatch.setattr(slide.reader, "crop", slow)
    told = []
    read_salvaged(slide, Box(0, 0, 10, 10), 0.5)
    assert str(slide_path) in told[0]
    assert "the same command resumes" in told[0]
