"""What a run depends on, seen from outside: weights, scores, files, and what the machine was asked for.

Two runs with the same settings leave the same outcome, to the last bit. So a field that is read and then
ignored leaves its run's outcome as it was, and the test of that field fails. No test here knows who calls
whom.
"""

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from histoscope import data, synth
from histoscope.errors import HistoscopeError
from histoscope.types import Record

CLASSES = ("epithelial", "inflammatory")
# What only repeats the settings, or is another each time.
ECHOES = {"config.yaml", "environment.json", "checkpoint.safetensors"}
VOLATILE = {"written", "software", "seconds", "train", "started", "finished"}


# How a run is trained, for every verb that trains: field -> another value, and what makes it matter.
TRAIN_FIELDS: dict[str, tuple[Any, Mapping[str, Any]]] = {
    "train.steps": (3, {}),
    "train.batch_size": (1, {}),
    "train.patch_px": (48, {}),
    "train.on_nuclei": (1.0, {}),
    "train.labelled_share": (1.0, {"data.root": "HALF"}),
    "train.class_precision": (0.5, {}),
    "train.lr": (5e-3, {}),
    "train.warmup": (0.6, {}),
    "train.weight_decay": (0.5, {}),
    "train.ema": (0.5, {}),
    "train.precision": ("bf16-mixed", {}),
    "train.accelerator": ("auto", {}),
    "train.workers": (1, {}),
    "train.evaluate_every": (2, {}),
    "train.patience": (1, {"train.evaluate_every": 1, "train.lr": 1e-12}),
    "train.monitor": ("iou", {}),
    "train.checkpoint_every": (2, {}),
    "train.tensorboard": (True, {}),
}
TRANSFER_FIELDS: dict[str, tuple[Any, Mapping[str, Any]]] = {
    "train.transfer.backbone_lr": (0.1, {}),
    "train.transfer.layer_decay": (0.5, {}),
    "train.transfer.unfreeze_every": (2, {}),
    "train.transfer.frozen": (1, {}),
}


SHARED = {"train": TRAIN_FIELDS, "transfer": TRANSFER_FIELDS}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of each field in the tables of a module, and of those that it shares with others."""
    if "case" not in metafunc.fixturenames:
        return
    cases = metafunc.module.cases(SHARED)
    metafunc.parametrize("case", cases, ids=[f"{base}-{field}" for base, field, _, _ in cases])


def fields(kind: Any, before: str = "") -> Iterator[str]:
    """Dotted names of all leaves of a configuration class, optional sections too; a list is one leaf."""
    for name, annotation in _annotations(kind).items():
        sections = list(_sections(annotation))
        for section in sections:
            yield from fields(section, f"{before}{name}.")
        if not sections:
            yield before + name


def changed(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Plain settings with some of them, named with dots, set to other values."""
    copy: dict[str, Any] = json.loads(json.dumps(values))
    for key, value in changes.items():
        *parents, last = key.split(".")
        place = copy
        for parent in parents:
            if place.get(parent) is None:
                place[parent] = {}
            place = place[parent]
        place[last] = value
    return copy


def contents(folder: Path) -> dict[str, str]:
    """Digest of every file below a folder, without clocks, versions and copies of the settings."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or path.name in ECHOES:
            continue
        if "tensorboard" in path.parts:
            found["tensorboard"] = "there"
            continue
        content = path.read_bytes()
        if path.suffix in {".json", ".jsonl"}:
            lines = content.decode().splitlines() if path.suffix == ".jsonl" else [content.decode()]
            content = json.dumps([_still(json.loads(line)) for line in lines], sort_keys=True).encode()
        found[name] = hashlib.sha256(content).hexdigest()[:16]
    return found


def _still(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _still(inner) for key, inner in value.items() if key not in VOLATILE}
    return [_still(inner) for inner in value] if isinstance(value, list) else value


def _annotations(kind: Any) -> dict[str, Any]:
    if hasattr(kind, "model_fields"):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    return {field.name: field.type for field in dataclasses.fields(kind)}


def _sections(annotation: Any) -> Iterator[Any]:
    origin = typing.get_origin(annotation)
    if origin in {typing.Union, types.UnionType}:
        for inner in typing.get_args(annotation):
            yield from _sections(inner)
    elif isinstance(annotation, type) and (
        hasattr(annotation, "model_fields") or dataclasses.is_dataclass(annotation)
    ):
        yield annotation


@pytest.fixture(scope="session")
def tools() -> types.SimpleNamespace:
    """Functions of this file, for tests, which cannot import it."""
    return types.SimpleNamespace(
        fields=fields, changed=changed, contents=contents, shared=SHARED, errors=HistoscopeError
    )


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten tiles of 96 px with two classes; parts, patients and sources that do not follow from each other."""
    return _write(tmp_path_factory.mktemp("wiring") / "cohort", seed=3, tiles=10)


