"""``histoscope demo``: what it prints, and where."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from histoscope import demo
from histoscope.cli.main import app
from histoscope.errors import ConfigError, MissingDependencyError
from histoscope.studies.runner import Summary


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Keep what the demo is asked for; give back a finished one."""
    calls = []

    def fake(out, *, seed, size, tell, say):
        calls.append((out, seed, size))
        say("drawing ...")
        failed = {"none-unet-seed0": "StainError: no tissue"} if seed == 13 else {}
        return demo.DemoResult(
            ("On laboratory B: no difference is shown.",),
            tmp_path / "report.html",
            tmp_path / "before_after.png",
            tmp_path / "outlines.png",
            {"draw": 1.0, "train": 61.0},
            Summary(Path(out), ("macenko-unet-seed0",), (), failed),
        )

    monkeypatch.setattr(demo, "run_demo", fake)
    return calls


def test_it_needs_no_argument_and_says_where_to_look(asked, tmp_path):
    result = CliRunner().invoke(app, ["demo"])
    assert result.exit_code == 0, result.output
    assert asked == [(Path("histoscope_demo"), 0, demo.FULL)]
    assert "no difference is shown" in result.stdout
    assert str(tmp_path / "report.html") in result.stdout
    assert str(tmp_path / "outlines.png") in result.stdout
    assert "histoscope predict nuclei IMAGE" in result.stdout
    assert "62 s in all" in result.stdout
    assert "proves nothing about real slides" in result.stdout


def test_it_ends_with_the_page_on_its_results(asked, monkeypatch):
    opened = []
    monkeypatch.setattr("histoscope.cli.view.view", lambda folders, **how: opened.append((folders, how)))
    monkeypatch.setattr("histoscope.viewer.running.require", lambda: None)
    said = CliRunner().invoke(app, ["demo", "my demo"])
    assert "histoscope view 'my demo'" in said.stdout
    assert not opened
    assert CliRunner().invoke(app, ["demo", "x", "--view"]).exit_code == 0
    assert opened == [([Path("x")], {"port": 0})]


def test_a_missing_viewer_is_named_before_the_demo_runs(asked, monkeypatch):
    def refuse():
        raise MissingDependencyError("the page needs fastapi")

    monkeypatch.setattr("histoscope.viewer.running.require", refuse)
    said = CliRunner().invoke(app, ["demo", "x", "--view"])
    assert isinstance(said.exception, MissingDependencyError)
    assert not asked


def test_quick_is_small(asked):
    assert CliRunner().invoke(app, ["demo", "x", "--quick", "--seed", "4"]).exit_code == 0
    assert asked == [(Path("x"), 4, demo.QUICK)]


def test_machines_read_json_alone(asked):
    told = json.loads(CliRunner().invoke(app, ["demo", "--json"]).stdout)
    assert told["seconds"] == {"draw": 1.0, "train": 61.0}


def test_a_failed_run_ends_with_1(asked):
    result = CliRunner().invoke(app, ["demo", "--seed", "13"])
    assert result.exit_code == 1
    assert "none-unet-seed0 failed: StainError: no tissue" in result.output


def test_a_foreign_folder_is_one_clear_error(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="something other than a demo"):
        CliRunner().invoke(app, ["demo", str(tmp_path)], catch_exceptions=False)
