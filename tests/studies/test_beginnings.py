"""The study of what networks for nuclei begin from: levels, minutes, weights, external test sets."""

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from histoscope import models
from histoscope.errors import ConfigError
from histoscope.models.card import read_card
from histoscope.report.beginnings import against_own, spent
from histoscope.report.results import read_study
from histoscope.report.write import write_report
from histoscope.studies import prepare, run_study
from histoscope.studies.beginnings import LABELS, LEVELS, RECIPES
from histoscope.studies.checks import check
from histoscope.studies.config import StudyConfig
from histoscope.studies.plan import plan_study
from histoscope.studies.study import Run
from histoscope.studies.task import task_of

STEPS = 4
ENCODER = "resnet10t"
TRAIN = {
    "steps": STEPS,
    "batch_size": 2,
    "patch_px": 32,
    "lr": 1e-12,  # weights stay where they began
    "evaluate_every": STEPS,
    "checkpoint_every": STEPS,
    "accelerator": "cpu",
    "tensorboard": False,
}
RUN = (
    "drawn_0",
    "imagenet_drawn_0",
    "scratch_2",
    "imagenet_2",
    "drawn_within_2",
    "imagenet_drawn_2",
    "unet_2",
)


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    torch.manual_seed(7)
    path = tmp_path_factory.mktemp("published") / "encoder.safetensors"
    save_file(timm.create_model(ENCODER).state_dict(), path)
    return path


@pytest.fixture
def configure(folders, published, tmp_path):
    def make(**changes) -> StudyConfig:
        other = {"name": "folder", "root": str(folders["other"])}
        values = {
            "study": "transfer_nuclei",
            "data": {"name": "folder", "root": str(folders["real"]), "val": 0},
            "external": {"lab": other, "learned": {"root": str(folders["learned"])}},
            "synthetic": {"procedural": {"root": str(folders["procedural"])}},
            "nuclei": {"imagenet": str(published), "step_seconds": {"encoder": 0.3, "unet": 0.1}},
            "models": {"stardist": {"encoder": ENCODER, "width": 4, "depth": 2, "n_rays": 8, "mpp": 0.5}},
            "levels": list(RUN),
            "seeds": [0],
            "train": TRAIN,
            "augment": "none",
            "out": str(tmp_path / "study"),
        }
        return StudyConfig.model_validate({**values, **changes})

    return make


def weights(folder, level):
    return load_file(folder / f"{level}-stardist-seed0" / "model" / "model.safetensors")


def test_every_level_begins_from_and_is_compared_with_one_that_exists():
    assert len(LEVELS) == 3 + 3 * len(RECIPES)
    for name, level in LEVELS.items():
        assert {level.get(key, name) for key in ("against", "initial_level")} <= set(LEVELS)
        assert LABELS[name]
        if "against" in level:
            assert level["against"] == f"scratch_{name.rpartition('_')[2]}"


def test_pretraining_comes_on_top_of_equal_steps_and_is_part_of_equal_minutes(configure):
    config = configure(levels=[], train={"steps": 100}, pretraining=0.4)
    seconds = {"encoder": 0.3, "unet": 0.1}
    for run in config.runs():
        before, steps = config.needed(run), config.steps(run)
        total = steps + (config.steps(before) if before else 0)
        pace = seconds["unet" if run.level.startswith("unet") else "encoder"]
        way = run.level.rpartition("_")[0]
        if way in {"scratch", "imagenet", "drawn", "imagenet_drawn"} and not run.level.endswith("_0"):
            assert steps == 100
        if way.endswith("_within") or way in {"scratch", "imagenet", "unet"}:
            assert total * pace == pytest.approx(30)


def test_equal_minutes_need_the_pace_of_both_networks(configure):
    with pytest.raises(ConfigError, match="'unet_2' trains for the same time"):
        check(configure(nuclei={}))
    assert check(configure(nuclei={}, levels=["scratch_2", "imagenet_2"])).declared.levels


def test_tuning_has_its_rate_whether_its_pretraining_is_counted_or_not(configure):
    config = configure(tuning_lr=1e-5)
    tuned = {level for level in RUN if config.training(Run(level, "stardist", 0)).lr == 1e-5}
    assert tuned == {"drawn_within_2", "imagenet_drawn_2"}


