"""Predicting needs neither the trainer nor Lightning."""

import numpy as np
import pytest

from histoscope import models
from histoscope.files import write_image

NUCLEI = """
import sys
from histoscope.predict import Detector
Detector.open("nuclei-free")({image}, 0.5)
"""
PATCHES = """
import sys
from histoscope.predict import PatchClassifier, classify_tiles
classify_tiles({image}, PatchClassifier.open({folder!r}), 0.5)
"""
SHOW = """
print([name for name in sys.modules if name.startswith(("histoscope.train", "lightning"))])
"""


@pytest.mark.parametrize("code", [NUCLEI, PATCHES], ids=["nuclei", "patches"])
def test_predicting_loads_no_trainer(code, python, fresh_classifier, tmp_path):
    path, folder = tmp_path / "a.png", models.save(fresh_classifier(), tmp_path / "model")
    write_image(path, np.random.default_rng(0).integers(90, 200, (64, 64, 3), np.uint8))
    image = f"__import__('histoscope').read_image({str(path)!r})"
    done = python("-c", code.format(image=image, folder=str(folder)) + SHOW)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
