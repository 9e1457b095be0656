"""Tissue: glass, pens and dust are left out; places and extents."""

import numpy as np
import pytest

import histoscope as hs
from histoscope.errors import CorruptDataError
from histoscope.files import write_image
from histoscope.slides import Box, open_slide
from histoscope.slides.tissue import CELL_UM, TissueMap, find_tissue


def slide_of(image, folder, mpp=4.0):
    write_image(folder / "slide.tif", image, mpp=mpp)
    return open_slide(folder / "slide.tif")


@pytest.fixture(scope="module")
def on_glass():
    image = np.full((400, 500, 3), 238, np.uint8)
    image[100:300, 100:300] = hs.synth.generate((200, 200), mpp=1.0, rng=1).image
    return image


@pytest.mark.parametrize("lamp", [(1, 1, 1), (1, 0.95, 0.85), (0.9, 0.9, 0.9)])
def test_tissue_is_found_on_glass_of_any_colour(on_glass, tmp_path, lamp):
    found, overview = find_tissue(slide_of((on_glass * lamp).astype(np.uint8), tmp_path))
    assert overview.shape == (200, 250, 3)
    assert found.area_mm2 == pytest.approx(0.509, rel=0.01)  # of 0.64 mm2, with wide lumina
    assert not found.mask[:45].any()
    assert found.mask[50:150, 50:150].mean() > 0.75


def test_pens_dust_and_black_borders_are_no_tissue(on_glass, tmp_path):
    image = on_glass.copy()
    image[330:350, 50:450] = 20, 110, 60  # a green pen
    image[350:370, 50:450] = 30, 40, 150  # a blue one
    image[:20] = 0
    image[50:54, 400:404] = 180, 90, 160  # a speck
    found, _ = find_tissue(slide_of(image, tmp_path))
    outside = found.mask.copy()
    outside[45:155, 45:155] = False
    assert not outside.any()


def test_a_slide_of_glass_alone_has_no_tissue(tmp_path):
    found, _ = find_tissue(slide_of(np.full((300, 300, 3), 243, np.uint8), tmp_path))
    assert (found.area_mm2, found.mask.any()) == (0, False)
    assert found.extent(Box(0, 0, 2400, 2400), 0.5) is None


def test_extent_is_the_smallest_box_around_the_tissue_of_a_box():
    mask = np.zeros((10, 10), bool)
    mask[2:4, 5:8] = True
    found = TissueMap(mask, 0.1)
    per_cell = int(CELL_UM / 0.5)
    assert found.extent(Box(0, 0, 160, 160), 0.5) == (5 * per_cell, 2 * per_cell, 3 * per_cell, 2 * per_cell)
    assert found.extent(Box(0, 0, 100, 160), 0.5) == (80, 32, 20, 32)
    assert found.extent(Box(0, 0, 80, 160), 0.5) is None


def test_points_are_held_by_cells_half_open():
    mask = np.zeros((4, 4), bool)
    mask[1, 2] = True
    points = np.array([[16.0, 8.0], [23.99, 15.99], [24.0, 8.0], [15.99, 8.0], [-1, 8], [999, 8]])
    assert TissueMap(mask, 0).holds(points).tolist() == [True, True, False, False, False, False]


def test_a_slide_of_which_nothing_can_be_read_is_told(slide_path, monkeypatch):
    slide = open_slide(slide_path)

    def broken(*_):
        raise CorruptDataError("a tile is broken")

    monkeypatch.setattr(slide.reader, "crop", broken)
    with pytest.raises(CorruptDataError, match=r"no part of .* can be read \(a tile is broken\)"):
        find_tissue(slide)
