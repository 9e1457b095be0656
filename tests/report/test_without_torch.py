"""A report reads folders and draws: it needs no torch, and none of what trains."""

import subprocess
import sys

import pytest

BLOCKED = """
import sys
class Blocked:
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] in {"torch", "lightning_fabric", "timm"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocked)
from histoscope.cli.main import main
sys.argv = ["histoscope", "study", "report", sys.argv[1]]
main()
"""


@pytest.mark.parametrize("pictures", [False, True])
def test_a_study_is_reported_where_torch_cannot_be_imported(fabricate, pictures):
    folder = fabricate(pictures=pictures)
    subprocess.run([sys.executable, "-c", BLOCKED, str(folder)], check=True, timeout=60)
    assert "data:image/svg" in (folder / "report.html").read_text(encoding="utf-8")
