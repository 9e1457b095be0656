"""Every option that asks micrometres per pixel refuses what no microscope has, whichever verb asks."""

import pytest
import typer
from typer.testing import CliRunner

from histoscope.cli.main import app
from histoscope.errors import ConfigError


def commands(group, path=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


ASKED = [
    (path, option.opts[0], command)
    for path, command in commands(typer.main.get_command(app))
    for option in command.params
    if option.opts[0].endswith("mpp")
]


def test_verbs_ask_it():
    assert {"predict", "evaluate", "explain", "synth"} < {path[0] for path, _, _ in ASKED}
    assert len(ASKED) > 12


@pytest.mark.parametrize("value", ["0", "-1", "0.001", "40", "250", "nan", "inf"])
@pytest.mark.parametrize(("path", "option", "command"), ASKED, ids=lambda one: str(one)[:40])
def test_impossible_values_are_refused_at_once(path, option, command, value):
    given = ["x" for one in command.params if one.required]
    done = CliRunner().invoke(app, [*path, *given, f"{option}={value}"])
    assert isinstance(done.exception, ConfigError), done.output
    assert str(done.exception).startswith(f"{option} is ")
    assert "from 0.05 to 5" in str(done.exception)
