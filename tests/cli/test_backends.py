"""``--backend`` reaches what predicts, and what was used is told."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from histoscope import data, synth
from histoscope.cli.backends import Backend, devices_for
from histoscope.cli.main import app
from histoscope.errors import ConfigError, HistoscopeError, MissingDependencyError
from histoscope.files import write_image
from histoscope.models.backends import AUTO, BACKENDS, choosing


@pytest.fixture
def image(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "images" / "a.png"
    write_image(path, synth.generate((96, 96), mpp=0.5, rng=0).image)
    return path


@pytest.fixture
def cohort(samples, tmp_path):
    return data.write_folder(tmp_path / "cohort", samples, data.Datasheet("drawn", mpp=0.5))


def _given(verb, image, cohort, out):
    return (image, out, "--mpp", 0.5) if verb == "predict" else (cohort,)


def _called(*arguments):
    done = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_the_option_has_all_backends():
    assert list(Backend) == [AUTO, *BACKENDS]


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_auto_is_the_default(verb, monkeypatch, image, cohort, tmp_path):
    monkeypatch.delenv("HISTOSCOPE_BACKEND")

    def asked(model, name, fingerprint):
        raise HistoscopeError(f"asked for {name}")

    monkeypatch.setattr("histoscope.models.backends.use", asked)
    with pytest.raises(HistoscopeError, match="asked for auto"):
        _called(verb, "nuclei-free", *_given(verb, image, cohort, tmp_path / "out"))


@pytest.mark.parametrize("kind", ["image", "slide"])
@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_the_named_one_is_used_and_told(kind, name, image, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip(name)
    ours, out = ("predict", "nuclei-free", image), tmp_path / "out"
    more = ("--mpp", 0.5, "--as", kind, "--json")

    def end(*words):
        said = _called(*words)
        return json.loads(said.splitlines()[-1] if kind == "slide" else said)

    told = end(*ours, out, *more, "--backend", name)
    assert told["network"].startswith(name)
    again = end(*ours, out, *more, "--backend", "torch")
    assert again["skipped"] == 1  # what is finished stays so: the network computes the same
    expected = end(*ours, tmp_path / "torch", *more)
    assert expected["network"].startswith("torch")
    assert expected["nuclei"] == told["nuclei"] > 0
    if kind == "slide":
        assert pd.read_csv(out / "summary.csv")["network"][0] == told["network"]


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_a_missing_one_is_told_before_any_work(verb, monkeypatch, image, cohort, tmp_path):
    monkeypatch.setattr(choosing, "find_spec", lambda _: None)
    given = _given(verb, image, cohort, tmp_path / "out")
    with pytest.raises(MissingDependencyError, match=r"pip install 'histoscope\[openvino\]'"):
        _called(verb, "nuclei-free", *given, "--backend", "openvino")
    assert not (tmp_path / "out").exists()


def test_a_processors_backend_is_refused_on_another_device(monkeypatch):
    monkeypatch.setattr("histoscope.models.device.devices_of", lambda names: tuple(names.split(",")))
    assert devices_for("auto", "cuda:0") == ("cuda:0",)
    assert devices_for("openvino", "cpu") == ("cpu",)
    with pytest.raises(ConfigError, match="runs on a CPU, but --device is cuda:0"):
        devices_for("openvino", "cuda:0")
