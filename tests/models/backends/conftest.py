"""Backends that are installed, a cache of their own, and full precision."""

import pytest
import torch

from histoscope import models
from histoscope.models import precision


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Give the folder of the cache, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "histoscope"


@pytest.fixture(autouse=True)
def _full_precision(monkeypatch):
    """Compare in float32, also where the processor multiplies bfloat16."""
    monkeypatch.setattr(precision, "has_bfloat16", lambda _: False)


@pytest.fixture(params=["openvino", "onnxruntime"])
def backend(request):
    """Name each backend that is installed."""
    pytest.importorskip("onnx")
    pytest.importorskip(request.param)
    return request.param


@pytest.fixture(scope="session")
def trained():
    """Make a model whose normalisation has seen images."""

    def make(name, **arguments):
        torch.manual_seed(0)
        model = models.create(name, **arguments).train()
        side = model.spec.patch_px or 2 * model.spec.divisible_by
        with torch.no_grad():
            model(torch.rand(4, 3, side, side))
        return model.eval()

    return make
