"""What is not installed is named before any work, with the line that installs it."""

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions

import numpy as np
import pytest
import torch
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.testing import CliRunner

from histoscope import models
from histoscope.cli import main as entry
from histoscope.errors import MissingDependencyError
from histoscope.files import write_image

CLASSIFIER = {"backbone": "unet", "patch_px": 32, "mpp": 0.5, "options": {"width": 4, "depth": 2}}
STEPS = {"steps": 2, "accelerator": "cpu"}
SETTINGS = {
    "train": {"model": {"name": "classifier", "arguments": CLASSIFIER}, "train": STEPS},
    "pretrain": {"backbone": CLASSIFIER, "train": STEPS},
    "study run": {
        "study": "transfer",
        "patches": {"backbone": CLASSIFIER, "synthetic": {"tensorboard": True}},
        "levels": ["scratch", "synthetic"],
        "train": {**STEPS, "tensorboard": False},
    },
}
# Module -> what installs it, and the calls that need it; words in capitals stand for paths.
NEEDED = {
    "captum": ("'histoscope[explain]'", ["explain CLASSIFIER nowhere OUT --mpp 0.5"]),
    "anndata": ("'histoscope[anndata]'", ["predict nuclei-free PICTURE OUT --as slide --mpp 0.5 --anndata"]),
    **{
        module: (
            "'histoscope[onnx]'",
            [
                "export nuclei-free OUT",
                "export nuclei-free OUT --to qupath",
                "predict nuclei-free PICTURE OUT --mpp 0.5 --backend onnxruntime",
            ],
        )
        for module in ("onnx", "onnxruntime")
    },
    "openvino": (
        "'histoscope[openvino]'",
        ["predict nuclei-free PICTURE OUT --mpp 0.5 --backend openvino"],
    ),
    "ray": ("'histoscope[ray]'", ["predict nuclei-free PICTURE OUT --as slide --mpp 0.5 --workers ray"]),
    **{
        module: ("'histoscope[remote]'", [f"predict nuclei-free {place} OUT"])
        for module, place in {
            "fsspec": "s3://bucket/a.svs",
            "s3fs": "s3://bucket/a.svs",
            "aiohttp": "http://127.0.0.1:9/a.svs",
        }.items()
    },
    **{module: ("'histoscope[viewer]'", ["view nowhere --no-open"]) for module in ("fastapi", "uvicorn")},
    "h5py": (
        "'histoscope[hdf5]'",
        [
            *(f"data {verb} pcam PCAM" for verb in ("info", "verify", "split", "audit")),
            "data convert pcam PCAM OUT",
            "data compare PCAM PCAM OUT --format pcam",
            "synth OUT --like PCAM --format pcam",
            "init PCAM --out OUT/a.yaml",
            "train --data PCAM --set out=OUT",
            "evaluate CLASSIFIER PCAM --data pcam --out OUT/scores.csv",
            "explain CLASSIFIER PCAM OUT --data pcam",
            *(f"{verb} PCAM.yaml --set out=OUT --set train.tensorboard=false" for verb in SETTINGS),
        ],
    ),
}
CALLS = [(module, call) for module, (_, calls) in NEEDED.items() for call in calls]
# For work on Histoscope itself, not for its verbs.
NO_VERBS = {"dev", "docs", "bench"}
# Faster, and done without; comes with fastapi.
SPARED = {"httptools", "starlette"}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Give a classifier, a folder that looks like PCam, and settings of trainings on it and on nothing."""
    base = tmp_path_factory.mktemp("missing")
    torch.manual_seed(0)
    models.save(models.create("classifier", **CLASSIFIER, classes=["normal", "tumour"]), base / "model")
    write_image(base / "a.png", np.full((40, 40, 3), 240, np.uint8))
    (base / "pcam").mkdir()
    for part in ("train", "test"):
        for kind in "xy":
            (base / "pcam" / f"camelyonpatch_level_2_split_{part}_{kind}.h5").touch()
    for root in ("pcam", "nowhere"):
        for verb, settings in SETTINGS.items():
            values = {**settings, "data": {"name": "pcam", "root": str(base / root)}}
            (base / f"{verb} {root}.yaml").write_text(yaml.safe_dump(values))
    return base


@pytest.mark.parametrize(("module", "call"), CALLS, ids=[f"{module}-{call}" for module, call in CALLS])
def test_what_is_missing_is_named_before_the_work(module, call, places, tmp_path, monkeypatch):
    for name in {module, *(name for name in sys.modules if name.startswith(f"{module}."))}:
        monkeypatch.setitem(sys.modules, name, None)
    verb = next((verb for verb in SETTINGS if call.startswith(verb)), "")
    known = {"CLASSIFIER": places / "model", "OUT": tmp_path / "out", "PICTURE": places / "a.png"}
    words = []
    for word in call.split():
        for name, path in known.items():
            word = word.replace(name, str(path))  # noqa: PLW2901
        if word.endswith(".yaml"):
            word = str(places / f"{verb} {word.lower()}")  # noqa: PLW2901
        words.append(str(places / "pcam") if word == "PCAM" else word)
    done = CliRunner().invoke(entry.app, words)
    assert isinstance(done.exception, MissingDependencyError), done.exception
    assert module in str(done.exception)
    assert f"pip install {NEEDED[module][0]}" in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_a_library_that_is_missing_is_one_line(monkeypatch, capsys):
    """All that every installation has, too: half of it may be gone."""
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    monkeypatch.setattr(entry, "app", lambda: __import__("scipy.io"))
    with pytest.raises(SystemExit) as left:
        entry.main()
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert said.startswith("error: scipy.io is missing")
    assert "pip install . " in said
    monkeypatch.setattr(entry, "app", lambda: __import__("histoscope.no_such_module"))
    with pytest.raises(ModuleNotFoundError):
        entry.main()


def test_all_that_is_imported_is_asked_for(root):
    """A library comes with every installation, or with an extra whose absence is told."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    always = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    told = {
        canonicalize_name(Requirement(line).name)
        for extra, lines in extras.items()
        if extra not in NO_VERBS
        for line in lines
    }
    assert told - SPARED <= {name.lower() for name in NEEDED}, "name a call above that needs the new extra"
    brought_by = packages_distributions()
    for path in sorted((root / "src").rglob("*.py")):
        for module in _imported(ast.parse(path.read_text("utf-8"))):
            names = {canonicalize_name(name) for name in brought_by.get(module, [module])}
            assert names & (always | told), f"{path}: {module} is no dependency in pyproject.toml"


def _imported(tree: ast.AST) -> set[str]:
    """Libraries that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"histoscope"}
