"""Tutorials run from top to bottom, print what their pages show, and are current as scripts and notebooks."""

import contextlib
import io
import json
import logging
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from histoscope.cli.main import app

ROOT = Path(__file__).resolve().parents[1]
MAKE = runpy.run_path(str(ROOT / "docs" / "make" / "tutorials.py"))
NAMES = MAKE["names"]()


class Reader:
    """Does what a reader does, in the folder that is the current one; verbs run in this process."""

    def __init__(self):
        self.printed = ""

    def do(self, part):
        if part.file:
            Path(part.file).write_text(part.text, encoding="utf-8")
        elif part.language == "python":
            self.python(lambda: exec(compile(part.text, "tutorial", "exec"), {"__name__": "__main__"}))
        elif part.language == "bash":
            for line in re.sub(r" *\\\n *", " ", part.text).splitlines():
                self.bash(line)

    def bash(self, line):
        words = shlex.split(line, comments=True)
        if words[:1] == ["histoscope"] and not {"|", "||", ">", "&"} & set(words):
            done = CliRunner(env={"COLUMNS": "100"}).invoke(app, words[1:])
            self.printed += done.output
            assert done.exit_code == 0, f"{line}\n{done.output}{done.exception!r}"
        elif words[:1] == ["python"] and words[1].endswith(".py"):
            self.python(lambda: runpy.run_path(words[1], run_name="__main__"))
        elif words:
            done = subprocess.run(
                ["bash", "-euc", line], capture_output=True, text=True, timeout=500, check=False
            )
            self.printed += done.stdout + done.stderr
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"

    def python(self, run):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            run()
        self.printed += out.getvalue()


def alike(line):
    """A line without its numbers, spaces and frames."""
    return re.sub(r"[\s┃│─━]+", " ", re.sub(r"[+-]?[\d.,:]*\d", "0", line)).strip()


def lacking(shown, printed):
    """Lines that were not printed, or not in this order."""
    there = iter([alike(line) for line in printed.splitlines()])
    return [
        line for line in shown.splitlines() if alike(line) not in {"", "..."} and alike(line) not in there
    ]


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """A new folder, and a path on which `histoscope` and `python` are those of this test."""
    for name, words in {"histoscope": "-m histoscope ", "python": ""}.items():
        command = tmp_path / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}"$@"\n')
        command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setattr(logging, "raiseExceptions", False)  # handlers keep the stream of the verb before
    (tmp_path / "new").mkdir()
    monkeypatch.chdir(tmp_path / "new")
    monkeypatch.syspath_prepend(tmp_path / "new")


@pytest.mark.slow
@pytest.mark.timeout(600)  # two workers that compile at once are slow on a busy machine
@pytest.mark.usefixtures("shell")
@pytest.mark.parametrize("name", NAMES)
def test_a_reader_sees_what_the_page_shows(name):
    reader = Reader()
    for part in MAKE["read"](name):
        if MAKE["title"](part):
            reader.printed = ""
        reader.do(part)
        if part.language == "text":
            assert lacking(part.text, reader.printed) == [], reader.printed


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("shell")
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_in_jupyter(name):
    pytest.importorskip("ipykernel")
    client, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    cells = nbformat.reads(MAKE["notebook"](name), as_version=4)
    client.execute(cells, cwd=str(Path.cwd()), timeout=800, kernel_name="python3")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["script", "notebook"])
def test_script_and_notebook_are_current(name, kind):
    written = MAKE["PAGES"] / f"{name}.{'sh' if kind == 'script' else 'ipynb'}"
    assert written.read_text(encoding="utf-8") == MAKE[kind](name), "run python docs/make/tutorials.py"


@pytest.mark.parametrize("name", NAMES)
def test_scripts_are_bash(name):
    subprocess.run(["bash", "-n", MAKE["PAGES"] / f"{name}.sh"], check=True)


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_are_notebooks(name):
    written = json.loads((MAKE["PAGES"] / f"{name}.ipynb").read_text(encoding="utf-8"))
    assert (written["nbformat"], written["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in written["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in written["cells"]:
        more = {"execution_count", "outputs"} if cell["cell_type"] == "code" else set()
        assert set(cell) == {"cell_type", "id", "metadata", "source"} | more
        assert re.fullmatch(r"[\w-]{1,64}", cell["id"])
