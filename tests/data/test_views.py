"""Parts, changes, copies in memory, and resampling."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from histoscope import data
from histoscope.data import Datasheet, InMemory
from histoscope.errors import DataError
from histoscope.types import Sample


def test_subset_keeps_the_order_asked_for(folder_tree: Path) -> None:
    part = data.subset(data.open("folder", folder_tree, mpp=0.5), [4, 1])
    assert [sample.name for sample in part] == ["tile4", "tile1"]
    assert [record.name for record in part.records] == ["tile4", "tile1"]
    assert part.image_path(0).name == "tile4.jpg"
    assert part.info.counts["images"] == len(part) == 2
    assert data.subset(part, [1])[0].name == "tile1"
    assert len(data.subset(part, [])) == 0


@pytest.mark.parametrize("index", [-1, 6])
def test_subset_outside(folder_tree: Path, index: int) -> None:
    with pytest.raises(DataError, match="samples 0 to 5"):
        data.subset(data.open("folder", folder_tree, mpp=0.5), [index])


def test_mapped_changes_samples_when_read(folder_tree: Path) -> None:
    dataset = data.open("folder", folder_tree, mpp=0.5)
    changed = data.mapped(dataset, lambda sample: replace(sample, image=255 - sample.image))
    assert np.array_equal(changed[0].image, 255 - dataset[0].image)
    assert changed.records == dataset.records
    assert changed.info == dataset.info
    assert changed.image_path(0) is None  # its pixels are not those of the file


def test_in_memory_reads_once_and_says_how_far(folder_tree: Path) -> None:
    seen: list[tuple[int, int]] = []
    kept = data.in_memory(data.open("folder", folder_tree, mpp=0.5), progress=lambda *now: seen.append(now))
    for path in (folder_tree / "images").iterdir():
        path.unlink()
    assert seen == [(k, 6) for k in range(1, 7)]
    assert kept[3] is kept.samples[3]
    assert kept.records[3].split == "train"
    assert kept.verify() == []


def test_in_memory_of_own_arrays() -> None:
    sample = Sample(image=np.zeros((4, 4, 3), np.uint8), mpp=1, name="a", patient="p", label=3)
    dataset = data.InMemory.of([sample], data.Datasheet("mine", mpp=1))
    assert (dataset.records[0].patient, dataset.records[0].label) == ("p", 3)


def _disc(shape: tuple[int, int] = (100, 80), mpp: float = 0.25) -> Sample:
    y, x = np.mgrid[: shape[0], : shape[1]]
    instances = np.zeros(shape, np.int32)
    instances[(y - 30) ** 2 + (x - 40) ** 2 < 400] = 1
    instances[70, 3] = 2  # one pixel: vanishes at a quarter of the size
    instances[80:95, 50:70] = 3
    image = np.where(instances[..., None] > 0, 80, 200).astype(np.uint8).repeat(3, axis=2)
    return Sample(
        image=image, mpp=mpp, instances=instances, classes=np.array([0, 5, 6, 7], np.uint8), name="d"
    )


@pytest.mark.parametrize("mpp", [0.1, 0.2, 0.3, 0.5, 1.0])
def test_resample_keeps_physical_size(mpp: float) -> None:
    before, after = _disc(), data.resample(_disc(), mpp)
    assert after.image.shape[:2] == (round(100 * 0.25 / mpp), round(80 * 0.25 / mpp))
    assert after.mpp == mpp
    area_before = (before.instances == 1).sum() * 0.25**2
    area_after = (after.instances == 1).sum() * mpp**2
    assert area_after == pytest.approx(area_before, rel=0.08)
    assert abs(int(after.image.mean()) - int(before.image.mean())) <= 2
    dark = after.image[..., 0] < 140
    assert (dark != (after.instances > 0)).mean() < 0.02  # image and labels stay in register


def test_resample_drops_vanished_nuclei_and_their_classes() -> None:
    after = data.resample(_disc(), 1.0)
    assert sorted(set(after.instances.ravel().tolist())) == [0, 1, 2]
    assert after.classes.tolist() == [0, 5, 7]


def test_resample_to_the_same_size_is_the_same_sample() -> None:
    sample = _disc()
    assert data.resample(sample, 0.25) is sample
    assert data.resample(replace(sample, instances=None, classes=None), 0.5).instances is None


@pytest.mark.parametrize("mpp", [0, -1, float("nan"), float("inf")])
def test_resample_refuses_impossible_sizes(mpp: float) -> None:
    with pytest.raises(DataError, match="above 0"):
        data.resample(_disc(), mpp)


def test_resample_never_makes_an_empty_image() -> None:
    assert data.resample(_disc(), 1000.0).image.shape == (1, 1, 3)


@settings(deadline=None)
@given(arrays(np.int32, (7, 9), elements=st.integers(0, 30)))
def test_compact_keeps_pixels_order_and_classes(instances: np.ndarray) -> None:
    classes = (np.arange(31) % 7).astype(np.uint8)
    compacted, kept = data.compact(instances, classes)
    ids = sorted(set(instances.ravel().tolist()) - {0})
    assert sorted(set(compacted.ravel().tolist()) - {0}) == list(range(1, len(ids) + 1))
    for new, old in enumerate(ids, start=1):
        assert np.array_equal(compacted == new, instances == old)
        assert kept[new] == classes[old]
    assert len(kept) == len(ids) + 1


class TestJoined:
    def one(self, name, classes, n=2, mpp=0.5):
        image = np.zeros((4, 4, 3), np.uint8)
        samples = [Sample(image, mpp, name=f"{name}{k}", patient=name) for k in range(n)]
        return InMemory.of(samples, Datasheet(name, licence=f"{name} licence", classes=classes, mpp=mpp))

    def test_one_after_the_other(self):
        both = data.joined([self.one("a", {1: "x"}), self.one("b", {}, n=3)])
        assert [sample.name for sample in both] == ["a0", "a1", "b0", "b1", "b2"]
        assert [record.patient for record in both.records] == list("aabbb")
        assert both.info.licence == "a licence; b licence"
        assert both.info.classes == {1: "x"}
        assert (both.info.mpp, both.info.counts["images"]) == (0.5, 5)

    def test_one_alone_is_itself(self):
        only = self.one("a", {})
        assert data.joined([only]) is only

    def test_what_does_not_fit_is_refused(self):
        with pytest.raises(DataError, match="no data sets to join"):
            data.joined([])
        with pytest.raises(DataError, match="in two data sets"):
            data.joined([self.one("a", {}), self.one("a", {})])
        with pytest.raises(DataError, match="classes"):
            data.joined([self.one("a", {1: "x"}), self.one("b", {1: "y"})])
