import dataclasses

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from histoscope import augment, data, synth, train
from histoscope.errors import ConfigError, DataError
from histoscope.types import Sample

SAMPLES = [
    dataclasses.replace(synth.generate((80 + 16 * k, 96), mpp=0.25, rng=k), name=f"s{k}", patient="p")
    for k in range(3)
]


def test_whole_samples_come_as_they_are():
    dataset = train.TorchDataset(SAMPLES)
    assert isinstance(dataset, torch.utils.data.Dataset)
    assert len(dataset) == 3
    for sample, item in zip(SAMPLES, dataset, strict=True):
        assert item["image"].dtype == torch.uint8
        assert (item["image"].numpy().transpose(1, 2, 0) == sample.image).all()
        assert (item["instances"].numpy() == sample.instances).all()
        assert (item["class_map"].numpy() == sample.classes[sample.instances]).all()
        assert (item["name"], item["patient"], item["mpp"]) == (sample.name, "p", 0.25)
        assert "label" not in item


def test_a_data_set_of_files_is_read_by_workers(tmp_path):
    sheet = data.Datasheet("drawn", mpp=0.25, classes=dict(enumerate(synth.CLASSES, 1)))
    folder = data.open("folder", data.write_folder(tmp_path, SAMPLES, sheet))
    dataset = train.TorchDataset(folder, mpp=0.5, patch_px=32, n=6, augment=augment.get("default"))
    alone = list(DataLoader(dataset, batch_size=2))
    beside = list(DataLoader(dataset, batch_size=2, num_workers=2, multiprocessing_context="spawn"))
    assert [batch["image"].shape for batch in alone] == [(2, 3, 32, 32)] * 3
    assert [name for batch in alone for name in batch["name"]] == ["s0", "s1", "s2"] * 2
    assert all(value == 0.5 for batch in alone for value in batch["mpp"])
    for one, other in zip(alone, beside, strict=True):
        torch.testing.assert_close(one["image"], other["image"], rtol=0, atol=0)
        torch.testing.assert_close(one["class_map"], other["class_map"], rtol=0, atol=0)


def test_patches_are_new_by_number_and_seed_and_the_same_by_both():
    def images(**how):
        dataset = train.TorchDataset(SAMPLES[:1], patch_px=32, n=5, **how)
        return [item["image"].numpy().tobytes() for item in dataset]

    first = images()
    assert first == images()
    assert len(set(first)) == 5
    assert not set(first) & set(images(seed=1))


def test_patches_lie_on_nuclei():
    labels = np.zeros((200, 200), np.int32)
    labels[150:154, 150:154] = 1
    sample = Sample(np.zeros((200, 200, 3), np.uint8), 0.5, labels)
    dataset = train.TorchDataset([sample], patch_px=16, n=10, on_nuclei=1.0)
    assert all(item["instances"].any() for item in dataset)


def test_labels_of_patches_are_collated():
    patches = [Sample(np.zeros((8, 8, 3), np.uint8), 0.5, label=k, name=str(k)) for k in (2, 0)]
    (batch,) = DataLoader(train.TorchDataset(patches), batch_size=2)
    assert batch["label"].tolist() == [2, 0]


@pytest.mark.parametrize(
    ("samples", "how", "error", "said"),
    [
        ([], {}, DataError, "no samples"),
        (SAMPLES, {"n": 5}, ConfigError, "patch_px=256"),
        (SAMPLES, {"augment": augment.get("basic")}, ConfigError, "patch_px=256"),
        (SAMPLES, {"patch_px": 32, "n": 0}, ConfigError, "n is 0"),
    ],
)
def test_what_makes_no_sense_is_refused(samples, how, error, said):
    with pytest.raises(error, match=said):
        train.TorchDataset(samples, **how)


def test_the_loader_of_training_is_where_it_is_looked_for():
    loader = train.make_loader(SAMPLES, lambda _: {}, patch_px=16, batch_size=2, steps=1)
    (batch,) = loader
    assert isinstance(batch, train.Batch)
