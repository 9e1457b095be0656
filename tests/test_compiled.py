"""Kernels run wherever they are installed, and keep what they compiled where they can."""

import os
import subprocess
import sys
import textwrap

import pytest

from histoscope import compiled

KERNEL = """
from histoscope.compiled import njit

@njit
def once(x):
    return x + 1

@njit(error_model="numpy")
def ratio(a, b):
    return a / b

print(once(1), ratio(1.0, 0.0), once.stats.cache_path, ratio.stats.cache_path)
"""


@pytest.fixture
def read_only(tmp_path):
    """Give what runs a module where neither its folder nor HOME takes compiled code, not even of root."""
    (tmp_path / "__pycache__").write_text("a file where the folder would be")
    (tmp_path / "temporary").mkdir()
    chosen = {"NUMBA_CACHE_DIR", "XDG_CACHE_HOME"}
    own = {key: value for key, value in os.environ.items() if key not in chosen}
    own |= {"HOME": "/dev/null", "TMPDIR": str(tmp_path / "temporary")}

    def run(before=""):
        (tmp_path / "kernel.py").write_text(textwrap.dedent(before) + KERNEL)
        done = subprocess.run(
            [sys.executable, "kernel.py"], cwd=tmp_path, env=own, capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    return run


@pytest.mark.skipif(sys.platform != "linux", reason="the user's cache folder is elsewhere")
def test_a_read_only_place_keeps_kernels_among_the_temporary_files(read_only, tmp_path):
    one, infinite, *folders = read_only()
    assert (one, infinite) == ("2", "inf")
    assert all(str(tmp_path / "temporary") in folder for folder in folders)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "temporary").rglob("*.nbc")}
    assert len(kept) == 2
    read_only()
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "temporary").rglob("*.nbc")} == kept


@pytest.mark.skipif(sys.platform != "linux", reason="the user's cache folder is elsewhere")
def test_without_any_place_kernels_still_run(read_only, tmp_path):
    nowhere = "from histoscope import compiled\ncompiled.temporary_folder = lambda: None"
    assert read_only(nowhere) == ["2", "inf", "None", "None"]
    assert not any((tmp_path / "temporary").iterdir())


def test_a_folder_that_others_can_write_is_not_trusted(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled.tempfile, "gettempdir", lambda: str(tmp_path))
    place = compiled.temporary_folder()
    assert place.stat().st_mode & 0o077 == 0
    place.chmod(0o777)
    assert compiled.temporary_folder() is None
    place.rmdir()
    place.symlink_to(tmp_path / "elsewhere")
    assert compiled.temporary_folder() is None
    monkeypatch.chdir(tmp_path)  # where Python ends up without a temporary folder: results belong there
    place.unlink()
    assert compiled.temporary_folder() is None
    assert not place.exists()


def test_no_kernel_asks_numba_for_a_cache_by_itself():
    from pathlib import Path

    import histoscope

    sources = Path(histoscope.__file__).parent.rglob("*.py")
    assert not [path for path in sources if "cache=True" in path.read_text(encoding="utf-8")]
