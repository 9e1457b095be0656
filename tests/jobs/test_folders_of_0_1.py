"""Folders in v0_1/ were written by version 0.1: two of four images finished, the third cut off by a kill."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from histoscope.cli.main import app
from histoscope.tables import read_table

OLD = Path(__file__).parent / "v0_1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLD, tmp_path / "v0_1"))


def call(*arguments: object):
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("[ab]*"))}


def test_predict_goes_on_with_half_a_folder_of_0_1(folder):
    """Also where the model's card has arguments under names that have changed since."""
    out = folder / "predicted"
    before = contents(out)
    only = ["--only", "labels", "--only", "csv", "--only", "geojson"]
    done = call("predict", folder / "model", folder / "tiles", out, "--mpp", 0.5, *only)
    assert "2 finished images skipped" in done.stdout
    assert contents(out) == before
    table = read_table(out / "summary.csv")
    assert table["image"].tolist() == ["a", "b", "c", "d"]
    assert table["nuclei"].tolist()[:2] == [12, 13]
    for row in table.itertuples():
        assert len(read_table(out / f"{row.image}.csv")) == row.nuclei


def test_normalize_goes_on_with_half_a_folder_of_0_1(folder):
    out = folder / "normalized"
    before = contents(out)
    done = call("normalize", folder / "tiles", out)
    assert "2 images already done" in done.stdout
    assert contents(out) == before
    assert sorted(path.name for path in out.glob("*.png")) == ["a.png", "b.png", "c.png", "d.png"]
    assert (out / "c.png").stat().st_size > 1000
