"""Published parts are known however an index spells them: test images are never learned from by a capital."""

import numpy as np
import pytest
from typer.testing import CliRunner

from histoscope import data
from histoscope.cli.given import images_of
from histoscope.cli.main import app
from histoscope.data.export import convert
from histoscope.errors import ConfigError, DataError
from histoscope.studies.config import StudyConfig
from histoscope.studies.prepare import external_sets
from histoscope.types import Record, Sample

SPELT = [("train", "test"), ("Training", "TEST"), ("TRAIN", "Testing")]


@pytest.fixture(params=SPELT, ids="-".join)
def dataset(request, tmp_path):
    """Two images for training and one for testing, with one nucleus each."""
    train, test = request.param
    instances = np.zeros((256, 256), np.int32)
    instances[100:120, 100:120] = 1
    image = np.full((256, 256, 3), 200, np.uint8)
    known = {"a": train, "b": train, "c": test}
    samples = [
        Sample(image, 0.25, instances, np.array([0, 1], np.uint8), name=name, patient=name) for name in known
    ]
    sheet = data.Datasheet("lab", mpp=0.25, classes={1: "neoplastic"})
    records = [Record(name, name, split=split) for name, split in known.items()]
    data.write_folder(tmp_path / "lab", samples, sheet, records=records)
    return data.open("folder", tmp_path / "lab")


def names(chosen):
    return [record.name for record in chosen.records]


def test_training(dataset):
    assert names(data.split_published(dataset).test) == ["c"]


def test_an_option(dataset, tmp_path):
    assert names(images_of(dataset, "test", tmp_path)) == ["c"]
    assert names(images_of(dataset, "train", tmp_path)) == ["a", "b"]
    assert names(images_of(dataset, dataset.records[2].split, tmp_path)) == ["c"]
    with pytest.raises(DataError, match="no part 'fold1'"):
        images_of(dataset, "fold1", tmp_path)


def test_folds(dataset, tmp_path):
    convert(dataset, tmp_path / "out", to="pannuke", on_skip=pytest.fail)
    assert [len(np.load(path)) for path in sorted((tmp_path / "out").glob("*/images/*/images.npy"))] == [2, 1]


def test_what_synthetic_tissue_is_fitted_to(dataset, tmp_path, monkeypatch):
    fitted = []

    def fit(given, **_):
        fitted.extend(names(given))
        raise ConfigError("enough")

    monkeypatch.setattr("histoscope.synth.fit", fit)
    CliRunner().invoke(app, ["synth", str(tmp_path / "out"), "--like", str(dataset.root)])
    assert fitted == ["a", "b"]


def test_external_test_sets(dataset):
    own = {"name": "folder", "root": dataset.root}
    config = StudyConfig(study="synthetic", data=own, external={"far": own})
    external = next(c for c in config.declared.conditions if c.external)
    assert names(external_sets(config)[external.name]) == ["c"]
    config = StudyConfig(study="synthetic", data=own, external={"far": {**own, "part": "all"}})
    assert names(external_sets(config)[external.name]) == ["a", "b", "c"]
