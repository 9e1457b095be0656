"""Distractors mislead the eye and leave the labels alone; what is not asked for changes no byte."""

import dataclasses
import hashlib

import numpy as np
import pytest

from histoscope import synth
from histoscope.errors import ConfigError

EVERY = [field.name for field in dataclasses.fields(synth.DistractorSpec)]


def _draw(**values: float) -> synth.cohort:
    spec = synth.DistractorSpec(**values) if values else None
    return synth.generate((240, 240), mpp=0.5, distractors=spec, rng=np.random.default_rng(3))


@pytest.mark.parametrize("name", EVERY)
def test_each_changes_the_picture_and_no_label(name: str) -> None:
    plain, dirty = _draw(), _draw(**{name: 0.6 if name.endswith("fraction") else 400.0})
    assert np.array_equal(plain.instances, dirty.instances)
    assert np.array_equal(plain.classes, dirty.classes)
    changed = np.abs(plain.image.astype(int) - dirty.image).max(axis=2) > 40
    assert 0.001 < changed.mean() < 0.9


def test_none_asked_for_is_none_drawn() -> None:
    empty = synth.generate(
        (240, 240), mpp=0.5, distractors=synth.DistractorSpec(), rng=np.random.default_rng(3)
    )
    assert np.array_equal(_draw().image, empty.image)


def test_out_of_focus_patches_are_soft() -> None:
    def contrast(sample: synth.cohort) -> float:
        return float(np.diff(sample.image.astype(float), axis=0).std())

    assert contrast(_draw(out_of_focus_fraction=1.0)) < 0.8 * contrast(_draw())


@pytest.mark.parametrize(
    ("values", "words"),
    [({"debris_per_mm2": -1}, "debris_per_mm2"), ({"mucin_fraction": 1.5}, "from 0 to 1")],
)
def test_wrong_values_are_refused(values: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        synth.DistractorSpec(**values)


def test_hard_patients_are_harder_and_just_as_repeatable() -> None:
    def bytes_of(*, hard: bool) -> str:
        samples = synth.cohort(2, 1, shape_px=(96, 96), mpp=0.5, seed=5, hard=hard)
        return hashlib.sha256(b"".join(s.image.tobytes() for s in samples)).hexdigest()

    assert bytes_of(hard=True) == bytes_of(hard=True) != bytes_of(hard=False)

    def spread(*, hard: bool) -> float:
        samples = synth.cohort(8, 1, shape_px=(96, 96), mpp=1.0, seed=5, hard=hard)
        return float(np.std([s.image.mean(axis=(0, 1)) for s in samples], axis=0).mean())

    assert spread(hard=True) > spread(hard=False)


def _nuclear_haematoxylin(**values: float) -> np.ndarray:
    """Mean redness (less is more haematoxylin) of epithelial nuclei."""
    tissue = synth.TissueSpec(gland_fraction=1.0, **values)
    sample = synth.generate((240, 240), mpp=0.5, tissue=tissue, rng=np.random.default_rng(1))
    return sample.image[sample.classes[sample.instances] == synth.CLASSES["epithelial"]][:, 0]


def test_pale_and_smudged_nuclei() -> None:
    usual = _nuclear_haematoxylin()
    assert _nuclear_haematoxylin(pale_fraction=1.0).mean() > usual.mean() + 8
    assert _nuclear_haematoxylin(smudged_fraction=1.0).mean() < usual.mean() - 8


def test_soft_nuclei_have_soft_rims() -> None:
    optics = synth.OpticsSpec(blur_um=0, noise=0, jpeg_quality=0)

    def steepest(soft: float) -> float:
        sample = synth.generate(
            (200, 200),
            tissue=synth.TissueSpec(soft_fraction=soft),
            optics=optics,
            rng=np.random.default_rng(2),
        )
        inside = sample.instances > 0
        edge = inside[1:] != inside[:-1]
        return float(np.abs(np.diff(sample.image[..., 0].astype(float), axis=0))[edge].mean())

    assert steepest(1.0) < 0.7 * steepest(0.0)


def test_basophilia_makes_the_ground_more_or_less_purple() -> None:
    def red(value: float) -> float:
        sample = synth.generate(
            (160, 160), mpp=0.5, tissue=synth.TissueSpec(basophilia=value), rng=np.random.default_rng(1)
        )
        return float(sample.image[sample.instances == 0][:, 0].mean())

    assert red(0.5) + 10 < red(0.0) < red(-0.9)


def test_crowded_nuclei_are_more_and_overlap() -> None:
    def count(crowding: float) -> int:
        tissue = synth.TissueSpec(gland_fraction=1.0, density=3.0, crowding=crowding)
        return int(
            synth.generate((200, 200), mpp=0.5, tissue=tissue, rng=np.random.default_rng(0)).instances.max()
        )

    assert count(0.25) > 1.1 * count(0.0)


@pytest.mark.parametrize("kind", list(synth.CLASSES))
def test_each_kind_has_its_own_size_and_stretch(kind: str) -> None:
    def shape(**values: float) -> tuple[float, float]:
        tissue = synth.TissueSpec(**values)
        areas, slim = [], []
        for seed in range(2):
            sample = synth.generate((256, 256), mpp=0.5, tissue=tissue, rng=np.random.default_rng(seed))
            found = synth.measure.shapes(sample.instances, 0.5)
            mine = (sample.classes[1:] == synth.CLASSES[kind]) & ~found.at_border
            areas.append(found.area_um2[mine])
            slim.append(found.log_axes[mine])
        return float(np.median(np.concatenate(areas))), float(np.median(np.concatenate(slim)))

    area, slim = shape()
    assert shape(**{f"{kind}_size": 1.4})[0] == pytest.approx(area * 1.96, rel=0.3)
    assert shape(**{f"{kind}_stretch": 2.5})[1] > 1.15 * slim