@pytest.fixture(scope="session")
def other_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six other tiles of the same kind."""
    return _write(tmp_path_factory.mktemp("wiring") / "other", seed=11, tiles=6)


@pytest.fixture(scope="session")
def half_labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten tiles, of which every second has no classes."""
    return _write(tmp_path_factory.mktemp("wiring") / "half", seed=5, tiles=10, plain=2)


@pytest.fixture(scope="session")
def third_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six more."""
    return _write(tmp_path_factory.mktemp("wiring") / "third", seed=12, tiles=6)


@pytest.fixture(scope="session")
def parts_list(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other parts of the cohort, as ``data split --out`` writes them."""
    path = tmp_path_factory.mktemp("parts") / "split.csv"
    names = sorted(file.stem for file in (cohort / "images").iterdir())
    rows = [f"{name},{'test' if k < 3 else 'train'},p{k}" for k, name in enumerate(names)]
    path.write_text("\n".join(["name,split,patient", *rows]))
    return path


@pytest.fixture(scope="session")
def other_index(patches: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other groups of the patches, as ``data audit --groups`` writes them."""
    path = tmp_path_factory.mktemp("groups") / "groups.csv"
    files = sorted(file.relative_to(patches) for file in patches.glob("*/*.png"))
    rows = [f"{file.as_posix()},{file.parent.name},g{(7 * k) % 8}" for k, file in enumerate(files)]
    path.write_text("\n".join(["path,class,group", *rows]))
    return path


def _write(folder: Path, *, seed: int, tiles: int, plain: int = 0) -> Path:
    samples = []
    for k, sample in enumerate(synth.cohort(tiles, 1, shape_px=(96, 96), mpp=0.5, seed=seed)):
        classes = sample.classes.copy()
        classes[1:] = 1 + np.arange(len(classes) - 1) % 5 // 4  # the second class is rare
        if plain and k % plain:
            classes[:] = 0
        samples.append(
            dataclasses.replace(
                sample, classes=classes, name=f"{folder.name}{k}", patient=f"{folder.name}{k}"
            )
        )
    records = [
        Record(
            s.name,
            s.patient,
            f"s{k // 2}",
            "test" if k % 5 > 2 else "train",
            tags={"lab": "AB"[k % 2], "site": str(k % 3)},
        )
        for k, s in enumerate(samples)
    ]
    sheet = data.Datasheet(folder.name, mpp=0.5, classes=dict(enumerate(CLASSES, 1)), licence="CC0-1.0")
    return data.write_folder(folder, samples, sheet, records=records)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a run asks of the machine: devices, precision, loader processes, steps of checkpoints."""
    from lightning_fabric import Fabric

    from histoscope.train import checkpoint, loader

    asked: dict[str, Any] = {"checkpoints": []}
    begin, make, save = Fabric.__init__, loader.PatchLoader.__init__, checkpoint.save

    def fabric(self: Any, *, accelerator: str, devices: int, precision: str, **more: Any) -> None:
        asked.update(accelerator=accelerator, devices=devices, precision=precision)
        begin(self, accelerator="cpu", devices=1, precision="32-true", **more)

    def patches(self: Any, *args: Any, workers: int = 0, **more: Any) -> None:
        asked["workers"] = workers
        make(self, *args, workers=0, **more)

    def keep(path: Path, model: Any, optimizer: Any, about: Mapping[str, Any]) -> None:
        asked["checkpoints"].append(about["step"])
        save(path, model, optimizer, about)

    monkeypatch.setattr(Fabric, "__init__", fabric)
    monkeypatch.setattr(loader.PatchLoader, "__init__", patches)
    monkeypatch.setattr(checkpoint, "save", keep)
    return asked


@pytest.fixture(scope="session")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four patches of two classes in a class folder, with the photographs that they come from."""
    from histoscope.files import write_image

    folder, rng = tmp_path_factory.mktemp("wiring") / "patches", np.random.default_rng(0)
    lines = ["path,class,source"]
    for k in range(24):
        kind = ("benign", "tumour")[k % 2]
        colour = np.array([(225, 170, 205), (150, 90, 170)][k % 2])
        image = np.clip(colour + rng.normal(0, 25, (32, 32, 3)), 0, 255).astype(np.uint8)
        write_image(folder / kind / f"{k:02d}.png", image)
        lines.append(f"{kind}/{k:02d}.png,{kind},photo{k // 4}{k % 2}")
    (folder / "index.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