def test_each_begins_from_what_its_name_says(finished, published):
    theirs, begun = load_file(published)["conv1.0.weight"], {}
    for level in RUN:
        if level != "unet_2":
            begun[level] = weights(finished, level)["body.0.encoder.model.conv1.0.weight"]
    is_theirs = {level: torch.allclose(found, theirs, atol=1e-6) for level, found in begun.items()}
    assert {level for level, same in is_theirs.items() if same} == {
        *("imagenet_2", "imagenet_drawn_0", "imagenet_drawn_2")
    }
    assert torch.allclose(begun["drawn_within_2"], begun["drawn_0"], atol=1e-6)
    assert read_card(finished / "unet_2-stardist-seed0" / "model")["arguments"]["encoder"] == "unet"
    steps = {
        level: read_card(finished / f"{level}-stardist-seed0" / "model")["train"]["steps"] for level in RUN
    }
    assert steps == {
        **dict.fromkeys(RUN, STEPS),
        "drawn_0": 2,
        "imagenet_drawn_0": 2,
        "drawn_within_2": 2,
        "unet_2": 12,
    }
    told = read_card(finished / "imagenet_2-stardist-seed0" / "model")["begun from"]
    assert told.startswith("loaded ")
    assert str(published) in told


def test_each_external_test_set_is_a_condition_of_its_own(finished):
    study = read_study(finished)
    assert study.conditions == ["test", "external_lab", "external_learned"]
    for run in study.finished():
        names = run.table.groupby("condition")["name"].apply(set)
        assert names["external_lab"] == {"other0", "other1"}
        assert names["external_learned"] == {"learned0", "learned1", "learned2"}


def test_a_test_part_is_tested_on_unless_all_is_asked_for(configure, folders):
    given = {"root": str(folders["real"])}
    sets = {"some": given, "whole": {**given, "part": "all"}}
    found = prepare.external_sets(configure(external=sets))
    assert {name: len(dataset) for name, dataset in found.items()} == {
        "external_some": 2,
        "external_whole": 6,
    }
    asked = prepare.external_sets(configure(external=sets, conditions=["test", "external_some"]))
    assert list(asked) == ["external_some"]


def test_weights_of_another_network_end_the_study_before_it_begins(configure, tmp_path):
    save_file({"conv1.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    nuclei = {**configure().nuclei.model_dump(), "imagenet": str(tmp_path / "other.safetensors")}
    with pytest.raises(ConfigError, match=r"other\.safetensors does not fit"):
        run_study(configure(nuclei=nuclei))
    assert not list((tmp_path / "study").glob("*-seed0"))


def test_other_published_weights_are_refused_in_the_same_folder(finished, configure, tmp_path, published):
    other = {name: value + 1 for name, value in load_file(published).items()}
    save_file(other, tmp_path / "encoder.safetensors")
    nuclei = {**configure().nuclei.model_dump(), "imagenet": str(tmp_path / "encoder.safetensors")}
    with pytest.raises(ConfigError, match=r"imagenet|have changed"):
        run_study(configure(nuclei=nuclei))


def test_without_a_file_the_hub_is_asked(configure):
    task = task_of(configure(nuclei={"step_seconds": {"encoder": 1, "unet": 1}}))
    assert task._published(Run("imagenet_2", "stardist", 0)) == {"pretrained": True}
    assert task._published(Run("imagenet_drawn_2", "stardist", 0)) == {}


def test_the_plan_measures_both_networks(configure):
    planned = plan_study(configure())
    assert set(planned.pace) == {f"stardist on {ENCODER}", "stardist on unet"}
    assert planned.seconds > 0


def test_our_own_encoder_has_no_published_weights():
    with pytest.raises(ConfigError, match="no published weights"):
        models.create("stardist", encoder="unet", pretrained=True)


def test_the_report_compares_with_our_own_network_and_says_what_each_cost(finished):
    study = read_study(finished)
    own = against_own(study)
    assert {row.base for row in own} == {"unet_2"}
    assert {row.level for row in own} == {"scratch_2", "imagenet_2", "drawn_within_2"}
    cost = {row.level: row for row in spent(study)}
    assert cost["drawn_within_2"].steps == 2
    assert cost["drawn_within_2"].before == cost["drawn_0"].seconds > 0
    assert cost["scratch_2"].total == cost["scratch_2"].seconds
    page = write_report(finished)
    text = page.with_name("report.md").read_text()
    assert "External test set: lab" in text
    assert "by initial weights" in text
    assert "In the same minutes as our own U-Net" in text
    assert "What each cost" in page.read_text()
    assert (finished / "report_files" / "labels_external_lab.svg").is_file()
