"""Study folders that version 0.1 wrote: today's report has the numbers that 0.1 computed from them."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from histoscope.report.results import read_study
from histoscope.report.write import write_report

OLD = Path(__file__).parent / "studies_of_0_1"
TABLES = [path.relative_to(OLD / "expected") for path in sorted((OLD / "expected").rglob("*.csv"))]


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give copies of a study of nuclei and one of patches, each with its report."""
    root = tmp_path_factory.mktemp("old") / "studies"
    shutil.copytree(OLD, root)
    for study in ("nuclei", "patches"):
        write_report(root / study)
    return root


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_a_report_has_the_same_numbers(reported: Path, table: Path) -> None:
    expected = pd.read_csv(OLD / "expected" / table).replace("elsewhere", "external")
    pd.testing.assert_frame_equal(pd.read_csv(reported / table), expected, rtol=1e-12)


def test_the_external_test_set_has_its_name_of_today(reported: Path) -> None:
    study = read_study(reported / "nuclei")
    assert study.conditions == ["test", "external"]
    assert [run.status for run in study.runs] == ["finished"] * 6
    assert all(set(run.table["condition"]) == {"test", "external"} for run in study.runs)


def test_pages_show_images_and_name_the_machine(reported: Path) -> None:
    page = (reported / "nuclei" / "report.md").read_text(encoding="utf-8")
    assert "External test set" in page
    assert "gallery_0_unet.jpg" in page
    assert "0.1.0" in page
    assert "What a random split adds" in (reported / "patches" / "report.md").read_text(encoding="utf-8")
