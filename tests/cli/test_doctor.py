"""The doctor finds what is wrong, says what to do, and never falls ill itself."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from histoscope import compiled
from histoscope.cli import doctor
from histoscope.cli.main import app
from histoscope.images import limits
from histoscope.viewer import running

NMS = RuntimeError("operator torchvision::nms does not exist\nmore lines")


def _fake(torch: str = "2.15.0+cu130", vision: str | Exception = "0.29.2+cu130"):
    """Stand-in for the importer, with these versions or errors."""

    def load(name: str) -> SimpleNamespace:
        if name == "torch":
            return SimpleNamespace(
                __version__=torch, get_num_threads=lambda: 2, zeros=lambda _: 0, ones=lambda _: 1
            )
        if isinstance(vision, Exception):
            raise vision
        return SimpleNamespace(__version__=vision, ops=SimpleNamespace(nms=lambda *_: None))

    return load


def test_json_names_every_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_import", _fake())
    monkeypatch.setattr(doctor, "encoders", list)
    monkeypatch.setattr(doctor, "gpu", list)
    done = CliRunner().invoke(app, ["doctor", "--json"])
    answer = json.loads(done.stdout)
    names = [check["name"] for check in answer["checks"]]
    assert names[:5] == ["Python", "libraries", "torch", "torchvision", "backends"]
    assert names[5:] == ["viewer", "cores, memory", "kernel cache", "disk"]
    assert done.exit_code == (0 if answer["healthy"] else 1)
    assert all({"name", "status", "found", "advice"} == set(check) for check in answer["checks"])


def test_a_failure_leaves_with_one_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = doctor.Check("torch", "FAIL", "ImportError: [Errno 2] broken", "pip install torch")
    monkeypatch.setattr(doctor, "examine", lambda: [doctor.Check("Python", "PASS", "3.12.1"), bad])
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1
    assert "pip install torch" in done.stdout
    assert "[Errno 2]" in done.stdout  # brackets are text, not markup
    assert "not ready: torch" in done.stdout


def test_a_warning_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: [doctor.Check("GPU", "WARN", "asleep")])
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 0
    assert "ready" in done.stdout


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ((3, 10, 9), "FAIL"),
        ((3, 11, 0), "PASS"),
        ((3, 13, 5), "PASS"),
        ((3, 14, 0), "WARN"),
        ((4, 0, 0), "WARN"),
    ],
)
def test_python_versions(version: tuple[int, ...], status: str) -> None:
    assert doctor.python(version).status == status


@pytest.mark.parametrize(
    ("torch", "cure"), [("2.15.0+cpu", doctor.CPU_WHEELS), ("2.15.0+cu130", doctor.DEFAULT_WHEELS)]
)
def test_the_trap_of_two_builds_is_explained(monkeypatch: pytest.MonkeyPatch, torch: str, cure: str) -> None:
    monkeypatch.setattr(doctor, "_import", _fake(torch, NMS))
    first, second = doctor.torch_pair()
    assert (first.status, second.status) == ("PASS", "FAIL")
    assert second.found == "RuntimeError: operator torchvision::nms does not exist"
    assert "do not match" in second.advice
    assert second.advice.endswith(cure)


def test_a_missing_torchvision_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_import", _fake(vision=ModuleNotFoundError("No module named 'torchvision'")))
    assert doctor.torch_pair()[1].advice.startswith("pip install torchvision")


def test_two_builds_that_happen_to_load_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_import", _fake("2.15.0+cpu", "0.29.2+cu130"))
    assert doctor.torch_pair()[1].status == "WARN"


def test_a_broken_torch_is_the_only_line_of_the_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise OSError("libcudart.so: cannot open shared object file")

    monkeypatch.setattr(doctor, "_import", broken)
    (check,) = doctor.torch_pair()
    assert (check.status, check.advice) == ("FAIL", doctor.DEFAULT_WHEELS)
    assert "libcudart" in check.found
    assert all(check.status == "FAIL" for check in doctor.encoders())
    assert doctor.gpu()[0].status == "WARN"


@pytest.mark.parametrize(("free_gib", "status"), [(0.1, "FAIL"), (2, "WARN"), (50, "PASS")])
def test_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_gib: float, status: str) -> None:
    usage = SimpleNamespace(free=free_gib * 2**30)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    assert doctor.disk(tmp_path).status == status


def test_a_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "_writable", lambda _: False)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    assert doctor.disk(tmp_path).status == "FAIL"
    assert "NUMBA_CACHE_DIR" in doctor.numba_cache().advice
    monkeypatch.setattr(compiled, "temporary_folder", lambda: tmp_path)
    assert doctor.numba_cache().found.endswith(f"{tmp_path} is used until it is emptied")
    monkeypatch.setattr(compiled, "temporary_folder", lambda: None)
    assert doctor.numba_cache().found.endswith("kernels are compiled again at each start")
    assert doctor.numba_cache().status == "WARN"


def test_a_chosen_kernel_cache_is_the_one_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "not" / "yet"))
    assert doctor.numba_cache() == doctor.Check("kernel cache", "PASS", str(tmp_path / "not" / "yet"))


@pytest.mark.parametrize(("gib", "status"), [(2, "WARN"), (16, "PASS")])
def test_memory(monkeypatch: pytest.MonkeyPatch, gib: float, status: str) -> None:
    monkeypatch.setattr(limits, "free_memory", lambda: gib * 2**30)
    assert doctor.cores_and_memory().status == status


def test_old_and_missing_libraries_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    versions = {"histoscope": "0.1.0", "numpy": "1.20", "rich": "15.0"}

    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    needs = ["numpy>=1.26", "rich>=13.7", "scipy>=1.11", "ruff>=0.8; extra == 'dev'"]
    monkeypatch.setattr(metadata, "requires", lambda _: needs)
    monkeypatch.setattr(metadata, "version", version)
    (check,) = doctor.libraries()
    assert check.status == "FAIL"
    assert check.found == "numpy 1.20 is not >=1.26; scipy is missing"
    versions.update(numpy="2.4", scipy="1.17")
    assert doctor.libraries() == [
        doctor.Check("libraries", "PASS", "histoscope 0.1.0, numpy 2.4, rich 15.0, scipy 1.17")
    ]


def test_backends_are_listed_and_a_faster_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from histoscope.models.backends import choosing

    monkeypatch.setattr(choosing, "find_spec", lambda _: None)
    check = doctor.backends()
    assert check.status == "PASS"
    assert check.found.startswith("torch ")
    assert "openvino" not in check.found
    assert check.advice.endswith("pip install 'histoscope[openvino]'")


@pytest.mark.parametrize(
    ("installed", "fetched", "status", "advice"),
    [
        (False, False, "PASS", "pip install 'histoscope[viewer]'"),
        (True, False, "WARN", "python build_page.py"),
        (True, True, "PASS", ""),
    ],
)
def test_what_the_viewer_lacks_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, installed: bool, fetched: bool, status: str, advice: str
) -> None:
    page = tmp_path / "openseadragon.min.js"
    if fetched:
        page.write_text("")
    monkeypatch.setattr(running, "VENDOR", page)
    monkeypatch.setattr(running, "LIBRARIES", ("json",) if installed else ("json", "nowhere_at_all"))
    check = doctor.viewer()
    assert check.status == status
    assert advice in check.advice
    assert bool(advice) == bool(check.advice)
