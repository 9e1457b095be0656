"""What the pages say runs: Python examples are executed, configurations are read."""

import importlib.util
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import yaml

from histoscope.files import write_image
from histoscope.types import Sample

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "reference").glob("*.md")),
]


def _blocks(path: Path, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def _pages_with(language: str) -> list[Path]:
    return [path for path in PAGES if _blocks(path, language)]


def _ours(path: Path) -> bool:
    """Whether a page is of Python modules, and has an example of its own."""
    return "\n::: histoscope" in path.read_text(encoding="utf-8") and bool(_blocks(path, "python"))


class _Flips:
    """Calls and seeds as a pipeline of albumentations does, where that is not installed."""

    def __init__(self, steps: list[object]) -> None:
        self.set_random_seed(0)

    def set_random_seed(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def __call__(self, image: np.ndarray, masks: list[np.ndarray]) -> dict[str, object]:
        step = int(self.rng.choice([1, -1]))
        return {"image": image[:, ::step], "masks": [mask[:, ::step] for mask in masks]}


def _lay_out(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a folder what a page takes it to be: with the files of the reader's own."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "my_lab", raising=False)
    if importlib.util.find_spec("albumentations") is None:
        stand_in = types.SimpleNamespace(Compose=_Flips, HorizontalFlip=dict, RandomRotate90=dict)
        monkeypatch.setitem(sys.modules, "albumentations", stand_in)
    for block in _blocks(path, "python"):
        if block.startswith("# my_lab.py"):
            (folder / "my_lab.py").write_text(block, encoding="utf-8")
    for block in _blocks(path, "yaml"):
        if block.startswith("study: "):
            (folder / "study.yaml").write_text(block, encoding="utf-8")


@pytest.mark.parametrize(
    "path",
    [
        *(
            ROOT / "docs" / name
            for name in ("quickstart.md", "classify_scores.md", "extend.md", "plugins.md")
        ),
        *(path for path in sorted((ROOT / "docs" / "reference").glob("*.md")) if _ours(path)),
    ],
    ids=lambda path: path.name,
)
def test_python_examples_run(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disks: Sample
) -> None:
    _lay_out(path, tmp_path, monkeypatch)
    for name in ("reference.png", "patch.png"):
        write_image(name, disks.image)
    # What a reader has before the first line: a truth and a prediction.
    names = {"true": disks.instances, "pred": np.roll(disks.instances, 1, axis=0)}
    blocks = _blocks(path, "python")
    assert blocks
    for number, block in enumerate(blocks, start=1):
        if block.startswith("# my_lab.py"):  # a file of the reader's
            continue
        exec(compile(block, f"{path.name}, Python example {number}", "exec"), names)


@pytest.mark.parametrize("path", _pages_with("yaml"), ids=lambda path: path.name)
def test_configurations_are_right(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from histoscope.config import load
    from histoscope.studies import read_config
    from histoscope.train.experiment import Experiment

    _lay_out(path, tmp_path, monkeypatch)
    for block in _blocks(path, "yaml"):
        values = yaml.safe_load(block)
        (tmp_path / "page.yaml").write_text(block, encoding="utf-8")
        if "study" in values:
            assert read_config(tmp_path / "page.yaml").runs()
        elif "model" in values:
            assert load(Experiment, tmp_path / "page.yaml").train.steps > 0


def test_the_study_of_the_readme_is_ten_lines() -> None:
    (block,) = _blocks(ROOT / "README.md", "yaml")
    assert len(block.splitlines()) <= 10


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_name_verbs_and_options_that_exist(path: Path) -> None:
    import typer

    from histoscope.cli.main import app

    group = typer.main.get_command(app)
    for verb in re.findall(r"`histoscope ([a-z]+)", path.read_text(encoding="utf-8")):
        assert verb in group.commands, f"{path.name}: histoscope {verb}"
    for block in _blocks(path, "bash"):
        for line in re.sub(r"\\\n", " ", block).splitlines():
            for call in re.findall(r"(?:^|&& )histoscope ([^#&|]+)", line):
                words = call.split()
                if words[0].startswith("-"):
                    continue
                assert words[0] in group.commands, f"{path.name}: {line}"
                verb = group.commands[words[0]]
                if hasattr(verb, "commands"):
                    assert words[1] in verb.commands, f"{path.name}: {line}"
                    verb = verb.commands[words[1]]
                known = {form for option in verb.params for form in [*option.opts, *option.secondary_opts]}
                given = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
                assert given <= known | {"--help"}, f"{path.name}: {line}"
