"""``cohort report``: also while workers go on, and from a folder whose tables nobody wrote yet."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from histoscope.cli.main import app
from histoscope.errors import ConfigError, DatasetNotFoundError
from histoscope.ledger import Ledger, Row, Task, agree

BLOCKED = """
import sys
class Blocked:
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] in {"torch", "lightning_fabric", "timm"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocked)
from histoscope.cli.main import main
sys.argv = ["histoscope", "cohort", "report", sys.argv[1]]
main()
"""


@pytest.fixture
def out(tmp_path):
    """Give a folder in which one slide of three is done, one failed, and no call has ended."""
    slides = {name: {"path": f"/slides/{name}.svs"} for name in "abc"}
    agree(tmp_path / ".ledger" / "plan", lambda _: {"settings": {"model": "m"}, "slides": slides})
    done = {"slide": "a.svs", "tissue_mm2": 2.0, "nuclei": 10, "nuclei_per_mm2": 5.0, "error": ""}
    failed = {"slide": "b.svs", "stage": "open", "error": "no slide"}
    with Ledger.open(tmp_path / ".ledger") as ledger:
        for name, row in (("a", Row(done)), ("b", Row(failed, "no slide"))):
            ledger.draw([Task(name)]).finish(row)
    return tmp_path


def call(*words):
    return CliRunner().invoke(app, ["cohort", "report", *map(str, words)])


def test_a_night_that_goes_on_has_a_page(out):
    done = call(out)
    assert done.exit_code == 0, done.output
    assert "1 slide done, 1 failed, 1 to do; 0 outliers" in done.stdout
    assert (out / "cohort.html").is_file()
    found = json.loads(call(out, "--json").stdout)
    assert (found["done"], found["waiting"]) == (1, ["c"])
    assert found["failed"] == [{"image": "b", "stage": "open", "error": "no slide"}]


def test_what_belongs_together_is_counted(out):
    (out / "lab.csv").write_text("slide,patient\na.svs,1\nz.svs,2\n", encoding="utf-8")
    done = call(out, "--clinical", out / "lab.csv")
    assert "1 patient; 1 slide without a row, 1 row without a slide" in done.stdout


def test_groups_need_a_table_and_a_page_needs_results(out, tmp_path):
    assert isinstance(call(out, "--group", "arm").exception, ConfigError)
    assert isinstance(call(tmp_path / "nothing").exception, DatasetNotFoundError)


def test_no_torch_is_needed(out):
    subprocess.run([sys.executable, "-c", BLOCKED, str(out)], check=True)
    assert "cohort.parquet" in (out / "cohort.html").read_text(encoding="utf-8")
