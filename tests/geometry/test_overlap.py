"""Shared areas: closed forms, drawn pixels as an independent measure, shared corners and edges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscope.errors import ShapeError
from histoscope.geometry import area_px2, draw, iou, overlap, shared_px2

DIAMOND = np.full((1, 4), 4.0)


def _shared(ya: float, xa: float, a, yb: float, xb: float, b) -> float:
    return float(shared_px2([[ya, xa]], np.atleast_2d(a), [[yb, xb]], np.atleast_2d(b))[0])


@pytest.mark.parametrize("dx", [0, 1, 2, 3.5, 7, 8, 9, -3])
def test_diamonds_have_a_closed_form(dx: float) -> None:
    assert _shared(10, 10, DIAMOND, 10, 10 + dx, DIAMOND) == pytest.approx(
        0.5 * max(0, 8 - abs(dx)) ** 2, abs=1e-9
    )


@given(st.floats(1, 20), st.floats(1, 20), st.floats(0, 45))
@settings(max_examples=60, deadline=None)
def test_circles_have_a_closed_form(r: float, s: float, d: float) -> None:
    shared = _shared(50, 50, np.full(256, r), 50, 50 + np.float32(d), np.full(256, s))
    if d >= r + s:
        expected = 0.0
    elif d <= abs(r - s):
        expected = np.pi * min(r, s) ** 2
    else:
        u, v = (d * d + r * r - s * s) / (2 * d), (d * d + s * s - r * r) / (2 * d)
        expected = r * r * np.arccos(u / r) + s * s * np.arccos(v / s) - d * np.sqrt(r * r - u * u)
    assert shared == pytest.approx(expected, abs=3e-4 * np.pi * max(r, s) ** 2 + 2e-3)


@given(st.integers(0, 10**6), st.sampled_from([3, 7, 16, 64]))
@settings(max_examples=40, deadline=None)
def test_jagged_stars_against_fine_pixels(seed: int, n_rays: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(10, 100, (2, 1, n_rays))
    points = np.rint(rng.uniform(80, 170, (2, 1, 2)))
    drawn = [draw(point, star, (280, 280)) > 0 for point, star in zip(points, (a, b), strict=True)]
    shared = shared_px2(points[0], a, points[1], b)[0]
    edge = 12 * n_rays  # pixels on the outlines are in or out as a whole
    assert abs(shared - (drawn[0] & drawn[1]).sum()) < 0.02 * min(map(np.sum, drawn)) + edge + 100
    assert shared == pytest.approx(shared_px2(points[1], b, points[0], a)[0], abs=0.5)
    assert shared <= min(area_px2(a)[0], area_px2(b)[0]) + 0.5


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_shared_corners_and_edges_are_no_special_case(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.integers(1, 4, (1, 8)) * 2.0
    b = np.where(rng.random((1, 8)) < 0.6, a, rng.integers(1, 4, (1, 8)) * 2.0)  # most corners are the same
    point = np.array([[30, 30]])
    expected = area_px2(np.minimum(a, b))[0]
    least, most = expected, min(area_px2(a)[0], area_px2(b)[0])
    assert least - 0.1 <= shared_px2(point, a, point, b)[0] <= most + 0.1
    assert shared_px2(point, a, point, a)[0] == pytest.approx(area_px2(a)[0], abs=0.1)


def test_ratios() -> None:
    args = ([[5, 5]], DIAMOND, [[5, 9]], DIAMOND / 2)
    shared = shared_px2(*args)[0]
    assert shared == pytest.approx(2.0, abs=1e-3)
    assert overlap(*args)[0] == pytest.approx(2 / 8, abs=1e-3)
    assert iou(*args)[0] == pytest.approx(2 / (32 + 8 - 2), abs=1e-3)
    assert np.isnan(iou([[5, 5]], DIAMOND * 0, [[5, 5]], DIAMOND * 0)[0])
    assert np.isnan(overlap([[5, 5]], DIAMOND * 0, [[5, 5]], DIAMOND)[0])
    assert iou([[5, 5]], DIAMOND * 0, [[5, 5]], DIAMOND)[0] == 0


def test_far_and_huge_polygons_keep_their_precision() -> None:
    assert _shared(1e6, 1e6, DIAMOND, 1e6, 1e6 + 2, DIAMOND) == pytest.approx(18, abs=1e-9)
    assert _shared(0, 0, DIAMOND * 1e6, 0, 4e6, DIAMOND * 1e6) == pytest.approx(8e12, rel=1e-4)


def test_rows_are_pairs() -> None:
    rng = np.random.default_rng(0)
    points, distances = rng.uniform(0, 50, (2, 300, 2)), rng.uniform(1, 20, (2, 300, 16))
    together = shared_px2(points[0], distances[0], points[1], distances[1])
    alone = [
        shared_px2(
            points[0, k : k + 1], distances[0, k : k + 1], points[1, k : k + 1], distances[1, k : k + 1]
        )[0]
        for k in range(0, 300, 30)
    ]
    np.testing.assert_allclose(together[::30], alone, atol=1e-9)
    assert shared_px2(np.zeros((0, 2)), np.zeros((0, 8)), np.zeros((0, 2)), np.zeros((0, 8))).shape == (0,)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ShapeError, match="the same shape"):
        shared_px2([[0, 0]], np.ones((1, 8)), [[0, 0]], np.ones((1, 16)))
    with pytest.raises(ShapeError, match="candidate 0"):
        iou([[0, 0]], np.full((1, 8), -1.0), [[0, 0]], np.ones((1, 8)))
