"""``histoscope study``: what people and machines read, and exit codes."""

import json
import sys

import pytest
from typer.testing import CliRunner

from histoscope import data, studies, synth
from histoscope.cli.main import app
from histoscope.errors import HistoscopeError
from histoscope.studies import plan as plans
from histoscope.studies import runner
from histoscope.studies.events import Event
from histoscope.studies.runner import Summary
from histoscope.types import Record


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    samples = synth.cohort(4, 1, shape_px=(48, 48), mpp=0.5, seed=1)
    records = [
        Record(s.name, s.patient, s.source, "train" if k < 3 else "test") for k, s in enumerate(samples)
    ]
    folder = tmp_path_factory.mktemp("images") / "data"
    return data.write_folder(folder, samples, data.Datasheet("tiny", mpp=0.5), records=records)


@pytest.fixture
def config(images, tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(
        f"study: stain\ndata: {{name: folder, root: '{images}', val: 0.3}}\n"
        "models: {unet: {width: 4, depth: 2, mpp: 0.5}}\n"
        "train: {steps: 2, batch_size: 1, patch_px: 32, accelerator: cpu, tensorboard: false}\n"
        "augment: basic\nlevels: [none, reinhard]\nseeds: [0]\nconditions: [test]\n"
        f"out: '{tmp_path / 'out'}'\n"
    )
    return path


def invoke(*args):
    return CliRunner().invoke(app, ["study", *map(str, args)])


def test_list_asks_the_questions():
    said = invoke("list").output
    for study in studies.STUDIES.values():
        assert study.question in said
    assert {study["name"] for study in json.loads(invoke("list", "--json").output)} == set(studies.STUDIES)


def test_plan_says_what_is_missing_and_writes_nothing(config, tmp_path):
    result = invoke("plan", config, "--no-time")
    assert result.exit_code == 0
    assert "2 of 2 runs to do" in result.stdout
    assert not (tmp_path / "out").exists()


def test_plan_measures(config):
    planned = json.loads(invoke("plan", config, "--json").stdout)
    assert planned["states"] == {"none-unet-seed0": "missing", "reinhard-unet-seed0": "missing"}
    assert planned["pace"]["unet"]["step_seconds"] > 0
    assert planned["seconds"] > 2 * planned["pace"]["unet"]["step_seconds"]
    assert planned["images"] == {"train": 2, "val": 1, "test": 1}


def test_run_then_plan_then_report(config, tmp_path):
    result = invoke("run", config)
    assert result.exit_code == 0, result.output
    assert "2 runs done" in result.stdout
    assert "2 done earlier" in invoke("run", config).stdout
    assert set(plans.plan_study(studies.read_config(config)).states.values()) == {"finished"}
    assert "0 of 2 runs to do" in invoke("plan", config).stdout
    reported = invoke("report", tmp_path / "out")
    assert reported.exit_code == 0, reported.output
    assert (tmp_path / "out" / "report.html").is_file()


def test_failures_are_named_and_end_with_1(config, monkeypatch, tmp_path):
    def fake(chosen, *, jobs, cluster, tell, command):
        assert cluster is None
        assert command == f"histoscope study run {config.as_posix()} --jobs {jobs}"
        tell(Event("none-unet-seed0", "train", 1, 2))
        tell(Event("none-unet-seed0", "failed", note="StainError: no tissue"))
        return Summary(tmp_path, (), (), {"none-unet-seed0": "StainError: no tissue"})

    monkeypatch.setattr(runner, "run_study", fake)
    result = invoke("run", config, "--jobs", "2")
    assert result.exit_code == 1
    assert "none-unet-seed0: StainError: no tissue" in result.output
    machine = invoke("run", config, "--json")
    assert machine.exit_code == 1
    assert json.loads(machine.stdout)["failed"] == {"none-unet-seed0": "StainError: no tissue"}


@pytest.mark.parametrize("args", [("run", "missing.yaml"), ("report", "missing")])
def test_wrong_paths_are_one_clear_error(args):
    with pytest.raises(HistoscopeError, match="missing"):
        CliRunner().invoke(app, ["study", *args], catch_exceptions=False)


@pytest.mark.parametrize("options", [("--workers", "4"), ("--workers", "ray", "--jobs", "2")])
def test_workers_of_a_study_are_a_cluster(config, tmp_path, options):
    said = str(invoke("run", config, *options).exception)
    assert "expected ray or ray://HOST and no --jobs" in said
    assert not (tmp_path / "out").exists()


def test_a_study_without_ray_names_the_extra(config, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "pip install 'histoscope[ray]'" in str(invoke("run", config, "--workers", "ray").exception)
    assert not (tmp_path / "out").exists()
