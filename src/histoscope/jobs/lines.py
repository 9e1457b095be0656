"""Reading the lines of a journal."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from histoscope.errors import CorruptDataError
from histoscope.jobs.naming import JOURNAL
from histoscope.jobs.ownership import ABSENT


@dataclass(slots=True)
class State:
    """Content of a journal."""

    settings: dict[str, Any] | None = None
    lines: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, str | None] = field(default_factory=dict)
    format: Any = None


class Results:
    """Output files of earlier calls, known from the journals beside them; each journal is read once."""

    def __init__(self) -> None:
        self._read: dict[Path, State] = {}

    def __contains__(self, image: Path) -> bool:
        """Whether Histoscope wrote a file, according to a journal in one of the folders above it."""
        place = image.resolve()
        folders = ((folder, place.relative_to(folder).as_posix()) for folder in place.parents)
        return any(self._state(folder).files.get(file, ABSENT) != ABSENT for folder, file in folders)

    def names(self, out: Path) -> dict[str, str]:
        """Output names of the finished images of a folder, by path of the image."""
        lines = self._state(out.resolve()).lines.values()
        return {line["image"][0]: line["name"] for line in lines if "image" in line}

    def _state(self, folder: Path) -> State:
        if folder not in self._read:
            try:
                self._read[folder] = read(folder / JOURNAL)
            except (CorruptDataError, OSError):
                self._read[folder] = State()  # reported when it is written to
        return self._read[folder]


def read(path: Path) -> State:
    """Read a journal; an incomplete last line is left out.

    Raises
    ------
    CorruptDataError
        If it is not ours, or damaged.
    """
    state = State()
    if not path.is_file():
        return state
    try:
        text = path.read_text(encoding="utf-8")
        for line in text[: text.rfind("\n") + 1].splitlines():
            _take(state, json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptDataError(
            f"{path} is not a journal of Histoscope, or is damaged ({error}); move or delete it, or "
            "choose another folder"
        ) from error
    return state


def _take(state: State, line: dict[str, Any]) -> None:
    if "format" in line:  # restarted: rows are forgotten, files are still ours
        state.format, state.lines = line["format"], {}
        state.settings = line.get("settings", line)
    elif "job" in line:
        return  # the process that held it
    elif state.format is None:
        raise ValueError("expected the header of a journal in the first line")
    elif "writing" in line:
        state.files |= dict.fromkeys(line["writing"])
    elif "files" in line:
        state.files |= line["files"]
    else:
        state.lines[line["name"]] = line
