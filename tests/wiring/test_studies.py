"""Every field of a study's settings, and every setting of a level, changes what its runs do."""

import dataclasses
import json
import types
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from histoscope import models, stain, studies
from histoscope.errors import HistoscopeError
from histoscope.studies import checks, factors, nuclei, prepare, run_study
from histoscope.studies.conditions import restainer
from histoscope.studies.config import StudyConfig
from histoscope.train import training
from histoscope.train.training import TestSets

STARDIST = {"width": 4, "depth": 2, "n_rays": 8, "head_width": 8, "mpp": 0.5}
TRAIN = {
    "steps": 4,
    "batch_size": 2,
    "patch_px": 32,
    "evaluate_every": 4,
    "checkpoint_every": 4,
    "accelerator": "cpu",
    "tensorboard": False,
}
UNLABELLED = {key: TRAIN[key] for key in ("steps", "batch_size", "accelerator", "tensorboard")}
NUCLEI = {
    "study": "stain",
    "data": {"name": "folder", "root": "COHORT", "val": 0.25},
    "models": {"stardist": STARDIST},
    "levels": ["none"],
    "conditions": ["test"],
    "train": TRAIN,
    "augment": "none",
    "seeds": [0],
}
TISSUE = {
    **NUCLEI,
    "study": "synthetic",
    "levels": ["real_2", "procedural_mixed_2", "procedural_half", "procedural_tuned_2"],
    "conditions": ["test"],
    "synthetic": {"procedural": {"root": "OTHER"}},
}
PATCHES = {
    "study": "transfer",
    "data": {"name": "class_folder", "root": "PATCHES", "mpp": 0.5, "val": 0.25, "val_by": "source"},
    "patches": {
        "backbone": {"backbone": "unet", "patch_px": 32, "options": {"width": 4, "depth": 2}},
        "imagenet": "IMAGENET",
        "test": 0.25,
        "drawn": 12,
        "synthetic": TRAIN,
        "self_supervised": UNLABELLED,
    },
    "models": {"groups_2": {}},
    "levels": ["scratch"],
    "conditions": ["grouped"],
    "train": TRAIN,
    "augment": "none",
    "seeds": [0],
}
BEGINNINGS = {
    **NUCLEI,
    "study": "transfer_nuclei",
    "models": {"stardist": {**STARDIST, "encoder": "resnet10t"}},
    "nuclei": {"imagenet": "PUBLISHED", "step_seconds": {"encoder": 1.0, "unet": 1.0}},
    "levels": ["scratch_2", "imagenet_2", "unet_2"],
}
BASES = {"nuclei": NUCLEI, "tissue": TISSUE, "beginnings": BEGINNINGS, "patches": PATCHES}
EXTERNAL = {
    "external": {"lab": {"name": "folder", "root": "OTHER"}},
    "conditions": ["test", "external_lab"],
    "levels": ["real_2"],
}
DRAWN = {"levels": ["scratch", "synthetic"]}
TUNED = {"levels": ["scratch", "imagenet_tuned"]}

NUCLEI_FIELDS: dict[str, tuple[Any, Mapping[str, Any]]] = {
    "study": ("colour", {}),
    "data.name": ("monuseg", {}),
    "data.root": ("OTHER", {}),
    "data.mpp": (0.4, {}),
    "data.val": (0.4, {}),
    "data.val_by": ("site", {}),
    "data.licence": ("CC BY 4.0", {}),
    "data.citation": ("Somebody 2020", {}),
    "models": ({"stardist": {**STARDIST, "width": 6}}, {}),
    "augment": ("basic", {}),
    "jitter": ("hed_strong", {}),
    "seeds": ([1], {}),
    "levels": (["none", "macenko"], {}),
    "conditions": (["test", "shift_faint"], {}),
    "out": ("elsewhere", {}),
}
TISSUE_FIELDS: dict[str, tuple[Any, Mapping[str, Any]]] = {
    "external": ({"hospital": {"name": "folder", "root": "OTHER"}}, EXTERNAL | {"conditions": []}),
    "external.lab.name": ("monuseg", EXTERNAL),
    "external.lab.root": ("THIRD", EXTERNAL),
    "external.lab.mpp": (0.4, EXTERNAL),
    "external.lab.part": ("all", EXTERNAL),
    "synthetic": ({"procedural": {"root": "OTHER", "tiles": 2}}, {}),
    "pretraining": (0.25, {}),
    "tuning_lr": (1e-5, {}),
    "sizes": ({"stardist": [2]}, {"levels": ["real_2", "real_all"]}),
}
BEGINNING_FIELDS: dict[str, tuple[Any, Mapping[str, Any]]] = {
    "nuclei.imagenet": ("OTHER_PUBLISHED", {}),
    "nuclei.step_seconds.encoder": (1.5, {}),
    "nuclei.step_seconds.unet": (0.5, {}),
}
PATCH_FIELDS: dict[str, tuple[Any, Mapping[str, Any]]] = {
    "patches.backbone": ({"backbone": "unet", "patch_px": 32, "options": {"width": 6, "depth": 2}}, {}),
    "patches.imagenet": ("OTHER_WEIGHTS", TUNED),
    "patches.test": (0.4, {}),
    "patches.drawn": (16, DRAWN),
    "patches.synthetic.steps": (3, DRAWN),
    "patches.self_supervised.steps": (3, {"levels": ["scratch", "self_supervised"]}),
    "patches.tuned.backbone_lr": (0.1, TUNED),
    "patches.tuned_lr": (1e-5, TUNED),
}
# Refused, not ignored; or used by no study of this kind.
REFUSED = {"train.seed", "train.devices"}

