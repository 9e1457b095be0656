"""Features: those of a plain loop, in order, stored once."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from histoscope import data, models
from histoscope.classify import batches, features
from histoscope.classify.features import extract
from histoscope.errors import CorruptDataError, DataError
from histoscope.files import read_image, write_image


@torch.no_grad()
def plainly(model, samples):
    pixels = torch.stack([torch.from_numpy(sample.image.copy()).permute(2, 0, 1) for sample in samples])
    return model.eval().features(model.normalised(pixels)).numpy()


@pytest.fixture
def folder(patches, tmp_path):
    """The patches as files, in a folder per class."""
    for sample in patches:
        write_image(
            tmp_path / "set" / ["normal", "tumour"][sample.label] / f"{sample.name}.png", sample.image
        )
    return tmp_path / "set"


def opened(folder):
    return data.open("class_folder", folder, mpp=0.5)


@pytest.mark.parametrize("batch_size", [1, 5, 100])
@pytest.mark.parametrize("threads", [1, 3])
def test_they_are_those_of_a_plain_loop(patches, fresh_classifier, batch_size, threads):
    model, before = fresh_classifier(), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = extract(model, patches, batch_size=batch_size)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(found.values, plainly(model, patches), rtol=1e-4, atol=1e-5)
    assert found.labels.tolist() == [sample.label for sample in patches]
    assert found.indices.tolist() == list(range(len(patches)))


def test_a_model_is_left_as_it_was(patches, fresh_classifier):
    model = fresh_classifier().train()
    model.backbone.down[0].eval()
    was = [module.training for module in model.modules()]
    statistics = model.backbone.down[1][1].running_mean.clone()
    extract(model, patches)
    assert [module.training for module in model.modules()] == was
    assert torch.equal(model.backbone.down[1][1].running_mean, statistics)


def test_what_is_stored_is_not_computed_again(folder, fresh_classifier, tmp_path):
    model, dataset, cache = fresh_classifier(), opened(folder), tmp_path / "cache"
    some = extract(model, data.subset(dataset, range(10)), cache=cache)
    assert some.computed == 10
    every = extract(model, dataset, cache=cache)
    assert every.computed == len(dataset) - 10
    order = list(reversed(range(len(dataset))))
    again = extract(model, data.subset(dataset, order), cache=cache)
    assert again.computed == 0
    np.testing.assert_array_equal(again.values, every.values[::-1])
    assert again.labels.tolist() == every.labels[::-1].tolist()
    assert len(list(cache.iterdir())) == 1


def test_features_of_cached_patches_need_no_pixels(folder, fresh_classifier, tmp_path, monkeypatch):
    model, dataset = fresh_classifier(), opened(folder)
    first = extract(model, dataset, cache=tmp_path / "cache")
    monkeypatch.setattr(type(dataset), "__getitem__", None)
    np.testing.assert_array_equal(extract(model, dataset, cache=tmp_path / "cache").values, first.values)


def test_a_changed_file_or_network_is_computed_anew(folder, fresh_classifier, patches, tmp_path):
    model, dataset, cache = fresh_classifier(), opened(folder), tmp_path / "cache"
    first = extract(model, dataset, cache=cache)
    write_image(dataset.image_path(3), np.zeros_like(patches[0].image))
    changed = extract(model, opened(folder), cache=cache)
    assert changed.computed == 1
    different = np.flatnonzero((changed.values != first.values).any(axis=1))
    assert different.tolist() == [3]
    with torch.no_grad():
        model.backbone.down[0][0].weight += 1
    assert extract(model, dataset, cache=cache).computed == len(dataset)
    assert len(list(cache.iterdir())) == 2


def test_another_file_of_the_same_size_and_time_is_computed_anew(patches, fresh_classifier, tmp_path):
    model, cache = fresh_classifier(), tmp_path / "cache"
    for sample in patches:
        write_image(tmp_path / "set" / "any" / f"{sample.name}.bmp", sample.image)
    first = extract(model, opened(tmp_path / "set"), cache=cache)
    moved = shutil.copytree(tmp_path / "set", tmp_path / "moved")
    assert extract(model, opened(moved), cache=cache).computed == 0
    path = opened(moved).image_path(0)
    before = path.stat()
    write_image(path, read_image(path)[::-1].copy())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    again = extract(model, opened(moved), cache=cache)
    assert again.computed == 1
    assert not np.array_equal(again.values[0], first.values[0])


def test_the_fingerprint_is_of_what_features_depend_on(fresh_classifier):
    first = features.fingerprint(fresh_classifier())
    assert features.fingerprint(fresh_classifier()) == first
    headless = fresh_classifier(classes=["a", "b", "c"], dropout=0.5)
    headless.backbone.load_state_dict(fresh_classifier().backbone.state_dict())
    assert features.fingerprint(headless) == first
    for change in ({"mpp": 0.25}, {"patch_px": 22}, {"mean": (0.1, 0.2, 0.3)}):
        assert features.fingerprint(fresh_classifier(**change)) != first


def test_samples_without_files_are_known_by_their_pixels(patch_set, fresh_classifier, tmp_path):
    model = fresh_classifier()
    assert extract(model, patch_set, cache=tmp_path).computed == len(patch_set)
    assert extract(model, patch_set, cache=tmp_path).computed == 0
    darker = data.mapped(patch_set, lambda sample: replace(sample, image=sample.image // 2))
    assert extract(model, darker, cache=tmp_path).computed == len(patch_set)


def test_a_broken_cache_is_made_again(folder, fresh_classifier, tmp_path):
    model, dataset = fresh_classifier(), opened(folder)
    first = extract(model, dataset, cache=tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(file.read_bytes()[:100])
    again = extract(model, dataset, cache=tmp_path / "cache")
    assert again.computed == len(dataset)
    np.testing.assert_array_equal(again.values, first.values)


def test_a_corrupt_image_in_the_middle(folder, fresh_classifier, tmp_path):
    dataset = opened(folder)
    dataset.image_path(7).write_bytes(b"no image")
    model, skipped, told = fresh_classifier(), {}, []
    with pytest.raises(CorruptDataError, match="cannot be decoded"):
        extract(model, dataset)
    for _ in range(2):  # the second time from the cache
        found = extract(
            model,
            dataset,
            cache=tmp_path / "cache",
            batch_size=4,
            on_skip=skipped.__setitem__,
            progress=lambda done, total: told.append((done, total)),
        )
        assert list(skipped) == [dataset.records[7].name]
        assert found.indices.tolist() == [i for i in range(len(dataset)) if i != 7]
        assert len(found) == len(dataset) - 1
    assert told[-1] == (len(dataset), len(dataset)) or told[-1][0] <= told[-1][1]


def test_nothing_to_read_is_an_error(fresh_classifier):
    with pytest.raises(DataError, match="no patches"):
        extract(fresh_classifier(), [])


def test_a_loop_that_is_left_early_leaves_nothing_behind(patches, fresh_classifier):
    model, before = fresh_classifier(), torch.get_num_threads()
    for seen in batches.through(model, patches, models.Classifier.features, batch_size=2):
        assert len(seen.samples) == 2
        break
    assert torch.get_num_threads() == before


def test_images_of_another_size_are_brought_to_the_patch(patches, fresh_classifier):
    model = fresh_classifier(patch_px=10, mpp=1.0)
    found = extract(model, patches[:3])
    small = [replace(sample, image=model.patch(sample.image, sample.mpp)) for sample in patches[:3]]
    assert small[0].image.shape == (10, 10, 3)
    np.testing.assert_allclose(found.values, plainly(model, small), rtol=1e-4, atol=1e-5)


def test_models_of_transformers_work_too(patches):
    torch.manual_seed(0)
    model = models.create("classifier", backbone="test_vit", patch_px=32, mpp=0.5 * 20 / 32)
    assert extract(model, patches[:2]).values.shape == (2, model.n_features)
