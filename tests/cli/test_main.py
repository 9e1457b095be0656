"""The entry point: every verb explains itself; errors are one line and an exit code, never a traceback."""

import errno
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import histoscope
from histoscope.cli import main as entry
from histoscope.cli.main import app
from histoscope.errors import ConfigError, UnknownNameError


def _verbs() -> list[list[str]]:
    """Every verb, and every verb of a group, as it is typed."""
    verbs = [[command.name or command.callback.__name__] for command in app.registered_commands]
    for group in app.registered_groups:
        name = group.name or group.typer_instance.info.name
        inner = group.typer_instance.registered_commands
        verbs += [[name], *([name, command.name or command.callback.__name__] for command in inner)]
    return verbs


@pytest.fixture
def boom(monkeypatch: pytest.MonkeyPatch):
    """Run ``histoscope boom``, a verb that raises what it is given, through the real entry point."""

    def run(error: BaseException) -> int:
        def verb() -> None:
            raise error

        monkeypatch.setattr(app, "registered_commands", list(app.registered_commands))
        app.command("boom")(verb)
        monkeypatch.setattr(sys, "argv", ["histoscope", "boom"])
        with pytest.raises(SystemExit) as left:
            entry.main()
        return left.value.code

    return run


def test_version() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert done.exit_code == 0
    assert done.stdout == f"histoscope {histoscope.__version__}\n"


def test_no_arguments_show_the_help() -> None:
    assert "doctor" in CliRunner().invoke(app, []).output


@pytest.mark.parametrize("verb", _verbs(), ids=" ".join)
def test_every_verb_teaches(verb: list[str]) -> None:
    done = CliRunner().invoke(app, [*verb, "--help"], terminal_width=100)
    assert done.exit_code == 0, done.output
    assert len(done.output) > 150
    for line in done.output.splitlines():
        assert "Traceback" not in line


def test_every_verb_has_a_summary() -> None:
    for command in app.registered_commands:
        assert (command.callback.__doc__ or command.help or "").strip(), command.name


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ConfigError("train.lr: wrong"), 2, "error: train.lr: wrong\n"),
        (UnknownNameError("model", "unt", ["unet"]), 2, "error: unknown model 'unt': did you mean 'unet'?"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(errno.ENOSPC, "No space left on device", "a.png"), 2, "the disk is full (a.png)"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "a.png"), 2, "the disk is full (a.png)"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/s/a.png"),
            2,
            "write /s/a.png: Permission denied",
        ),
        (OSError(errno.EROFS, "Read-only file system", "/s/a"), 2, "write /s/a: Read-only file system"),
    ],
)
def test_errors_are_one_line_and_a_code(boom, capsys, error: BaseException, code: int, words: str) -> None:
    assert boom(error) == code
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 1


def test_a_programming_error_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def verb() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(app, "registered_commands", [*app.registered_commands])
    app.command("boom")(verb)
    monkeypatch.setattr(sys, "argv", ["histoscope", "boom"])
    with pytest.raises(ZeroDivisionError):
        entry.main()


@pytest.mark.parametrize("arguments", [["no-such-verb"], ["doctor", "--no-such-flag"]])
def test_wrong_usage_leaves_with_two(monkeypatch: pytest.MonkeyPatch, capsys, arguments: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["histoscope", *arguments])
    with pytest.raises(SystemExit) as left:
        entry.main()
    assert left.value.code == 2
    assert "no-such" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("encoding", "arguments"),
    [
        *(("ascii", ["doctor"]), ("ascii", ["models"]), ("cp1252", ["predict", "--help"])),
        *((encoding, ["synth", "--help"]) for encoding in ("ascii", "latin-1", "cp437", "utf-8")),
        *((encoding, ["predict", "é→\udcff", "in", "out"]) for encoding in ("ascii", "utf-8")),
    ],
)
def test_every_terminal_can_print_it(encoding, arguments, tmp_path):
    """Also one that is not UTF-8, and names that are no text."""
    own = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "histoscope", *arguments]
    done = subprocess.run(command, capture_output=True, env=own, cwd=tmp_path, check=False)
    assert b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
    assert done.returncode == (2 if "out" in arguments else 0)
    assert len(done.stdout + done.stderr) > 50


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENODEV])
def test_a_disk_that_is_gone_is_told(boom, capsys, number):
    assert boom(OSError(number, os.strerror(number), "/slides/a.svs")) == 2
    assert "/slides/a.svs" in (words := capsys.readouterr().err)
    assert "check that its disk is available, and run the same command again" in words
