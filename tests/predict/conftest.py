"""A model that needs no training: it takes dark blobs of a nucleus's size for nuclei."""

import sys
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from skimage.measure import label, regionprops

from histoscope import models
from histoscope.models import Classifier, InputSpec, Model, Segmenter
from histoscope.types import Nuclei


class Blobs(Segmenter):
    """Dark blobs of 100 to 500 pixels at its own resolution are nuclei; the bluer are of class 2."""

    name = "blobs"

    def __init__(self, *, mpp: float = 0.25) -> None:
        spec = InputSpec(
            mpp=mpp, divisible_by=8, mean=(0.0,) * 3, std=(1.0,) * 3, classes=("red", "blue"), context_px=16
        )
        super().__init__(spec, {"mpp": mpp})
        self.scale = torch.nn.Parameter(torch.ones(1))

    def heads(self, x):
        return {"colour": x * self.scale}

    def decode(self, heads, shape, mpp):
        colour = heads["colour"][0].permute(1, 2, 0).numpy()
        found = label(colour.mean(axis=2) < 0.6)
        for region in regionprops(found):
            if not 100 <= region.area <= 500:
                found[found == region.label] = 0
        found = label(cv2.resize(found.astype(np.float32), shape[::-1], interpolation=cv2.INTER_NEAREST) > 0)
        colour = cv2.resize(colour, shape[::-1])
        blue = [colour[found == k].mean(axis=0) @ (-1, 0, 1) > 0.15 for k in range(1, found.max() + 1)]
        centres = [region.centroid[::-1] for region in regionprops(found)]
        return Nuclei(
            centroid_px=np.array(centres, np.float32).reshape(-1, 2),
            class_id=np.array(blue, np.uint8) + np.uint8(1),
            probability=np.full(len(blue), 0.75, np.float32),
            instances=found.astype(np.int32),
            mpp=mpp,
        )


class Tint(Classifier):
    """Tells red patches from blue ones; `scale` times the difference is the logit."""

    name = "tint"

    def __init__(self, *, mpp: float = 1.0, patch_px: int = 16, scale: float = 20.0) -> None:
        names = ("red", "blue")
        spec = InputSpec(mpp, 1, (0.0,) * 3, (1.0,) * 3, classes=names, patch_px=patch_px)
        Model.__init__(self, spec, {"mpp": mpp, "patch_px": patch_px, "scale": scale})
        self.interpolation = "bilinear"
        self.freeze_norm = False
        self.scale = torch.nn.Parameter(torch.tensor(scale))
        self.register_buffer("temperature", torch.ones(()))

    def heads(self, x):
        red, _, blue = x.mean(dim=(2, 3)).unbind(1)
        return {"logits": torch.stack((red - blue, blue - red), dim=1) * self.scale}


@pytest.fixture
def tint(tmp_path, monkeypatch):
    """Give the folder of a classifier that tells red from blue, on patches of 16 µm."""
    module = ModuleType("histoscope_test_tint")
    module.Tint = Tint
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(models.MODELS, "tint", (module.__name__, "Tint"))
    return models.save(Tint(), tmp_path / "tint")


@pytest.fixture
def blobs():
    """Give the model itself."""
    return Blobs().eval()


@pytest.fixture
def model_folder(tmp_path, monkeypatch):
    """Give a folder with the model, that loads by its architecture's name."""
    module = ModuleType("histoscope_test_blobs")
    module.Blobs = Blobs
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(models.MODELS, "blobs", (module.__name__, "Blobs"))
    return models.save(Blobs(), tmp_path / "blobs", {"weights licence": "CC0-1.0"})


def paint(n=9, mpp=0.25, um=60.0):
    """Draw `n` round nuclei of 5 um across, red and blue in turn, on pink."""
    scale = 4  # drawn finer and averaged, so that every resolution sees the same edges
    size = round(um / mpp)
    canvas = np.full((size * scale, size * scale, 3), (226, 170, 200), np.uint8)
    side = int(np.ceil(np.sqrt(n)))
    for k in range(n):
        x, y = ((np.array(divmod(k, side)) + 0.5) * um / side / mpp * scale).round().astype(int)
        colour = (60, 50, 140) if k % 2 else (140, 50, 60)
        cv2.circle(canvas, (int(x), int(y)), round(2.5 / mpp * scale), colour, -1)
    return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)


@pytest.fixture
def painted():
    """Give the painter of images."""
    return paint
