"""Star distances and probabilities: stardist's numbers, figures worked out by hand, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from histoscope.errors import ConfigError, HistoscopeError, ShapeError
from histoscope.geometry import object_probability, star_distances


@pytest.mark.parametrize("n_rays", [4, 8, 32, 64])
@pytest.mark.parametrize("grid", [1, 2, 4])
def test_distances_equal_stardist(labels, n_rays: int, grid: int) -> None:
    star_dist = pytest.importorskip("stardist.geometry").star_dist
    for seed in range(3):
        ours = star_distances(labels(seed), n_rays, grid=grid)
        theirs = star_dist(labels(seed), n_rays, grid=(grid, grid))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
        assert ours.dtype == np.float32


@pytest.mark.parametrize("n_rays", [3, 12, 24])
def test_only_rays_with_ties_differ_from_stardist(labels, n_rays: int) -> None:
    star_dist = pytest.importorskip("stardist.geometry").star_dist
    disk = np.hypot(*(np.mgrid[:61, :61] - 30)) < 25
    differ = np.abs(star_distances(disk, n_rays) - star_dist(disk, n_rays))
    has_ties = np.isin(np.arange(n_rays) * 360 / n_rays % 90, (30, 60))
    assert differ[..., ~has_ties].max() < 1e-6
    assert np.quantile(differ[disk][:, has_ties], 0.99) < 1.001  # one step; more where a ray grazes the edge


@given(st.integers(0, 99), st.integers(1, 40), st.integers(1, 40), st.sampled_from([3, 8, 12, 32]))
@settings(max_examples=25, deadline=None)
def test_distances_do_not_depend_on_the_place(seed: int, top: int, left: int, n_rays: int) -> None:
    rng = np.random.default_rng(seed)
    small = ndimage.gaussian_filter(rng.normal(size=(30, 30)), 3) > 0
    small[[0, -1]], small[:, [0, -1]] = False, False
    moved = np.pad(small, ((top, 3), (left, 5)))
    np.testing.assert_array_equal(
        star_distances(moved, n_rays)[top:-3, left:-5], star_distances(small, n_rays)
    )


@given(st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_quarter_turns_roll_the_rays(seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 3, (9, 9))
    turned = star_distances(np.rot90(labels), 8)
    np.testing.assert_allclose(
        turned, np.roll(np.rot90(star_distances(labels, 8)), -2, axis=2), rtol=0, atol=1e-5
    )


def test_distances_on_the_axes_are_lengths_of_runs() -> None:
    labels = np.zeros((7, 9), int)
    labels[2:6, 3:9] = 4
    right, down, left, up = star_distances(labels, 4)[3, 5]
    assert (right, down, left, up) == (3.5, 2.5, 2.5, 1.5)


def test_ids_above_16_bits_are_told_apart() -> None:
    labels = np.zeros((9, 12), np.int64)
    labels[:, :4], labels[:, 4:8], labels[:, 8:] = 65_536, 3, 65_539
    low = np.where(labels == 65_536, 1, np.where(labels == 3, 2, 3))
    np.testing.assert_array_equal(star_distances(labels, 16), star_distances(low, 16))
    huge = np.where(labels == 65_536, 2**31 - 1, labels)
    np.testing.assert_array_equal(object_probability(huge), object_probability(low))


def test_holes_and_pieces_end_rays() -> None:
    labels = np.ones((1, 11), int)
    labels[0, 4], labels[0, 8] = 0, 2
    assert star_distances(labels, 4)[0, 5].tolist() == [2.5, 0.5, 0.5, 0.5]


def test_long_nuclei_need_no_special_room() -> None:
    labels = np.ones((3, 700), int)
    distances = star_distances(labels, 4)
    np.testing.assert_array_equal(distances[1, :, 0], np.arange(700)[::-1] + 0.5)
    np.testing.assert_array_equal(star_distances(labels.T, 4)[:, 1, 1], distances[1, :, 0])


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (1, 1), (1, 7), (5, 3)])
def test_small_and_empty_maps(shape: tuple[int, int]) -> None:
    expected = tuple(-(-length // 4) for length in shape)
    for value in (0, 1):
        full = np.full(shape, value)
        assert star_distances(full, 32, grid=4).shape == (*expected, 32)
        assert object_probability(full, grid=4).shape == expected
        assert (star_distances(full, 32) > 0).all() == (value > 0 or full.size == 0)


@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.uint16, np.int64, np.uint64])
def test_any_integers_in_any_memory_order(labels, kind: type) -> None:
    wide = np.repeat(labels(1).clip(0, 1).astype(kind), 2, axis=1)[:, ::2]
    read_only = np.asfortranarray(labels(1).clip(0, 1).astype(kind))
    read_only.flags.writeable = False
    expected = star_distances(labels(1).clip(0, 1), 8)
    for array in (wide, read_only):
        before = array.copy()
        np.testing.assert_array_equal(star_distances(array, 8), expected)
        assert object_probability(array).max() == 1
        np.testing.assert_array_equal(array, before)


def test_probability_equals_stardist(labels) -> None:
    edt_prob = pytest.importorskip("stardist.utils").edt_prob
    for seed in range(4):
        np.testing.assert_allclose(
            object_probability(labels(seed)), edt_prob(labels(seed)), rtol=0, atol=3e-7
        )
    with pytest.warns(UserWarning, match="constant label"):
        filled = edt_prob(np.ones((7, 9), int))
    np.testing.assert_allclose(object_probability(np.ones((7, 9), int)), filled, rtol=0, atol=3e-7)


@given(st.integers(0, 999), st.integers(1, 12), st.integers(1, 12), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_probability_is_the_distance_to_another_id_by_definition(
    seed: int, height: int, width: int, n: int
) -> None:
    labels = np.random.default_rng(seed).integers(0, n + 1, (height, width))
    if labels.min() == labels.max():
        labels[0, 0] = 0
    if labels.min() == labels.max():
        return
    places = np.argwhere(labels >= 0)
    far = np.hypot(*(places[:, None] - places).astype(float).transpose(2, 0, 1))
    near = np.where(labels.ravel()[:, None] != labels.ravel(), far, np.inf).min(1).reshape(labels.shape)
    expected = np.zeros(labels.shape)
    for number in np.unique(labels[labels > 0]):
        mine = labels == number
        expected[mine] = near[mine] / near[mine].max()
    np.testing.assert_allclose(object_probability(labels), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(object_probability(labels, grid=3), expected[::3, ::3], rtol=0, atol=1e-6)


def test_many_threads_give_the_same(labels, monkeypatch: pytest.MonkeyPatch) -> None:
    import numba as nb

    big = labels(5, (300, 400), 200)
    one = star_distances(big[:60], 16), object_probability(big)
    monkeypatch.setattr(nb.config, "NUMBA_NUM_THREADS", 3)
    monkeypatch.setattr("histoscope.geometry.distances._SMALLEST", 1)
    np.testing.assert_array_equal(star_distances(big[:60], 16), one[0])
    np.testing.assert_array_equal(object_probability(big), one[1])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((3, 3, 3), int), "shape"),
        (np.zeros((3, 3)), "integers"),
        (np.full((3, 3), -1), "from -1"),
        (np.full((3, 3), 2**31), "relabel"),
    ],
)
def test_bad_labels_are_refused(bad: np.ndarray, message: str) -> None:
    for function in (object_probability, lambda labels: star_distances(labels, 8)):
        with pytest.raises(ShapeError, match=message):
            function(bad)


@pytest.mark.parametrize("settings", [{"n_rays": 2}, {"n_rays": 8.5}, {"n_rays": 8, "grid": 0}])
def test_bad_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="expected a whole number"):
        star_distances(np.ones((3, 3), int), **settings)
    assert issubclass(ConfigError, HistoscopeError)
