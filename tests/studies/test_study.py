"""Declarations, their configuration, and every name in it."""

import pytest
import yaml

from histoscope.errors import ConfigError, UnknownNameError
from histoscope.metrics import METRICS, PATCH_METRICS
from histoscope.renamed import RenamedWarning
from histoscope.studies import STUDIES, get, read_config
from histoscope.studies.checks import check
from histoscope.studies.config import StudyConfig
from histoscope.studies.factors import DEFAULTS, FACTORS
from histoscope.studies.study import Run, runs

TEN_LINES = """\
study: stain
data: {name: folder, root: data/monuseg}
models:
  unet: {width: 4, depth: 2}
train: {steps: 10}
seeds: [0, 1]
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(TEN_LINES)
    return path


def test_run_names_never_change():
    assert Run("macenko", "unet", 0).name == "macenko-unet-seed0"


def test_seeds_turn_slowest_so_that_a_study_cut_short_can_compare():
    order = list(runs(["none", "macenko"], ["unet", "resunet"], [0, 1]))
    assert len(order) == len(set(order)) == 8
    assert [run.seed for run in order] == [0] * 4 + [1] * 4


@pytest.mark.parametrize("study", STUDIES.values(), ids=lambda study: study.name)
def test_declarations_hold_together(study):
    assert get(study.name) is study
    assert study.baseline in study.levels
    known = {*METRICS, "mpq_plus"} if study.task == "nuclei" else set(PATCH_METRICS)
    assert study.metric in known
    names = [condition.name for condition in study.conditions]
    assert study.primary_condition in names
    assert len(set(names)) == len(names)
    assert study.question.endswith("?")


def test_declaration_fills_in_what_the_file_leaves_out(config):
    chosen = read_config(config)
    assert chosen.declared.levels == ("none", "reinhard", "macenko", "vahadane")
    assert chosen.declared.models == ("unet",)
    assert len(chosen.runs()) == 4 * 1 * 2
    assert chosen.folder.as_posix() == "runs/stain"
    settings = chosen.settings(chosen.runs()[1])
    assert {key: settings[key] for key in ("normalizer", "augment", "arguments")} == {
        "normalizer": "reinhard",
        "augment": "default",
        "arguments": {"width": 4, "depth": 2},
    }


@pytest.mark.parametrize("factor", FACTORS)
def test_levels_say_nothing_that_a_run_does_not_read(factor):
    for level, settings in FACTORS[factor].levels.items():
        assert set(settings) <= set(DEFAULTS), level
        assert settings.get("same_training_as", "") in {"", *FACTORS[factor].levels}


def test_command_line_wins_over_the_file(config):
    chosen = read_config(config, ["train.steps=3", "levels=[none, macenko]", "out=elsewhere"])
    assert (chosen.train.steps, len(chosen.runs()), chosen.folder.name) == (3, 4, "elsewhere")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("study=stian", "did you mean 'stain'"),
        ("levels=[none, mackenko]", "did you mean 'macenko'"),
        ("models={unett: {}}", "did you mean 'unet'"),
        ("augment=defualt", "did you mean 'default'"),
        ("conditions=[test, shift_purpel]", "did you mean 'shift_purple'"),
        ("train.stesp=3", "did you mean 'steps'"),
        ("date=3", "did you mean 'data'"),
        ("data.rot=x", "did you mean 'root'"),
        ("levels=[macenko]", "'none'"),
        ("levels=[none, none]", "twice"),
        ("seeds=[1, 1]", "twice"),
        ("seeds=[-1, 1]", "seeds is -1, expected at least 0"),
        ("seeds=[9223372036854775808]", "below 2^63"),
        ("conditions=[shift_purple]", "'test'"),
        ("train.seed=3", "'seeds'"),
        ("train.steps=0", "steps"),
        ("data.val=1.5", "data.val"),
    ],
)
def test_wrong_settings_say_what_to_do(config, line, said):
    with pytest.raises((ConfigError, UnknownNameError)) as caught:
        read_config(config, [line])
    assert said in str(caught.value)


def test_configuration_survives_yaml(config, tmp_path):
    chosen = read_config(config)
    values = yaml.safe_load(yaml.safe_dump(chosen.model_dump(mode="json", exclude_none=True)))
    assert check(StudyConfig.model_validate(values)) == chosen


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["x/../../y"], "name of a folder"),
        (["a:b"], "name of a folder"),
        ([" "], "name of a folder"),
        (["TNBC", "tnbc"], "same folder"),
    ],
)
def test_names_of_external_test_sets_are_names_of_folders(config, names, why):
    lines = ["study=synthetic", "levels=[real_2]"]
    for good in (["NA", "None", "005"], names):
        given = ", ".join(f"{name!r}: {{name: folder, root: other}}" for name in good)
        if good is names:
            with pytest.raises(ConfigError, match=why):
                read_config(config, [*lines, f"external={{{given}}}"])
        else:
            chosen = read_config(config, [*lines, f"external={{{given}}}"])
            assert [*chosen.external] == good


def test_the_external_test_set_may_have_its_name_of_before(config):
    lines = ["study=synthetic", "levels=[real_2]", "external={name: folder, root: other}"]
    with pytest.warns(RenamedWarning, match="conditions: elsewhere is now conditions: external"):
        chosen = read_config(config, [*lines, "conditions=[test, elsewhere]"])
    assert [condition.name for condition in chosen.declared.conditions] == ["test", "external"]
