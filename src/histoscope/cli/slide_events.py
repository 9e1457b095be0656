"""Events about slides for scripts: one JSON object per line on stdout."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

import typer

from histoscope.jobs.executor import News


@dataclass(frozen=True, slots=True)
class Events:
    """Prints what the workers of this call do, while it happens.

    Parameters
    ----------
    paths : mapping
        Name of a slide -> its path.
    unit : str
        What is counted: ``nuclei`` or ``tiles``.
    stdout : file
    """

    paths: Mapping[str, str]
    unit: str
    stdout: TextIO

    def __call__(self, news: News) -> None:
        """Print the event."""
        words = news.words
        if news.stage == "started":
            event: dict[str, Any] = {"event": "started"}
        elif news.stage == "said":
            event = {"event": "parts", "done": words["parts"], "of": words["of"], self.unit: words["rows"]}
        elif words["error"]:
            event = {"event": "failed", "stage": words["row"].get("stage", ""), "error": words["error"]}
        else:
            event = {"event": "done", "seconds": words["about"]["seconds"], "row": words["row"]}
        say(event | {"slide": news.task, "path": self.paths[news.task]}, self.stdout)


def say(event: Mapping[str, Any], stdout: TextIO | None = None) -> None:
    """Print one event."""
    typer.echo(json.dumps(event, ensure_ascii=False), file=stdout)
