"""Every field of the settings of ``pretrain`` changes the backbone, or is refused since nothing reads it."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from histoscope import config
from histoscope.errors import ConfigError, HistoscopeError
from histoscope.train import selfsup
from histoscope.train.config import NOT_WITHOUT_LABELS

BASE = {
    "data": {
        "name": "class_folder",
        "root": "PATCHES",
        "mpp": 0.5,
        "split_by": "source",
        "val": 0.25,
        "test": 0.25,
    },
    "backbone": {"backbone": "unet", "patch_px": 32, "options": {"width": 4, "depth": 2}},
    "augment": "basic",
    "jitter": "none",
    "train": {"steps": 4, "batch_size": 4, "accelerator": "cpu", "tensorboard": False},
}
FIELDS: dict[str, tuple[Any, Mapping[str, Any]]] = {
    "data.name": ("monuseg", {}),
    "data.root": ("TILES", {"data.name": "folder", "data.split_by": "patient", "data.root": "OTHER_TILES"}),
    "data.mpp": (0.4, {"backbone.mpp": 0.5}),
    "data.split_by": ("name", {}),
    "data.val": (0.4, {}),
    "data.val_by": ("site", {"data.name": "folder", "data.root": "TILES", "data.split_by": "published"}),
    "data.test": (0.4, {}),
    "data.licence": ("CC BY 4.0", {"data.name": "folder", "data.root": "TILES"}),
    "data.citation": ("Somebody 2020", {"data.name": "folder", "data.root": "TILES"}),
    "data.tiles": (5, {}),
    "data.index": ("INDEX", {}),
    "data.split": ("PARTS", {"data.name": "folder", "data.root": "TILES", "data.split_by": "patient"}),
    "more": (
        [{"name": "folder", "root": "OTHER_TILES"}],
        {"data.name": "folder", "data.root": "TILES", "data.split_by": "patient"},
    ),
    "backbone": ({"backbone": "unet", "patch_px": 32, "options": {"width": 6, "depth": 2}}, {}),
    "augment": ("strong", {}),
    "jitter": ("stain", {}),
    "out": ("elsewhere", {}),
}
# Refused, as train.devices is for all that trains.
REFUSED = {f"train.{name}" for name in NOT_WITHOUT_LABELS} | {"train.devices"}


@pytest.fixture
def outcome(tools, cohort, other_cohort, patches, parts_list, other_index, machine, tmp_path):
    """Give a function that runs settings and tells all that came of it."""
    places = {"PATCHES": patches, "TILES": cohort, "OTHER_TILES": other_cohort}
    places |= {"PARTS": parts_list, "INDEX": other_index}

    def run(values: Mapping[str, Any], label: str) -> dict[str, Any]:
        machine["checkpoints"].clear()
        text = json.dumps(values)
        for word, path in places.items():
            text = text.replace(f'"{word}"', json.dumps(str(path)))
        settings = {"out": label, **json.loads(text)}
        settings["out"] = str(tmp_path / settings["out"])
        try:
            selfsup.run(config.parse(selfsup.Pretraining, settings))
        except ConfigError:
            raise
        except HistoscopeError as error:
            return {"error": type(error).__name__}
        folder = tmp_path / settings["out"]
        asked = {**machine, "checkpoints": list(machine["checkpoints"])}
        return {"files": tools.contents(folder), "moved": folder.name != label, "machine": asked}

    return run


def cases(shared):
    """Give base, field, other value, and what makes it matter, of every test of a field."""
    train = {name: case for name, case in shared["train"].items() if name not in REFUSED}
    train |= {"train.batch_size": (3, {}), "train.seed": (1, {})}
    return [("patches", field, *case) for field, case in (FIELDS | train).items()]


def test_every_field_has_another_value(tools):
    refused = tuple(REFUSED)
    known = {field for field in tools.fields(selfsup.Pretraining) if not field.startswith(refused)}
    missing = sorted(known - {field for _, field, _, _ in cases(tools.shared)})
    assert not missing, f"give each of these fields another value above, so that it is tested: {missing}"


def test_the_same_settings_leave_the_same_outcome(outcome):
    first, again = outcome(BASE, "first"), outcome(BASE, "again")
    assert "error" not in first
    assert first == again


def test_a_field_changes_what_pretraining_does(case, tools, outcome):
    _, field, value, besides = case
    without = tools.changed(BASE, besides)
    before, after = outcome(without, "base"), outcome(tools.changed(without, {field: value}), "other")
    assert "error" not in before
    assert before != after, f"{field} = {value!r} changed nothing: it is read and then ignored"


@pytest.mark.parametrize("name", NOT_WITHOUT_LABELS)
def test_what_nothing_reads_is_refused(name, tools, outcome):
    value = {"transfer": {"frozen": 1}, "monitor": "nll", "on_nuclei": 0.5, "ema": 0.5}
    value |= {"labelled_share": 0.5, "class_precision": 0.5}
    value = value.get(name, 7)
    with pytest.raises(ConfigError, match=rf"train\.{name} is .*leave it out"):
        outcome(tools.changed(BASE, {f"train.{name}": value}), "refused")


def test_a_batch_of_one_patch_is_refused(tools, outcome):
    with pytest.raises(ConfigError, match=r"batch_size is 1.*at least 2"):
        outcome(tools.changed(BASE, {"train.batch_size": 1}), "refused")
