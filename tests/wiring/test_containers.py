"""The recipes of containers/: what they copy exists; they are built and run where the tools are there."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "containers" / "Dockerfile"
APPTAINER = ROOT / "containers" / "histoscope.def"


def copied(recipe: Path) -> set[str]:
    """Files and folders of the source that a recipe takes."""
    text = recipe.read_text(encoding="utf-8")
    lines = re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE)
    block = re.search(r"^%files\n(.*?)\n\n", text, re.DOTALL | re.MULTILINE)
    lines += [line.split()[0] for line in block[1].splitlines()] if block else []
    return {name for line in lines for name in line.split()}


def test_both_take_the_same_files_all_that_a_wheel_needs() -> None:
    assert copied(DOCKER) == copied(APPTAINER)
    assert all((ROOT / name).exists() for name in copied(DOCKER))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    hook = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]["path"]
    licences = project["project"]["license-files"]
    assert copied(DOCKER) == {project["project"]["readme"], *licences, hook, "pyproject.toml", "src"}


def test_docker_is_handed_no_more_than_it_copies() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == copied(DOCKER)


@pytest.mark.parametrize("recipe", [DOCKER, APPTAINER], ids=lambda path: path.name)
def test_extras_and_python_are_those_of_the_project(recipe: Path) -> None:
    text = recipe.read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (extras,) = re.findall(r'pip install --no-cache-dir "\.\[(.*?)\]"', text)
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    (python,) = re.findall(r"python:(3\.\d+)-slim", text)
    assert f"Programming Language :: Python :: {python}" in project["classifiers"]


def _works(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 0


def _reaches_the_registry() -> bool:
    """Whether the image that both begin with can be had, now or from before."""
    return _works("docker", "pull", "-q", "python:3.12-slim") or _works(
        "docker", "image", "inspect", "python:3.12-slim"
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_docker_builds_and_runs(tmp_path: Path) -> None:
    if not _works("docker", "info") or not _reaches_the_registry():
        pytest.skip("no Docker daemon with a network")
    subprocess.run(["docker", "build", "-f", DOCKER, "-t", "histoscope:test", ROOT], check=True)
    run = ["docker", "run", "--rm", "--network", "none", "-v", f"{tmp_path}:/data", "histoscope:test"]
    subprocess.run([*run, "synth", "tissue", "--n", "1", "--size", "128"], check=True)
    subprocess.run([*run, "predict", "nuclei", "tissue/images", "out", "--mpp", "0.25"], check=True)
    assert (tmp_path / "out" / "summary.csv").is_file()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_apptainer_builds_and_runs(tmp_path: Path) -> None:
    if not _works("apptainer", "--version"):
        pytest.skip("no Apptainer")
    image = tmp_path / "histoscope.sif"
    build = ["apptainer", "build", image, APPTAINER]
    built = subprocess.run(build, check=False, cwd=ROOT, capture_output=True, text=True)
    if built.returncode and "registry" in built.stderr:
        pytest.skip("no network to the registry of images")
    assert built.returncode == 0, built.stderr
    run = ["apptainer", "run", "--bind", f"{tmp_path}:/data", "--pwd", "/data", image]
    subprocess.run([*run, "synth", "tissue", "--n", "1", "--size", "128"], check=True)
    subprocess.run([*run, "predict", "nuclei", "tissue/images", "out", "--mpp", "0.25"], check=True)
    assert (tmp_path / "out" / "summary.csv").is_file()
