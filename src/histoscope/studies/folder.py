"""What a study leaves on disk: the names of its files, and which runs are finished. No torch."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from histoscope.errors import ConfigError, CorruptDataError, DatasetNotFoundError, FormatVersionError
from histoscope.files import write_text
from histoscope.studies.study import Run
from histoscope.tables import TEXT_COLUMNS, read_table

FORMAT = 1
STUDY, CONFIG, ENVIRONMENT, LOG, RESULT, ERROR = (
    "study.yaml",
    "config.yaml",
    "environment.json",
    "log.jsonl",
    "per_image.csv",
    "error.txt",
)
CONTENT = "content.csv"
DATA, EXTERNAL, GIVEN = "data", "external", "weights"
"""Sets in ``content.csv``: images of the study, external test sets (or ``external_NAME``), and files that the
settings name."""
TEXT = TEXT_COLUMNS | {"set", "digest", "problem"}
NEW_NAMES = {"elsewhere": "external"}
"""Names of conditions and of sets that version 0.1 wrote -> those of today."""


def finished(folder: Path, run: Run) -> bool:
    """Whether a run has its results; they are written last."""
    return (folder / run.name / RESULT).is_file()


def begun(folder: Path, run: Run) -> bool:
    """Whether a run has trained but not finished."""
    logs = (folder / run.name).rglob(LOG)  # of patches there is one for each split
    return next(logs, None) is not None and not finished(folder, run)


def weights_of(folder: Path, run: Run) -> Path:
    """Give the model folder of a finished run, whose weights are the initial ones of another.

    Raises
    ------
    ConfigError
        If that run is not finished.
    """
    if not finished(folder, run):
        raise ConfigError(f"initial weights come from {run.name}, which is not finished; run the study again")
    return folder / run.name / "model"


def read_settings(folder: Path) -> dict[str, Any]:
    """Read ``study.yaml``.

    Raises
    ------
    DatasetNotFoundError
        If there is no such folder, or no ``study.yaml`` in it.
    CorruptDataError
        If it is not readable, or lacks the factor or its levels.
    FormatVersionError
        If another version wrote it.
    """
    if not (folder / STUDY).is_file():
        raise DatasetNotFoundError(
            f"no {STUDY} in {folder}; give the folder of a study, such as runs/<study>, "
            "or make one with `histoscope study run`"
        )
    found = read_yaml(folder / STUDY)
    for key in ("factor", "levels"):
        if not found.get(key):
            raise CorruptDataError(f"{folder / STUDY} has no {key}; restore it")
    for condition in found["conditions"]:
        condition["name"] = NEW_NAMES.get(condition["name"], condition["name"])
    return found


def read_content(folder: Path) -> pd.DataFrame:
    """Read ``content.csv``: columns set, name, digest and problem; no rows if it is not there."""
    if not (folder / CONTENT).is_file():
        return pd.DataFrame(columns=["set", "name", "digest", "problem"], dtype=str)
    table = read_table(folder / CONTENT, text=TEXT)
    return table.assign(set=table["set"].replace(NEW_NAMES))


def left_out(folder: Path) -> dict[str, str]:
    """Give the name of each image that could not be read when the study began, and why."""
    table = read_content(folder)
    tested = (table["set"] == DATA) | table["set"].str.startswith(EXTERNAL)
    broken = table[(table["problem"] != "") & tested]
    return dict(zip(broken["name"], broken["problem"], strict=True))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file of a study; errors as `read_settings`."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CorruptDataError(f"{path} is not readable YAML ({error}); restore it") from error
    if not isinstance(values, dict):
        raise CorruptDataError(f"{path} holds {type(values).__name__}, expected keys and values at the top")
    check_format(values, path)
    return values


def check_format(values: Mapping[str, Any], path: Path) -> None:
    """Refuse what another version wrote."""
    if values.get("format") != FORMAT:
        raise FormatVersionError(
            f"{path} has format {values.get('format')!r}, this version reads format {FORMAT}; "
            "use the version of Histoscope that wrote it"
        )


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write `values` as readable JSON, whole or not at all."""
    write_text(path, json.dumps(values, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read what `write_json` wrote; nothing if it is not there.

    Raises
    ------
    CorruptDataError
        If it is not readable.
    FormatVersionError
        If another version wrote it.
    """
    if not path.is_file():
        return {}
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CorruptDataError(f"{path} is not readable JSON ({error}); restore it") from error
    if "format" in found:
        check_format(found, path)
    return found


def now() -> str:
    """The time, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
