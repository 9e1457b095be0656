"""Write docs/cli.md from the command line itself: python docs/make/cli.py. A test compares the two."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from histoscope.cli.main import app

DOCS = Path(__file__).resolve().parents[1]
OUT = DOCS / "cli.md"
HEAD = """\
# Command line

Every command has `--help`. Results go to stdout, progress to stderr; `--json` prints results for scripts.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | done in part: some inputs failed, and the summary names them; from `doctor`: not ready |
| 2 | wrong input: one line says what was given, what was expected, and what to do |
| 75 | stopped by SIGUSR1, which schedulers send before the time limit; the same command resumes |
| 130 | interrupted (Ctrl-C); the same command resumes, or says what to delete |

`histoscope --version` prints the version. `histoscope --use my_lab:Net predict ...` opens models with
[your own classes](plugins.md).
"""


def page() -> str:
    """Text of docs/cli.md."""
    group = typer.main.get_command(app)
    sections = [part for name, verb in sorted(group.commands.items()) for part in describe(name, verb)]
    return "\n\n".join([HEAD.rstrip(), *sections]) + "\n"


def describe(name: str, verb: Any, depth: int = 2) -> Iterator[str]:
    """Heading, text and table of a verb; of a group, those of its verbs too."""
    yield f"{'#' * depth} `histoscope {name}`"
    yield inspect.cleandoc(verb.help or "").replace("\f", "")
    if pages := how_to(name):
        yield f"How to: {', '.join(pages)}."
    if hasattr(verb, "commands"):
        for inner, command in sorted(verb.commands.items()):
            yield from describe(f"{name} {inner}", command, depth + 1)
        return
    options = [option for option in verb.params if option.name != "help"]
    if options:
        rows = [f"| {spelt(option)} | {about(option)} |" for option in options]
        yield "\n".join(["| | |", "|---|---|", *rows])


def how_to(name: str) -> list[str]:
    """Links to the pages that link to a verb, under their names in the navigation."""
    navigation = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")
    link = f"cli.md#histoscope-{name.replace(' ', '-')})"
    pages = re.findall(r"^ +- ([^:\n]+): (\w+\.md)$", navigation, re.MULTILINE)
    return [
        f"[{title}]({page})" for title, page in pages if link in (DOCS / page).read_text(encoding="utf-8")
    ]


def spelt(option: Any) -> str:
    """How an argument or option is typed."""
    if option.param_type_name == "argument":
        return f"`{(option.metavar or option.name).upper()}`"
    return ", ".join(f"`{form}`" for form in [*option.opts, *option.secondary_opts])


def about(option: Any) -> str:
    """Help text of an argument or option, its default at the end."""
    text = (option.help or "").replace("|", "\\|")
    default = option.default
    is_plain = isinstance(default, str | int | float | Path) and not isinstance(default, bool)
    shown = f" Default: `{default}`." if is_plain and str(default) else ""
    return f"{text}{shown}"


if __name__ == "__main__":
    OUT.write_text(page(), encoding="utf-8")
