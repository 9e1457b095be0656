from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscope.augment import (
    AUGMENTATIONS,
    AugmentConfig,
    AugmentParams,
    apply,
    augment,
    margin_px,
    sample_params,
)
from histoscope.errors import ConfigError, ShapeError
from histoscope.types import Sample

NOTHING = AugmentConfig()
MOVES = replace(AUGMENTATIONS["strong"], color_chance=0.0, blur_chance=0.0, noise_chance=0.0)


def painted(seed=0, shape=(96, 80), n=14, mpp=0.5):
    """Ellipses, and an image that says which: red the class, green and blue the id."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    for k in range(1, n + 1):
        center = (int(rng.integers(shape[1])), int(rng.integers(shape[0])))
        axes = (int(rng.integers(4, 10)), int(rng.integers(4, 10)))
        cv2.ellipse(labels, center, axes, float(rng.integers(180)), 0, 360, k, -1)
    classes = np.concatenate(([0], rng.integers(1, 4, n))).astype(np.uint8)
    return Sample(paint(labels, classes), mpp, labels, classes, name="painted")


def paint(labels, classes):
    inside = labels > 0
    return np.stack([classes[labels] * 60, inside * 200, (labels % 7) * 30], axis=2).astype(np.uint8)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_an_image_painted_from_labels_stays_aligned_with_them(seed):
    sample = painted(seed % 7)
    out = augment(sample, MOVES, np.random.default_rng(seed))
    drawn = out.image[:, :, 1] >= 100
    labelled = out.instances > 0
    # linear and nearest differ only on outlines and in dropped slivers: well inside and outside all agrees
    kernel = np.ones((3, 3), np.uint8)
    inside = cv2.erode(labelled.astype(np.uint8), kernel) > 0
    assert drawn[inside].all()
    kept = 1 - cv2.dilate(labelled.astype(np.uint8), np.ones((5, 5), np.uint8))
    stray = cv2.connectedComponentsWithStats((drawn & (kept > 0)).astype(np.uint8))[2][1:, cv2.CC_STAT_AREA]
    assert stray.max(initial=0) <= 8  # slivers under 1 um2 are 4 px and what linear interpolation adds around


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_classes_follow_their_nuclei(seed):
    sample = painted(seed % 5)
    out = augment(sample, MOVES, np.random.default_rng(seed))
    for k in range(1, len(out.classes)):
        core = cv2.erode((out.instances == k).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        # paints are 60 apart; a nucleus made smaller may show a little of a neighbour of another class
        if core.any():
            assert abs(np.median(out.image[:, :, 0][core]) - float(out.classes[k]) * 60) < 30


@given(seed=st.integers(0, 10**6), size=st.sampled_from([None, 48]))
@settings(max_examples=30, deadline=None)
def test_ids_are_contiguous_connected_and_no_slivers(seed, size):
    sample = painted(seed % 5)
    out = augment(sample, replace(MOVES, dihedral_chance=0.0), np.random.default_rng(seed), size_px=size)
    ids, areas = np.unique(out.instances[out.instances > 0], return_counts=True)
    assert ids.tolist() == list(range(1, len(ids) + 1))
    if size is not None or out.instances is not sample.instances:
        assert len(out.classes) == len(ids) + 1
        assert areas.min(initial=4) >= 4
        for k in ids:
            assert cv2.connectedComponents((out.instances == k).astype(np.uint8), connectivity=8)[0] == 2
    assert out.classes[0] == 0
    assert set(out.classes.tolist()) <= set(sample.classes.tolist())


def test_a_nucleus_cut_in_two_becomes_two_of_its_class():
    labels = np.zeros((40, 40), np.int32)
    labels[10:30, 4:36] = 9
    labels[16:24, 4:36] = 0
    labels[16:24, 30:36] = 9  # a U on its side; its bend lies outside the middle square
    classes = np.zeros(10, np.uint8)
    classes[9] = 3
    sample = Sample(paint(labels, classes), 0.5, labels, classes)
    out = apply(sample, NOTHING, AugmentParams(), size_px=20)
    assert out.instances.max() == 2
    assert out.classes.tolist() == [0, 3, 3]


def test_mirrored_copies_are_nuclei_of_their_own():
    labels = np.zeros((64, 64), np.int32)
    labels[28:36, 6:14] = 5
    sample = Sample(np.full((64, 64, 3), 9, np.uint8), 0.5, labels, np.array([0, 0, 0, 0, 0, 2], np.uint8))
    out = apply(sample, NOTHING, AugmentParams(zoom=0.6))
    assert out.instances.max() == 2
    assert out.classes.tolist() == [0, 2, 2]


def test_zero_strength_gives_the_sample_itself():
    sample = painted()
    assert apply(sample, NOTHING, AugmentParams()) is sample
    assert augment(sample, NOTHING, np.random.default_rng(0)) is sample
    certain = AugmentConfig(1.0, *(0.0,) * 15)
    ways = dict.fromkeys(("affine", "elastic", "color", "blur", "noise"), 1.0)
    still = replace(certain, dihedral_chance=0.0, **{f"{name}_chance": value for name, value in ways.items()})
    assert augment(sample, still, np.random.default_rng(0)) is sample


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("turns", range(4))
def test_each_dihedral_position_comes_back(turns, flip):
    sample = painted()
    params = AugmentParams(turns=turns, flip=flip)
    out = sample
    for _ in range(4):
        out = apply(out, NOTHING, params)
    assert np.array_equal(out.image, sample.image)
    assert np.array_equal(out.instances, sample.instances)
    assert out.classes is sample.classes


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("turns", range(4))
def test_turning_pixels_and_mapping_them_agree(turns, flip):
    sample = painted()
    exact = apply(sample, NOTHING, AugmentParams(turns=turns, flip=flip))
    # a rotation too small to move anything by a 32nd of a pixel takes the other way
    mapped = apply(sample, NOTHING, AugmentParams(turns=turns, flip=flip, angle_deg=1e-6))
    assert np.array_equal(exact.image, mapped.image)
    assert np.array_equal(exact.instances > 0, mapped.instances > 0)


def test_a_rotation_agrees_with_opencv():
    sample = painted(3, shape=(65, 65))
    out = apply(sample, NOTHING, AugmentParams(angle_deg=30, zoom=1.25))
    matrix = cv2.getRotationMatrix2D((32, 32), 30, 1.25)
    expected = cv2.warpAffine(sample.image, matrix, (65, 65), borderMode=cv2.BORDER_REFLECT_101)
    inside = slice(8, -8)
    difference = cv2.absdiff(out.image, expected)[inside, inside]
    assert (difference <= 8).mean() > 0.99  # coordinates are rounded to a 32nd of a pixel in both


def test_a_disc_keeps_its_area_times_the_zoom_squared():
    labels = np.zeros((128, 128), np.int32)
    cv2.circle(labels, (64, 64), 25, 1, -1)
    sample = Sample(np.zeros((128, 128, 3), np.uint8), 0.5, labels)
    for zoom in (0.8, 1.0, 1.4):
        out = apply(sample, NOTHING, AugmentParams(angle_deg=20, zoom=zoom))
        assert (out.instances > 0).sum() == pytest.approx((labels > 0).sum() * zoom**2, rel=0.02)


def test_elastic_shifts_stay_within_their_amount_and_never_fold():
    from histoscope.augment.warp import source_map

    config = AugmentConfig(elastic_um=7.6, elastic_spacing_um=16.0)
    columns, _ = np.meshgrid(np.arange(120), np.arange(120))
    for seed in range(20):
        x, y = source_map((120, 120), (120, 120), config, AugmentParams(elastic_seed=seed), 0.5)
        assert np.abs(x - columns).max() <= 7.6 / 0.5 + 1e-3
        assert np.abs(x - columns).mean() > 0.5
        jacobian = np.gradient(x, axis=1) * np.gradient(y, axis=0) - np.gradient(x, axis=0) * np.gradient(
            y, axis=1
        )
        assert jacobian.min() > 0


def test_lengths_are_physical():
    from histoscope.augment.warp import source_map

    config = AugmentConfig(elastic_um=4.0, elastic_spacing_um=16.0)
    params = AugmentParams(elastic_seed=3)
    fine = np.stack(source_map((257, 257), (257, 257), config, params, 0.25))
    coarse = np.stack(source_map((129, 129), (129, 129), config, params, 0.5))
    assert np.abs(fine[:, ::2, ::2] / 2 - coarse).max() < 1e-3


def test_replay_from_the_parameters_alone_is_equal():
    sample = painted()
    rng = np.random.default_rng(4)
    config = replace(AUGMENTATIONS["strong"], noise_chance=1.0, elastic_chance=1.0, blur_chance=1.0)
    for _ in range(5):
        params = sample_params(config, rng)
        first, again = (apply(sample, config, params, size_px=64) for _ in range(2))
        assert np.array_equal(first.image, again.image)
        assert np.array_equal(first.instances, again.instances)
        assert np.array_equal(first.classes, again.classes)


def test_the_same_seed_gives_the_same_and_another_another():
    sample = painted()
    a, b, c = (augment(sample, AUGMENTATIONS["strong"], np.random.default_rng(s)).image for s in (1, 1, 2))
    assert np.array_equal(a, b)
    assert a.shape != c.shape or not np.array_equal(a, c)


def test_the_sample_is_never_changed():
    sample = painted()
    image, instances, classes = sample.image.copy(), sample.instances.copy(), sample.classes.copy()
    for seed in range(10):
        augment(sample, AUGMENTATIONS["strong"], np.random.default_rng(seed))
    assert np.array_equal(sample.image, image)
    assert np.array_equal(sample.instances, instances)
    assert np.array_equal(sample.classes, classes)


def test_read_only_memory_and_views_are_fine():
    sample = painted(shape=(96, 96))
    sample.image.flags.writeable = False
    view = replace(sample, image=sample.image[::-1, 10:90][:80], instances=sample.instances[::-1, 10:90][:80])
    out = augment(view, AUGMENTATIONS["strong"], np.random.default_rng(0), size_px=64)
    assert out.image.shape == (64, 64, 3)
    assert out.image.flags.c_contiguous


def test_the_middle_comes_out_when_a_size_is_asked_for():
    sample = painted(shape=(101, 90))
    out = apply(sample, NOTHING, AugmentParams(), size_px=40)
    assert np.array_equal(out.image, sample.image[30:70, 25:65])
    assert np.array_equal(out.instances > 0, sample.instances[30:70, 25:65] > 0)


def test_with_its_margin_a_patch_shows_no_mirrored_border():
    config = replace(MOVES, dihedral_chance=0.0)
    size = 40
    margin = margin_px(config, size, 0.5)
    whole = size + 2 * margin
    image = np.full((whole + 40, whole + 40, 3), 255, np.uint8)  # white beyond the crop
    image[20:-20, 20:-20] = 90
    inner = Sample(np.ascontiguousarray(image[20:-20, 20:-20]), 0.5)
    outer = Sample(image, 0.5)
    for seed in range(20):
        a, b = (augment(s, config, np.random.default_rng(seed), size_px=size).image for s in (inner, outer))
        assert np.array_equal(a, b)


def test_a_sample_that_is_too_small_is_refused():
    with pytest.raises(ShapeError, match=r"96 x 80 px, smaller than the 90 px"):
        augment(painted(), NOTHING, np.random.default_rng(0), size_px=90)


def test_images_without_truth_and_patch_classes_pass_through():
    bare = Sample(painted().image, 0.5, label=4, name="n", source="s", patient="p")
    out = augment(bare, AUGMENTATIONS["strong"], np.random.default_rng(0), size_px=32)
    assert (out.instances, out.classes, out.label) == (None, None, 4)
    assert (out.name, out.source, out.patient, out.mpp) == ("n", "s", "p", 0.5)
    empty = replace(painted(), instances=np.zeros((96, 80), np.int32), classes=np.zeros(1, np.uint8))
    out = augment(empty, AUGMENTATIONS["strong"], np.random.default_rng(0), size_px=32)
    assert out.instances.max() == 0
    assert out.classes.tolist() == [0]


def test_ids_beyond_16_bits_survive():
    labels = np.zeros((64, 64), np.int32)
    labels[20:40, 20:40] = 2**24 + 1  # float32 could not hold it
    labels[20:40, 40:50] = 2**24
    out = apply(Sample(np.zeros((64, 64, 3), np.uint8), 0.5, labels), NOTHING, AugmentParams(angle_deg=5))
    assert out.instances.max() == 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 3)])
def test_tiny_images_do_not_break(shape):
    sample = Sample(np.full((*shape, 3), 120, np.uint8), 0.5, np.ones(shape, np.int32))
    for seed in range(10):
        out = augment(
            sample, replace(AUGMENTATIONS["strong"], dihedral_chance=0), np.random.default_rng(seed)
        )
        assert out.image.shape == (*shape, 3)


def test_a_name_is_no_configuration():
    sample = Sample(np.zeros((8, 8, 3), np.uint8), 0.5)
    with pytest.raises(ConfigError, match=r"'default', expected AugmentConfig, such as .*get"):
        augment(sample, "default", 0)
