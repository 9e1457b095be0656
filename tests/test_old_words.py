"""Every word of 0.1 that has changed still works, and gives one warning that says the new one."""

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from histoscope import classify, metrics, models
from histoscope.cli.main import app
from histoscope.config import parse
from histoscope.geometry.pixels import refine_with_mask
from histoscope.studies.config import StudyConfig
from histoscope.studies.study import Condition
from histoscope.train.config import TransferConfig
from histoscope.train.experiment import Experiment

LABELS = np.eye(4, dtype=np.int32)
TINY = {"width": 4, "depth": 2, "n_rays": 8}
EXPERIMENT = {"data": {"root": "d"}, "model": {"name": "stardist"}}
DATA = {"name": "folder", "root": "d"}
STUDY = {"study": "stain", "data": DATA, "models": {"unet": {}}}
CALLS: dict[tuple[str, str], Callable[[], Any]] = {
    ("probability=", "predicted="): lambda: metrics.accuracy([0, 1], probability=np.eye(2)),
    ("settle ", "refine_with_mask"): lambda: models.create("stardist", settle=False, **TINY),
    ("inside=", "foreground="): lambda: refine_with_mask(LABELS, inside=LABELS > 0),
    ("reach_px=", "max_growth_px="): lambda: refine_with_mask(LABELS, LABELS > 0, reach_px=1),
    ("thaw_every=", "unfreeze_every="): lambda: TransferConfig(thaw_every=3),
    ("elsewhere=", "external="): lambda: Condition("a", "b", elsewhere=True),
    ("pulls=", "l2="): lambda: classify.probe.ProbeConfig(pulls=(1.0,)),
    ("begin_from", "initial_weights"): lambda: parse(Experiment, {**EXPERIMENT, "begin_from": "w"}),
    ("elsewhere", "external"): lambda: parse(StudyConfig, {**STUDY, "elsewhere": DATA}),
    ("pulls", "l2"): lambda: parse(Experiment, {**EXPERIMENT, "probe": {"pulls": [1.0]}}),
    ("thaw_every", "unfreeze_every"): lambda: parse(
        Experiment, {**EXPERIMENT, "train": {"transfer": {"thaw_every": 3}}}
    ),
    ("settle of", "refine_with_mask"): lambda: parse(
        Experiment, {**EXPERIMENT, "model": {"name": "stardist", "arguments": {"settle": False}}}
    ),
    ("settle", "refine_with_mask"): lambda: parse(
        StudyConfig, {**STUDY, "models": {"stardist": {"settle": False}}}
    ),
}
NAMES = {
    "explain.patches_by_sureness": "patches_by_confidence",
    "explain.Shown": "Example",
    "geometry.settle": "refine_with_mask",
    "geometry.areas_and_centroids": "centroids",
    "metrics.cost": "report.cost.cost",
    "metrics.reached": "report.cost.reached",
    "slides.Detector": "predict.Detector",
    "slides.predict": "predict.predict",
    "slides.measure": "export.measure",
    "slides.mpp_of": "images.resolution.mpp_of",
}


def one_warning(call: Callable[[], Any]) -> str:
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        call()
    (warning,) = (each for each in given if issubclass(each.category, DeprecationWarning))
    return str(warning.message)


@pytest.mark.parametrize(("old", "new"), CALLS, ids=str)
def test_keywords_and_keys(old: str, new: str) -> None:
    before, _, after = one_warning(CALLS[old, new]).partition(" is now ")
    assert old.strip() in before
    assert new in after


@pytest.mark.parametrize("old", NAMES)
def test_names(old: str) -> None:
    package, _, name = old.rpartition(".")
    assert NAMES[old] in one_warning(lambda: getattr(importlib.import_module(f"histoscope.{package}"), name))


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_options(verb: str) -> None:
    told = one_warning(lambda: CliRunner().invoke(app, [verb, "nothing", "here", "out", "--turned"]))
    assert told.startswith("--turned is now --tta")
