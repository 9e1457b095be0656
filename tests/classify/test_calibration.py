import numpy as np
import pytest
import torch

from histoscope import models
from histoscope.classify.calibration import calibrate
from histoscope.classify.classification import predict_classes
from histoscope.types import Sample

COLOURS = [(210, 80, 150), (120, 80, 200)]


@pytest.fixture
def model():
    """Give a network that is far too sure whatever it says."""
    torch.manual_seed(0)
    small = {"width": 4, "depth": 2}
    made = models.create(
        "classifier", backbone="unet", classes=["a", "b"], patch_px=8, mpp=1.0, options=small
    )
    with torch.no_grad():
        made.head.weight.mul_(5000)
    return made.eval()


def patches(model, wrong):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (24, 8, 8, 3), np.uint8)
    said = predict_classes(model, [Sample(image, 1.0, name=str(k)) for k, image in enumerate(images)])
    labels = np.where(np.arange(24) < wrong, 1 - said["predicted"], said["predicted"])
    return [
        Sample(image, 1.0, label=int(label), name=str(k))
        for k, (image, label) in enumerate(zip(images, labels, strict=True))
    ]


def test_a_temperature_makes_probabilities_honest_and_is_saved(model, tmp_path):
    val = patches(model, wrong=6)
    before = predict_classes(model, val)
    found = calibrate(model, val)
    after = predict_classes(model, val)
    assert found.temperature > 1
    assert (after["predicted"] == before["predicted"]).all()
    assert found.nll_after < found.nll_before
    assert found.ece_after < found.ece_before
    again = calibrate(model, val)  # nothing is left to do
    assert again.temperature == pytest.approx(found.temperature, rel=1e-3)
    assert again.nll_before == pytest.approx(found.nll_after, rel=1e-4)
    loaded = models.load(models.save(model, tmp_path / "model"))
    assert float(loaded.temperature) == pytest.approx(again.temperature)


def test_without_a_mistake_the_temperature_stays(model):
    found = calibrate(model, patches(model, wrong=0))
    assert found.temperature == 1
    assert found.nll_after == found.nll_before
