"""Corners, areas and drawing: stardist's pixels, circles, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscope.errors import ShapeError
from histoscope.geometry import area_px2, draw, perimeter_px, polygons


def _random(seed: int, n: int, n_rays: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-10, 70, (n, 2)).astype(np.float32)
    whole = rng.random(n) < 0.5
    points[whole] = np.rint(points[whole])
    distances = (rng.uniform(0, 12, (n, 1)) * rng.uniform(0.5, 1, (n, n_rays))).astype(np.float32)
    distances[rng.random(n) < 0.3] = rng.integers(0, 8)  # corners and edges on pixels
    return points, distances, rng.permutation(n).astype(np.float32)


@given(st.integers(0, 10**6), st.integers(0, 12), st.sampled_from([3, 4, 8, 32, 64]))
@settings(max_examples=60, deadline=None)
def test_drawn_pixels_are_those_of_stardist(seed: int, n: int, n_rays: int) -> None:
    geometry = pytest.importorskip("stardist.geometry")
    points, distances, probability = _random(seed, n, n_rays)
    ours = draw(points, distances, (61, 50), probability=probability)
    np.testing.assert_array_equal(
        ours, geometry.polygons_to_label(distances, points, (61, 50), prob=probability)
    )
    assert ours.dtype == np.int32


def test_corners_are_those_of_stardist() -> None:
    dist_to_coord = pytest.importorskip("stardist.geometry").dist_to_coord
    points, distances, _ = _random(0, 50, 32)
    np.testing.assert_array_equal(
        polygons(points, distances), dist_to_coord(distances, points).transpose(0, 2, 1)
    )


def test_the_first_wins_among_equals() -> None:
    points, distances = np.array([[5, 5], [5, 8]]), np.full((2, 16), 4.0)
    first = draw(points, distances, (11, 14))
    assert first[5, 6] == 1
    np.testing.assert_array_equal(first, draw(points, distances, (11, 14), probability=[0.7, 0.7]))
    assert draw(points, distances, (11, 14), probability=[0.7, 0.8])[5, 6] == 2


def test_bands_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba as nb

    points, distances, _ = _random(3, 200, 32)
    one = draw(points * 10, distances * 5, (700, 600))
    monkeypatch.setattr(nb.config, "NUMBA_NUM_THREADS", 1)
    np.testing.assert_array_equal(draw(points * 10, distances * 5, (700, 600)), one)


def test_circles() -> None:
    distances = np.full((1, 256), 10.0)
    assert area_px2(distances)[0] == pytest.approx(np.pi * 100, rel=2e-4)
    assert perimeter_px(distances)[0] == pytest.approx(np.pi * 20, rel=2e-4)
    drawn = draw([[20, 20]], distances, (41, 41))
    assert drawn.sum() == pytest.approx(np.pi * 100, rel=0.02)


@given(st.integers(0, 10**6), st.sampled_from([3, 4, 16, 64]))
@settings(max_examples=30, deadline=None)
def test_measures_are_those_of_the_corners(seed: int, n_rays: int) -> None:
    points, distances, _ = _random(seed, 5, n_rays)
    corners = polygons(np.zeros_like(points), distances).astype(np.float64)
    following = np.roll(corners, -1, axis=1)
    area = 0.5 * (corners[..., 1] * following[..., 0] - corners[..., 0] * following[..., 1]).sum(1)
    np.testing.assert_allclose(area_px2(distances), area, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(
        perimeter_px(distances),
        np.hypot(*(following - corners).transpose(2, 0, 1)).sum(1),
        rtol=1e-4,
        atol=1e-4,
    )


def test_nothing_and_beyond_the_border() -> None:
    assert draw(np.zeros((0, 2)), np.zeros((0, 32)), (4, 5)).tolist() == np.zeros((4, 5)).tolist()
    assert draw([[2, 2]], np.full((1, 8), 3.0), (0, 5)).shape == (0, 5)
    assert not draw([[-50, 2]], np.full((1, 8), 3.0), (4, 5)).any()
    assert (draw([[2, 2]], np.full((1, 8), 300.0), (4, 5)) == 1).all()
    assert area_px2(np.zeros((0, 32))).shape == perimeter_px(np.zeros((0, 32))).shape == (0,)
    assert polygons(np.zeros((0, 2)), np.zeros((0, 32))).shape == (0, 32, 2)


def test_arguments_stay_as_they_are() -> None:
    points, distances, probability = _random(1, 6, 8)
    wide = np.repeat(distances, 2, axis=1)[:, ::2]
    for array in (points, distances, probability, wide):
        array.flags.writeable = False
    np.testing.assert_array_equal(
        draw(points, wide, (50, 50), probability=probability),
        draw(points, distances, (50, 50), probability=probability),
    )


def test_bad_input_is_refused() -> None:
    for function in (area_px2, perimeter_px):
        with pytest.raises(ShapeError, match="expected \\(candidates, rays\\)"):
            function(np.ones(8))
        with pytest.raises(ShapeError, match="candidate 0"):
            function(np.full((2, 8), np.nan))
    with pytest.raises(ShapeError, match="points have shape"):
        draw(np.zeros((3, 2)), np.ones((2, 8)), (5, 5))
    with pytest.raises(ShapeError, match="height and width"):
        draw(np.zeros((2, 2)), np.ones((2, 8)), (-1, 5))
    with pytest.raises(ShapeError, match="probability has shape"):
        draw(np.zeros((2, 2)), np.ones((2, 8)), (5, 5), probability=[1])
