"""Backends that are installed, a cache of their own, and full precision."""

import pytest

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
