"""Augmentations of others: albumentations' pipelines, and any function, in the loader."""

import random
from dataclasses import replace

import numpy as np
import pytest

from histoscope.augment import AUGMENTATIONS, from_albumentations
from histoscope.errors import ConfigError
from histoscope.train.loader import make_loader
from histoscope.types import Sample


class Flips:
    """Honours albumentations' call and seeding: random flips of image and masks together."""

    def __init__(self) -> None:
        self.rng = random.Random(0)

    def set_random_seed(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def __call__(self, image, masks=()):
        step = self.rng.choice([1, -1])
        return {"image": image[:, ::step], "masks": [mask[:, ::step] for mask in masks]}


@pytest.fixture
def sample(disks: Sample) -> Sample:
    top = int(disks.instances.max())
    return replace(disks, classes=np.append(0, np.arange(top) % 2 + 1).astype(np.uint8))


def real():
    a = pytest.importorskip("albumentations")
    return a.Compose(
        [a.RandomRotate90(p=0.8), a.Affine(rotate=(-40, 40), p=0.8), a.HueSaturationValue(p=0.5)]
    )


pipelines = pytest.mark.parametrize("make", [Flips, real])


@pipelines
def test_image_instances_and_classes_stay_together(make, sample):
    told = replace(sample, image=np.repeat((sample.instances > 0)[..., None] * np.uint8(200), 3, axis=2))
    augment = from_albumentations(make(), least_um2=0.0)
    for seed in range(8):
        moved = augment(told, np.random.default_rng(seed))
        inside = moved.instances > 0
        assert (moved.image[inside].max(axis=1) > 90).mean() > 0.95
        assert (moved.image[~inside].max(axis=1) < 110).mean() > 0.95
        assert moved.instances.max() + 1 == len(moved.classes)
        assert set(moved.classes[1:]) <= {1, 2}
    assert told.instances is sample.instances


@pipelines
def test_a_patch_is_the_same_whenever_it_is_drawn(make, sample):
    def patches(**how):
        loader = make_loader(
            [sample],
            lambda one: {"id": one.instances},
            patch_px=32,
            batch_size=3,
            augment=from_albumentations(make()),
            seed=7,
            **how,
        )
        return [batch.image.numpy() for batch in loader]

    whole, rest = patches(steps=4), patches(steps=4, start_step=2)
    np.testing.assert_array_equal(np.concatenate(whole[2:]), np.concatenate(rest))
    assert len({image.tobytes() for batch in whole for image in batch}) > 6


def test_without_classes_and_without_instances(sample):
    augment = from_albumentations(Flips())
    assert augment(replace(sample, classes=None), np.random.default_rng(0)).classes is None
    bare = augment(replace(sample, classes=None, instances=None), np.random.default_rng(0))
    assert bare.instances is None
    assert bare.image.shape == sample.image.shape


def test_what_cannot_be_seeded_or_gives_floats_is_refused(sample):
    class Floats(Flips):
        def __call__(self, image, masks=()):
            return {"image": image / 255, "masks": masks}

    with pytest.raises(ConfigError, match="set_random_seed"):
        from_albumentations(lambda image, masks: None)
    with pytest.raises(ConfigError, match="leave out Normalize and ToTensorV2"):
        from_albumentations(Floats())(sample, np.random.default_rng(0))


def _loader(sample, augment, **how):
    loader = make_loader([sample], lambda _: {}, patch_px=16, batch_size=1, steps=1, augment=augment, **how)
    return next(iter(loader))


def test_any_function_augments(sample):
    batch = _loader(sample, lambda patch, rng: replace(patch, image=np.full_like(patch.image, 9)))
    assert set(batch.image.unique().tolist()) == {9}


@pytest.mark.parametrize(
    ("augment", "why"),
    [
        (lambda patch, rng: patch.image, "gives a ndarray, expected a Sample"),
        (lambda patch, rng: Sample(patch.image[:8], patch.mpp, patch.instances[:8]), "the same size"),
        (lambda patch, rng: replace(patch, mpp=1.0), "at 1 um per pixel"),
        (lambda patch, rng: replace(patch, instances=None, classes=None), "drops the instance map"),
    ],
)
def test_what_spoils_a_patch_is_told(sample, augment, why):
    with pytest.raises(ConfigError, match=why):
        _loader(sample, augment)


def test_rare_classes_cannot_lift_what_has_no_settings(sample):
    with pytest.raises(ConfigError, match="rare_warp"):
        _loader(sample, lambda patch, rng: patch, rarity=[0.0, 0.5, 1.0])
    assert _loader(sample, AUGMENTATIONS["basic"], rarity=[0.0, 0.5, 1.0])
