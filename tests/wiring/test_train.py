"""Every field of the settings of ``train`` changes what a run does: a new field is covered by itself."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from histoscope import config, models
from histoscope.errors import HistoscopeError
from histoscope.train import experiment

NUCLEI = {
    "data": {"name": "folder", "root": "COHORT", "val": 0.25, "test": 0.25},
    "model": {
        "name": "stardist",
        "arguments": {"width": 4, "depth": 2, "n_rays": 8, "head_width": 8, "mpp": 0.5},
    },
    "augment": "none",
    "train": {
        "steps": 4,
        "batch_size": 2,
        "patch_px": 32,
        "evaluate_every": 4,
        "checkpoint_every": 4,
        "accelerator": "cpu",
        "tensorboard": False,
    },
}
PATCHES = {
    "data": {
        "name": "class_folder",
        "root": "PATCHES",
        "mpp": 0.5,
        "split_by": "source",
        "val": 0.25,
        "test": 0.25,
    },
    "model": {
        "name": "classifier",
        "arguments": {"backbone": "unet", "patch_px": 32, "options": {"width": 4, "depth": 2}},
    },
    "augment": "none",
    "train": NUCLEI["train"],
}
BASES = {"nuclei": NUCLEI, "patches": PATCHES}
PUBLISHED = {"data.split_by": "published"}
MIXED = {"synthetic.root": "OTHER"}

# Field -> another value, and what must be set besides for the field to matter.
NUCLEI_FIELDS: dict[str, tuple[Any, Mapping[str, Any]]] = {
    "data.name": ("monuseg", {}),
    "data.root": ("OTHER", {}),
    "data.mpp": (0.4, {}),
    "data.split_by": ("site", {}),
    "data.val": (0.4, {}),
    "data.val_by": ("site", PUBLISHED),
    "data.licence": ("CC BY 4.0", {}),
    "data.citation": ("Somebody 2020", {}),
    "data.test": (0.45, {}),
    "data.tiles": (2, {}),
    "data.split": ("PARTS", {}),
    "more": ([{"name": "folder", "root": "OTHER"}], {}),
    "model.name": ("unet", {"model.arguments": {"width": 4, "depth": 2, "mpp": 0.5}}),
    "model.arguments": ({"width": 6, "depth": 2, "n_rays": 8, "head_width": 8, "mpp": 0.5}, {}),
    "synthetic.root": ("OTHER", {}),
    "synthetic.share": (1.0, MIXED),
    "synthetic.tiles": (2, MIXED),
    "synthetic.name": ("monuseg", MIXED),
    "synthetic.mpp": (0.4, MIXED),
    "synthetic.licence": ("made up", MIXED),
    "initial_weights": ("BEGUN", {}),
    "normalizer": ("macenko", {}),
    "reference": ("REFERENCE", {"normalizer": "macenko"}),
    "white": ((235.0, 228.0, 220.0), {"normalizer": "macenko"}),
    "augment": ("basic", {}),
    "jitter": ("hed_strong", {}),
    "balance": ("both", {}),
    "metrics": (["mcc"], {}),
    "train.seed": (1, {}),
    "out": ("elsewhere", {}),
}
PATCH_FIELDS: dict[str, tuple[Any, Mapping[str, Any]]] = {
    "data.index": ("INDEX", {}),
    "probe.l2": ([7.0], {"probe.cache": None}),
    "probe.cache": ("CACHE", {"probe.cache": None}),
}
# Refused before the first step, not ignored: tests/train holds what is said.
REFUSED = {"train.devices"}


@pytest.fixture(scope="module")
def places(cohort, other_cohort, half_labelled, patches, parts_list, other_index, tmp_path_factory):
    """Give real paths for the words that stand for them in the tables above."""
    base = tmp_path_factory.mktemp("places")
    torch.manual_seed(7)
    arguments = {**NUCLEI["model"]["arguments"], "classes": ["epithelial", "inflammatory"]}
    models.save(models.create("stardist", **arguments), base / "begun")
    return {
        "COHORT": cohort,
        "OTHER": other_cohort,
        "HALF": half_labelled,
        "PATCHES": patches,
        "PARTS": parts_list,
        "INDEX": other_index,
        "BEGUN": base / "begun",
        "REFERENCE": next((other_cohort / "images").iterdir()),
        "CACHE": base / "cache",
    }


@pytest.fixture(scope="module")
def baselines():
    """Outcomes of settings that several fields are compared with."""
    return {}


@pytest.fixture
def outcome(tools, places, machine, tmp_path):
    """Give a function that runs settings and tells all that came of it."""

    def run(values: Mapping[str, Any], label: str) -> dict[str, Any]:
        text = json.dumps(values)
        for word, path in places.items():
            text = text.replace(f'"{word}"', json.dumps(str(path)))
        settings = {"out": label, **json.loads(text)}
        settings["out"] = str(tmp_path / settings["out"])
        notes: list[str] = []
        machine["checkpoints"].clear()
        try:
            table = experiment.run(config.parse(experiment.Experiment, settings), on_note=notes.append)
        except HistoscopeError as error:
            return {"error": type(error).__name__}
        return {
            "files": tools.contents(tmp_path / settings["out"]),
            "moved": not settings["out"].endswith(label),
            "table": table.to_csv(index=False),
            "machine": {**machine, "checkpoints": list(machine["checkpoints"])},
            "cache": (places["CACHE"]).exists(),
        }

    return run


def cases(shared):
    """Give base, field, other value, and what makes it matter, of every test of a field."""
    nuclei, patches = NUCLEI_FIELDS | shared["train"], PATCH_FIELDS | shared["transfer"]
    return [
        (base, field, value, besides)
        for base, table in (("nuclei", nuclei), ("patches", patches))
        for field, (value, besides) in table.items()
    ]


def test_every_field_has_another_value(tools):
    tested = {field for _, field, _, _ in cases(tools.shared)} | REFUSED
    missing = sorted(set(tools.fields(experiment.Experiment)) - tested)
    assert not missing, f"give each of these fields another value above, so that it is tested: {missing}"


@pytest.mark.parametrize("base", BASES)
def test_the_same_settings_leave_the_same_outcome(base, outcome):
    first, again = outcome(BASES[base], "first"), outcome(BASES[base], "again")
    assert "error" not in first
    assert first == again  # else the tests below could not fail


def test_a_field_changes_what_training_does(case, tools, outcome, baselines):
    base, field, value, besides = case
    without = tools.changed(BASES[base], besides)
    key = json.dumps(without, sort_keys=True)
    if key not in baselines:
        baselines[key] = outcome(without, "base")
    other = outcome(tools.changed(without, {field: value}), "other")
    assert "error" not in baselines[key]
    if not field.endswith(".name"):  # another reader finds nothing to read there, and says so
        assert "error" not in other
    assert other != baselines[key], f"{field} = {value!r} changed nothing: it is read and then ignored"
