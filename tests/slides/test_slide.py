"""Reading: boxes, edges, other resolutions, threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from histoscope.errors import ConfigError
from histoscope.files import write_image
from histoscope.slides import Box, open_slide
from histoscope.slides.levels import levels_of
from histoscope.slides.resampling import resampled, source_range, weights


def area_mean(image, box, ratio):
    """Plain mean by area, pixel by pixel: the slow twin."""
    height, width = image.shape[:2]
    out = np.empty((box.height, box.width, 3))
    for i in range(box.height):
        for j in range(box.width):
            y0, x0 = (box.y + i) * ratio[1], (box.x + j) * ratio[0]
            y1, x1 = min(y0 + ratio[1], height), min(x0 + ratio[0], width)
            total, area = np.zeros(3), 0.0
            for y in range(int(y0), int(np.ceil(y1))):
                for x in range(int(x0), int(np.ceil(x1))):
                    share = (min(y1, y + 1) - max(y0, y)) * (min(x1, x + 1) - max(x0, x))
                    total += share * image[y, x]
                    area += share
            out[i, j] = total / area
    return out


@given(
    ratio=st.tuples(st.floats(1, 5), st.floats(1, 5)),
    place=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    seed=st.integers(0, 99),
)
def test_coarser_pixels_are_means_by_area(ratio, place, seed):
    image = np.random.default_rng(seed).integers(0, 256, (31, 37, 3)).astype(np.uint8)
    box = Box(*place, 4, 3)
    (x0, x1), (y0, y1) = source_range(box.x, 4, ratio[0]), source_range(box.y, 3, ratio[1])
    crop = image[y0:y1, x0:x1]
    seen = resampled(crop, (x0, y0, x1 - x0, y1 - y0), box, ratio, (37, 31))
    assert np.abs(seen - area_mean(image, box, ratio)).max() <= 0.5 + 1e-3


@given(ratio=st.floats(0.2, 6), first=st.integers(-3, 50), count=st.integers(1, 9))
def test_weights_sum_to_one_and_stay_in_their_range(ratio, first, count):
    begin, end = source_range(first, count, ratio)
    starts, shares = weights(first, count, ratio, begin, 400)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
    last = starts[:, None] + np.arange(shares.shape[1])
    assert starts.min() >= 0
    assert last[shares > 0].max() < end - begin


@pytest.mark.parametrize("mpp", [0.25, 0.4, 0.5, 0.8, 1.0, 1.3, 2.0, 7.9])
def test_a_pixel_does_not_depend_on_the_box_that_it_is_read_with(slide_path, mpp):
    slide = open_slide(slide_path)
    width, height = slide.size_at(mpp)
    whole = slide.read_at(Box(0, 0, width, height), mpp)
    rng = np.random.default_rng(0)
    for _ in range(12):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        box = Box(x, y, min(int(rng.integers(1, 200)), width - x), min(int(rng.integers(1, 200)), height - y))
        expected = whole[box.y : box.y + box.height, box.x : box.x + box.width]
        assert np.array_equal(slide.read_at(box, mpp), expected), box


def test_sizes_round_up_and_scales_are_never_rounded(tissue, tmp_path):
    write_image(tmp_path / "a.tif", tissue, mpp=0.5)
    slide = open_slide(tmp_path / "a.tif")
    assert slide.size_at(1.0) == (450, 350)
    assert slide.size_at(0.7) == (643, 500)
    assert slide.scale_at(0.7) == (1.4, 1.4)


def test_the_coarsest_level_that_is_fine_enough_is_read(slide_path):
    slide = open_slide(slide_path)
    assert [slide.level_for((s, s)) for s in (0.5, 1.0, 1.9, 2.0, 3.9, 4.0, 99)] == [0, 0, 0, 1, 1, 2, 2]


def test_other_places_are_white(slide_path):
    slide = open_slide(slide_path)
    assert (slide.read(Box(-50, -50, 40, 40)) == 255).all()
    assert (slide.read(Box(2000, 0, 10, 10)) == 255).all()
    seen = slide.read(Box(890, 690, 20, 20))
    assert (seen[:, 10:] == 255).all()
    assert (seen[10:] == 255).all()
    assert np.array_equal(seen[:10, :10], slide.read(Box(890, 690, 10, 10)))


def test_bad_boxes_and_levels_are_told(slide_path):
    slide = open_slide(slide_path)
    with pytest.raises(ConfigError, match="level is 3, expected 0 to 2"):
        slide.read(Box(0, 0, 10, 10), 3)
    with pytest.raises(ConfigError, match="width and a height of at least 1"):
        slide.read(Box(0, 0, 0, 10))


@pytest.mark.parametrize("reader", ["tiff", "openslide"])
def test_threads_read_what_one_reads(slide_path, reader):
    slide = open_slide(slide_path, reader)
    boxes = [Box(x, y, 150, 130) for x in range(0, 900, 90) for y in range(0, 700, 90)]
    alone = [slide.read(box) for box in boxes]
    other = open_slide(slide_path, reader)
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(other.read, boxes))
    assert all(np.array_equal(one, two) for one, two in zip(alone, together, strict=True))


def test_downsamples_do_not_drift():
    sizes = [(100_001, 80_003), (25_000, 20_000), (6_250, 5_000)]
    assert [level.downsample for level in levels_of(sizes)] == [(1, 1), (4, 4), (16, 16)]
    odd = levels_of([(1000, 800), (333, 250)])
    assert odd[1].downsample == pytest.approx((3.003, 3.2), rel=1e-3)
