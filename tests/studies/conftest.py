"""Small data sets of studies of labelled tiles."""

import shutil
from dataclasses import replace

import pytest

from histoscope import data, synth
from histoscope.studies import run_study
from histoscope.types import Record


def write(folder, n, name, test_from=99):
    samples = synth.cohort(n, 1, shape_px=(64, 64), mpp=0.5, seed=len(name))
    records = [
        Record(f"{name}{k}", s.patient, s.source, "train" if k < test_from else "test")
        for k, s in enumerate(samples)
    ]
    sheet = data.Datasheet(name, mpp=0.5, licence=f"licence of {name}")
    named = [replace(s, name=f"{name}{k}", classes=None) for k, s in enumerate(samples)]
    return data.write_folder(folder / name, named, sheet, records=records)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Four training and two test images; two of another laboratory; drawn ones of two kinds."""
    folder = tmp_path_factory.mktemp("tissue")
    return {
        "real": write(folder, 6, "real", test_from=4),
        "other": write(folder, 2, "other", test_from=0),
        "procedural": write(folder, 3, "procedural"),
        "learned": write(folder, 3, "learned"),
    }


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Give the folder of the study that a module runs once."""
    return tmp_path_factory.mktemp("done") / "study"


@pytest.fixture
def finished(template, configure, tmp_path):
    """A finished study of a module's `configure`, which the test may change."""
    if not template.is_dir():
        config = configure(out=str(template))
        summary = run_study(config)
        assert not summary.failed
        assert len(summary.done) == len(config.levels) * len(config.seeds)
    shutil.copytree(template, tmp_path / "study")
    return tmp_path / "study"