LEVEL_SETTINGS: dict[str, Any] = {
    "normalizer": "macenko",
    "augment": "basic",
    "jitter": "hed_strong",
    "balance": "both",
    "arguments": {"width": 6},
    "tta": True,
    "same_training_as": "none",
    "tiles": 2,
    "part": "pretraining",
}
# Initial weights and equal minutes have tests in tests/studies; `against` chooses what reports compare.
ELSEWHERE_TESTED = {"initial_weights", "against", "synthetic", "initial_level", "equal_minutes"}


@pytest.fixture(scope="module")
def places(cohort, other_cohort, half_labelled, third_cohort, patches, tmp_path_factory):
    """Give real paths for the words that stand for them in the tables above."""
    base, arguments = tmp_path_factory.mktemp("places"), PATCHES["patches"]["backbone"]
    for number, name in enumerate(("imagenet", "other_weights")):
        torch.manual_seed(number)
        models.save(models.create("classifier", **arguments), base / name)
        save_file(timm.create_model("resnet10t").state_dict(), base / f"{name}.safetensors")
    return {
        "COHORT": cohort,
        "OTHER": other_cohort,
        "HALF": half_labelled,
        "THIRD": third_cohort,
        "PATCHES": patches,
        "IMAGENET": base / "imagenet",
        "OTHER_WEIGHTS": base / "other_weights",
        "PUBLISHED": base / "imagenet.safetensors",
        "OTHER_PUBLISHED": base / "other_weights.safetensors",
    }


@pytest.fixture(scope="module")
def baselines():
    """Outcomes of settings that several fields are compared with."""
    return {}


@pytest.fixture
def configure(places, tmp_path):
    """Give a function that makes the configuration of a study of its plain settings."""

    def make(values: Mapping[str, Any], label: str) -> StudyConfig:
        text = json.dumps(values)
        for word, path in places.items():
            text = text.replace(f'"{word}"', json.dumps(str(path)))
        settings = {"out": label, **json.loads(text)}
        settings["out"] = str(tmp_path / settings["out"])
        return checks.check(StudyConfig.model_validate(settings))

    return make


@pytest.fixture
def outcome(tools, machine, configure):
    """Give a function that runs settings and tells all that came of it."""

    def run(values: Mapping[str, Any], label: str) -> dict[str, Any]:
        machine["checkpoints"].clear()
        chosen = configure(values, label)
        try:
            done = run_study(chosen)
        except HistoscopeError as error:
            return {"error": type(error).__name__}
        if done.failed:
            return {"error": str(done.failed)}
        files = tools.contents(chosen.folder)
        files.pop("study.yaml")
        return {
            "files": {name: digest for name, digest in files.items() if not name.endswith("spent.json")},
            "moved": chosen.folder.name != label,
            "machine": {**machine, "checkpoints": list(machine["checkpoints"])},
        }

    return run


def cases(shared):
    """Give base, field, other value, and what makes it matter, of every test of a field."""
    tables = {
        "nuclei": NUCLEI_FIELDS | shared["train"],
        "tissue": TISSUE_FIELDS,
        "beginnings": BEGINNING_FIELDS,
        "patches": PATCH_FIELDS | shared["transfer"],
    }
    return [
        (base, field, value, besides)
        for base, table in tables.items()
        for field, (value, besides) in table.items()
    ]


def test_every_field_has_another_value(tools):
    tested = {field for _, field, _, _ in cases(tools.shared)} | REFUSED
    sections = ("patches.synthetic.", "patches.self_supervised.", "patches.tuned.")
    known = {field for field in tools.fields(StudyConfig) if not field.startswith(sections)}
    missing = sorted(known - tested)
    assert not missing, f"give each of these fields another value above, so that it is tested: {missing}"
    assert set(LEVEL_SETTINGS) | ELSEWHERE_TESTED == set(factors.DEFAULTS)


@pytest.mark.parametrize("base", BASES)
def test_the_same_settings_leave_the_same_outcome(base, outcome):
    first, again = outcome(BASES[base], "first"), outcome(BASES[base], "again")
    assert "error" not in first, first
    assert first == again  # else the tests below could not fail


def test_a_field_changes_what_a_study_does(case, tools, outcome, baselines):
    base, field, value, besides = case
    without = tools.changed(BASES[base], besides)
    key = json.dumps(without, sort_keys=True)
    if key not in baselines:
        baselines[key] = outcome(without, "base")
    assert "error" not in baselines[key], baselines[key]
    other = outcome(tools.changed(without, {field: value}), "other")
    if not field.endswith(".name"):  # another reader finds nothing to read there, and says so
        assert "error" not in other, other
    assert other != baselines[key], f"{field} = {value!r} changed nothing: it is read and then ignored"


