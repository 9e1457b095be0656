"""Which backend: the named one or an error, else the fastest that was measured, else torch."""

import json
import warnings
from pathlib import Path

import pytest
import torch

from histoscope.errors import ConfigError, MissingDependencyError, UnknownNameError
from histoscope.models import backends, precision
from histoscope.models.backends import choosing, written
from histoscope.predict import Detector


class Stub:
    """What stands for a runner."""

    def __init__(self, backend):
        self.backend = backend


@pytest.fixture
def model(trained):
    return trained("unet", width=4, depth=2)


@pytest.fixture
def measured(monkeypatch):
    """Pretend that all backends are installed and take so many seconds; list what is measured."""
    seconds, calls = {"torch": 1.0, "openvino": 0.5, "onnxruntime": 0.7}, []

    def measure(model, others, fingerprint):
        calls.append(fingerprint)
        return {"seconds": {name: seconds[name] for name in ("torch", *others)}, "refused": {}}

    monkeypatch.setattr(choosing, "missing", lambda _: [])
    monkeypatch.setattr(choosing.metadata, "version", lambda name: f"{name} 1.0")
    monkeypatch.setattr(choosing, "_measured", measure)
    monkeypatch.setattr(choosing, "_runner", lambda model, name, _: Stub(name))
    return seconds, calls


def test_the_fastest_is_chosen_and_kept(model, measured, cache):
    seconds, calls = measured
    for _ in range(2):
        backends.use(model, "auto", "one")
        assert model.runner.backend == "openvino"
    assert calls == ["one"]
    (kept,) = cache.glob("*.json")
    assert json.loads(kept.read_text())["seconds"] == seconds
    backends.use(model, "auto", "another model")
    assert calls == ["one", "another model"]


def test_a_choice_is_of_some_threads_and_some_precision(model, measured, monkeypatch):
    _, calls = measured
    backends.use(model, "auto", "one")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    backends.use(model, "auto", "one")
    monkeypatch.setattr(precision, "has_bfloat16", lambda _: True)
    backends.use(model, "auto", "one")
    assert len(calls) == 3


def test_a_damaged_choice_is_measured_again(model, measured, cache):
    _, calls = measured
    for text in ("{", "[]", '{"seconds": {}}', '{"seconds": null}'):
        backends.use(model, "auto", "one")
        (kept,) = cache.glob("*.json")
        kept.write_text(text)
    backends.use(model, "auto", "one")
    assert len(calls) == 5


def test_torch_stays_where_another_gains_little(model, measured):
    seconds, _ = measured
    seconds |= {"openvino": 0.95, "onnxruntime": 1.2}
    backends.use(model, "auto", "one")
    assert model.runner is None


def test_without_the_packages_auto_is_torch_and_says_nothing(model, monkeypatch, cache):
    monkeypatch.setattr(choosing, "find_spec", lambda _: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        backends.use(model, "auto", "one")
    assert model.runner is None
    assert not cache.exists()


@pytest.mark.parametrize(
    ("name", "line"),
    [("openvino", "pip install 'histoscope[openvino]'"), ("onnxruntime", "pip install 'histoscope[onnx]'")],
)
def test_a_named_one_that_is_missing_is_an_error_with_its_extra(monkeypatch, name, line):
    monkeypatch.setattr(choosing, "find_spec", lambda each: None if each == name else object())
    with pytest.raises(MissingDependencyError) as caught:
        Detector.open("nuclei-free", backend=name)
    assert line in str(caught.value)
    assert f"needs {name}, not installed" in str(caught.value)


def test_an_unknown_one_is_told_of_the_others():
    with pytest.raises(UnknownNameError, match="openvino"):
        Detector.open("nuclei-free", backend="openvin")


def test_what_a_backend_cannot_run_is_an_error_if_named(model, measured, monkeypatch):
    def fail(*_):
        raise RuntimeError("Exception from core.cpp:117:\ncould not create a primitive")

    monkeypatch.setattr(choosing, "_runner", fail)
    with pytest.raises(ConfigError, match=r"openvino cannot run this model \(RuntimeError: could not create"):
        backends.use(model, "openvino", "one")
    assert model.runner is None


def test_and_is_left_aside_by_auto_which_says_so(model, monkeypatch, cache):
    monkeypatch.setattr(choosing, "missing", lambda _: [])
    monkeypatch.setattr(choosing.metadata, "version", lambda name: f"{name} 1.0")
    monkeypatch.setattr(choosing, "_seconds", lambda *_: 1.0)

    def fail(*_):
        raise RuntimeError("no such layer")

    monkeypatch.setattr(choosing, "_runner", fail)
    with pytest.warns(UserWarning, match="openvino cannot run this model.*no such layer"):
        backends.use(model, "auto", "one")
    assert model.runner is None
    (kept,) = cache.glob("*.json")
    assert list(json.loads(kept.read_text())["refused"]) == ["openvino", "onnxruntime"]


def _no_home():
    raise RuntimeError("Could not determine home directory.")


@pytest.mark.parametrize("home", [lambda: Path("/dev/null"), _no_home])
def test_without_a_writable_home_the_cache_is_temporary(home, tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(written.Path, "home", home)
    monkeypatch.setattr(written, "temporary_folder", lambda: tmp_path)
    assert written.cache_folder() == tmp_path / "histoscope"


def test_a_cache_that_cannot_be_written_leaves_torch(model, measured, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(written, "temporary_folder", lambda: None)
    with pytest.warns(UserWarning, match="predicting with torch"):
        backends.use(model, "auto", "one")
    assert model.runner is None


def test_what_is_measured_is_what_is_there(backend, model, cache):
    backends.use(model, "auto", "one")
    (kept,) = cache.glob("*.json")
    known = json.loads(kept.read_text())
    assert set(known["seconds"]) == set(choosing.installed())
    assert min(known["seconds"].values()) > 0
    assert known["of"]["processor"]


def test_a_network_that_computes_something_else_is_refused(backend, model, monkeypatch):
    heads = type(model).heads
    backends.use(model, backend, "one")
    runner = model.runner
    monkeypatch.setattr(type(model), "heads", lambda self, x: {k: v + 0.1 for k, v in heads(self, x).items()})
    with pytest.raises(ConfigError, match="is off by"):
        choosing._check(model, runner)
