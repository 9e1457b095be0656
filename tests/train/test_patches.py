import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from histoscope.errors import ConfigError, DataError
from histoscope.train.patches import PatchSampler, crop
from histoscope.types import Sample


def sample(shape=(60, 80), mpp=0.5, nuclei=((10, 10, 1), (40, 60, 2)), name="a"):
    labels = np.zeros(shape, np.int32)
    for k, (row, column, _) in enumerate(nuclei, start=1):
        labels[row - 2 : row + 3, column - 2 : column + 3] = k
    classes = np.array([0, *(kind for _, _, kind in nuclei)], np.uint8)
    rows, columns = np.indices(shape)
    image = np.stack([rows, columns, (labels > 0) * 255], axis=2).astype(np.uint8)
    return Sample(image, mpp, labels, classes, name=name)


@given(top=st.integers(-150, 150), left=st.integers(-150, 150), size=st.integers(1, 130))
def test_a_crop_is_a_cut_of_the_mirrored_image_and_its_labels(top, left, size):
    whole = sample((31, 23), nuclei=((5, 5, 1), (20, 15, 2)))
    cut = crop(whole, top, left, size)
    padded = np.pad(whole.image, ((300, 300), (300, 300), (0, 0)), mode="reflect")
    assert np.array_equal(cut.image, padded[top + 300 : top + 300 + size, left + 300 : left + 300 + size])
    assert np.array_equal(cut.image[:, :, 2] > 0, cut.instances > 0)
    assert cut.classes is whole.classes


def test_a_crop_inside_copies_nothing():
    whole = sample()
    assert np.shares_memory(crop(whole, 3, 4, 20).image, whole.image)


def test_a_crop_of_a_single_pixel_row():
    thin = Sample(np.arange(12, dtype=np.uint8).reshape(1, 4, 3), 0.5)
    assert crop(thin, -2, 1, 5).image.shape == (5, 5, 3)
    assert crop(thin, -2, 1, 5).instances is None


def test_all_places_of_all_samples_are_drawn_equally():
    small, large = sample((33, 33), nuclei=(), name="s"), sample((70, 33), nuclei=(), name="l")
    sampler = PatchSampler([small, large], 32)
    rng = np.random.default_rng(0)
    draws = [sampler.draw(rng) for _ in range(2000)]
    assert {draw.image.shape for draw in draws} == {(32, 32, 3)}
    assert np.mean([draw.name == "s" for draw in draws]) == pytest.approx(0.5, abs=0.04)
    tops = np.bincount([draw.image[0, 0, 0] for draw in draws if draw.name == "l"], minlength=39)
    assert len(tops) == 39
    assert tops.min() > 0


def test_the_margin_surrounds_the_same_patch():
    sampler = PatchSampler([sample()], 24, on_nuclei=0.5)
    for seed in range(20):
        tight, wide = (sampler.draw(np.random.default_rng(seed), margin_px=m) for m in (0, 7))
        assert np.array_equal(wide.image[7:-7, 7:-7], tight.image)
        assert np.array_equal(wide.instances[7:-7, 7:-7], tight.instances)


def test_patches_on_nuclei_have_one_in_the_middle_or_at_the_border_near_it():
    sampler = PatchSampler([sample()], 24, on_nuclei=1.0)
    rng = np.random.default_rng(0)
    corners = {tuple(sampler.draw(rng).image[0, 0, :2].tolist()) for _ in range(50)}
    assert corners == {(0, 0), (28, 48)}  # (10, 10) is too near the corner; (40, 60) less half a patch


def test_the_share_on_nuclei_is_kept():
    sampler = PatchSampler([sample((200, 200), nuclei=((100, 100, 1),))], 8, on_nuclei=0.4)
    rng = np.random.default_rng(0)
    middle = [sampler.draw(rng).image[0, 0, :2].tolist() == [96, 96] for _ in range(1500)]
    assert np.mean(middle) == pytest.approx(0.4, abs=0.04)


def test_class_weights_choose_the_nuclei():
    whole = sample((200, 200), nuclei=((50, 50, 1), (50, 100, 1), (50, 150, 1), (150, 100, 2), (150, 150, 3)))
    sampler = PatchSampler([whole], 20, on_nuclei=1.0, class_weights=[0, 1, 3, 0])
    rng = np.random.default_rng(0)
    kinds = []
    for _ in range(1500):
        patch = sampler.draw(rng)
        kinds.append(int(whole.classes[patch.instances[10, 10]]))
    assert set(kinds) == {1, 2}
    assert np.mean(np.array(kinds) == 2) == pytest.approx(0.5, abs=0.04)


def test_samples_smaller_than_a_patch_lie_in_its_middle():
    small = sample((20, 30), nuclei=((10, 10, 1),))
    for share in (0.0, 1.0):
        patch = PatchSampler([small], 64, on_nuclei=share).draw(np.random.default_rng(0))
        assert patch.image.shape == (64, 64, 3)
        assert np.array_equal(patch.image[22:42, 17:47], small.image)


def test_without_nuclei_places_are_drawn_uniformly():
    bare = Sample(np.zeros((50, 50, 3), np.uint8), 0.5)
    empty = sample((50, 50), nuclei=())
    sampler = PatchSampler([bare, empty], 16, on_nuclei=1.0, class_weights=[1, 1])
    assert {sampler.draw(np.random.default_rng(s)).image.shape for s in range(20)} == {(16, 16, 3)}


def test_nuclei_without_classes_count_as_class_0():
    whole = sample()
    unclassed = Sample(whole.image, 0.5, whole.instances)
    sampler = PatchSampler([unclassed], 24, on_nuclei=1.0, class_weights=[1.0])
    assert {int(sampler.draw(np.random.default_rng(s)).image[0, 0, 0]) for s in range(20)} == {0, 28}


def test_no_samples():
    with pytest.raises(DataError, match="no samples"):
        PatchSampler([], 32)


def test_samples_of_several_resolutions():
    with pytest.raises(DataError, match=r"'b' has 0\.25 .* 'a' has 0\.5; .*resample"):
        PatchSampler([sample(), sample(mpp=0.25, name="b")], 32)
    PatchSampler([sample(mpp=0.25), sample(mpp=0.2505)], 32)  # the same scanner, read from its files


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size_px": 0}, "patch_px is 0"),
        ({"size_px": -3}, "patch_px is -3"),
        ({"size_px": 8, "on_nuclei": 1.5}, "on_nuclei is 1.5"),
        ({"size_px": 8, "class_weights": []}, "class_weights"),
        ({"size_px": 8, "class_weights": [0, 0, 0]}, "class_weights"),
        ({"size_px": 8, "class_weights": [1, -1, 0]}, "class_weights"),
        ({"size_px": 8, "class_weights": [1, float("nan"), 0]}, "class_weights"),
    ],
)
def test_settings_out_of_range(options, message):
    with pytest.raises(ConfigError, match=message):
        PatchSampler([sample()], **options)


def test_too_few_class_weights():
    with pytest.raises(ConfigError, match="has 2 entries, but there are nuclei of class 2"):
        PatchSampler([sample()], 8, on_nuclei=1.0, class_weights=[1, 1]).draw(np.random.default_rng(0))


def test_an_empty_image():
    with pytest.raises(DataError, match="'void' has no pixels"):
        PatchSampler([Sample(np.zeros((0, 4, 3), np.uint8), 0.5, name="void")], 8)