def watched(monkeypatch) -> list[TestSets]:
    """What the runs of a study are tested on, in order."""
    tests, score = [], training.score

    def watch(task, model, test, *others, **how):
        tests.append(test)
        return score(task, model, test, *others, **how)

    for module in (training, nuclei):
        monkeypatch.setattr(module, "score", watch)
    return tests


@pytest.mark.parametrize("setting", LEVEL_SETTINGS)
def test_a_setting_of_a_level_changes_what_its_run_does(setting, monkeypatch, tools, configure):
    levels = {"none": {}, "changed": {setting: LEVEL_SETTINGS[setting]}}
    factor = dataclasses.replace(factors.FACTORS["normalizer"], levels=levels)
    monkeypatch.setitem(factors.FACTORS, "normalizer", factor)
    tests = watched(monkeypatch)
    chosen = configure({**NUCLEI, "levels": ["none", "changed"]}, "study")
    assert not run_study(chosen).failed
    before, after = (tools.contents(chosen.folder / f"{level}-stardist-seed0") for level in levels)
    weights = "model/model.safetensors"
    assert before["model/card.json"] != after["model/card.json"]  # it names its run
    if setting == "same_training_as":
        assert before[weights] == after[weights]
        assert "log.jsonl" not in after
    elif setting == "tta":
        assert before[weights] == after[weights]
        assert [test.tta for test in tests] == [False, True]
    else:
        assert before[weights] != after[weights], f"{setting} changed nothing: it is read and then ignored"


def test_a_level_begins_from_the_weights_of_another(tools, configure):
    """Tuning on the same real tiles ends elsewhere if pretraining saw other synthetic ones."""
    levels = ["real_2", "procedural_half", "procedural_tuned_2"]
    ends = []
    for root in ("OTHER", "THIRD"):
        chosen = configure({**TISSUE, "levels": levels, "synthetic": {"procedural": {"root": root}}}, root)
        assert not run_study(chosen).failed
        runs = [tools.contents(chosen.folder / f"{level}-stardist-seed0") for level in levels]
        ends.append([run["model/model.safetensors"] for run in runs])
    assert [one == other for one, other in zip(*ends, strict=True)] == [True, False, False]


def test_test_images_are_stained_anew_first_and_normalised_then(monkeypatch, configure, places):
    """The other laboratory comes before what this one does about it; the other way round differs."""
    tests = watched(monkeypatch)
    chosen = configure({**NUCLEI, "levels": ["none", "macenko"], "conditions": ["test", "shift_purple"]}, "s")
    assert not run_study(chosen).failed
    shown = [dataset[0].image for test in tests for dataset in test.sets.values()]
    parts = prepare.open_parts(chosen.data)
    image = parts.test[0].image
    normalise = stain.Macenko.fit(prepare.choose_reference(parts.train).image)
    restain = restainer(studies.get("stain").condition("shift_purple"))
    expected = [image, restain(image), normalise(image), normalise(restain(image))]
    assert [np.array_equal(*pair) for pair in zip(shown, expected, strict=True)] == [True] * 4
    assert not np.array_equal(shown[3], restain(normalise(image)))


@pytest.mark.parametrize(("level", "section"), [("synthetic", "fit"), ("self_supervised", "pretrain")])
def test_pretraining_is_given_all_its_settings(level, section, monkeypatch, configure):
    """The whole section goes to the loop as it is, but for the seed, which is the run's."""
    from histoscope.train import loop, selfsup

    given = types.SimpleNamespace()

    def watch(model, *samples_and_config, **how):
        given.config = samples_and_config[-1]
        raise KeyboardInterrupt

    monkeypatch.setattr(loop if section == "fit" else selfsup, section, watch)
    values = json.loads(json.dumps(PATCHES))
    known = TRAIN if section == "fit" else UNLABELLED
    values["patches"][level] = {**known, "lr": 0.004, "warmup": 0.3, "weight_decay": 0.2, "batch_size": 3}
    chosen = configure({**values, "levels": ["scratch", level], "seeds": [5]}, "study")
    with pytest.raises(KeyboardInterrupt):
        run_study(chosen)
    assert given.config == dataclasses.replace(getattr(chosen.patches, level), seed=5)


def test_events_name_their_run_their_stage_and_how_far_it_is(configure):
    told = []
    chosen = configure({**NUCLEI, "levels": ["none", "macenko"]}, "study")
    assert not run_study(chosen, tell=told.append).failed
    names = {run.name for run in chosen.runs()}
    assert {event.run for event in told if "/" not in event.run} == names  # of the data, "data/images"
    for name in names:
        stages = [event.stage for event in told if event.run == name]
        assert stages.index("prepare") < stages.index("train") < stages.index("test")
        tested = [event for event in told if (event.run, event.stage) == (name, "test")]
        assert [event.done for event in tested] == list(range(1, 1 + tested[0].total))
