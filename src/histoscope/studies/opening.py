"""Opening the folder of a study: a new one, or one that holds the same study."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

import histoscope
from histoscope.config import flat, new_keys
from histoscope.errors import ConfigError
from histoscope.files import write_text
from histoscope.models.arguments import new_arguments
from histoscope.studies import content
from histoscope.studies.config import StudyConfig, named
from histoscope.studies.factors import FACTORS
from histoscope.studies.folder import FORMAT, NEW_NAMES, STUDY, read_settings
from histoscope.studies.task import StudyTask
from histoscope.types import Record


def open_study(
    task: StudyTask,
    records: list[Record],
    command: str = "",
    found: pd.DataFrame | None = None,
) -> Path:
    """Make the study's folder, or check that the one that is there holds the same study.

    Parameters
    ----------
    task : StudyTask
    records : list of Record
        All that the study trains or tests on; a fingerprint of them is kept.
    command : str
        What was typed; kept for the report.
    found : DataFrame, optional
        What its images hold (`content.read`); other images under the same names are refused.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FormatVersionError
        If another version wrote the folder.
    ConfigError
        If it holds something else, or the same study with another configuration; the message names the key.
    """
    folder = task.config.folder
    described = describe(task, records) | ({"command": command} if command else {})
    if (folder / STUDY).is_file():
        before = read_settings(folder)
        before |= {"config": _in_todays_words(before["config"])}
        described = _merged(before, described, folder)
        if found is not None:
            content.check(folder, found)
    elif folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(
            f"{folder} is not empty and holds no {STUDY}, so no study was run there; choose another 'out'"
        )
    write_text(folder / STUDY, yaml.safe_dump(described, sort_keys=False, allow_unicode=True, width=100))
    if found is not None:
        content.write(folder, found)
    return folder


def describe(task: StudyTask, records: list[Record]) -> dict[str, Any]:
    """Give what ``study.yaml`` holds: declaration, configuration, fingerprint of the data."""
    config, study = task.config, task.config.declared
    values = config.model_dump(mode="json", exclude={"out", *task.foreign_keys})
    values |= {
        "levels": list(study.levels),
        "seeds": list(study.seeds),
        "conditions": [condition.name for condition in study.conditions],
        "models": {name: config.models.get(name, {}) for name in study.models},
    }
    known = FACTORS[study.factor].levels
    against = {level: known[level]["against"] for level in study.levels if known[level].get("against")}
    described = {
        "format": FORMAT,
        "histoscope": histoscope.__version__,
        "study": study.name,
        **{key: value for key, value in dataclasses.asdict(study).items() if key != "name"},
        **({"against": against} if against else {}),
        "runs": [run.name for run in config.runs()],
        "data_fingerprint": fingerprint(records),
        "config": values,
    }
    found: dict[str, Any] = json.loads(json.dumps(described))  # tuples become lists, each its own
    return found


def _in_todays_words(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings that an older version wrote, under the keys of today."""
    found: dict[str, Any] = new_keys(settings, [StudyConfig])
    networks = {
        name: new_arguments(name, given, quiet=True) for name, given in found.get("models", {}).items()
    }
    conditions = [NEW_NAMES.get(name, name) for name in found["conditions"]]
    return found | {"models": networks, "conditions": conditions, "external": _external(found)}


def _external(settings: Mapping[str, Any]) -> Any:
    """External test sets by name; older versions had one, and wrote no part of it."""
    given = named(settings.get("external"))
    return given and {name: {"part": "test", **each} for name, each in given.items()}


def fingerprint(records: list[Record]) -> str:
    """Digest names, patients and parts, so that moved data is known and other data refused."""
    lines = sorted(f"{r.name}\t{r.patient}\t{r.source}\t{r.split}" for r in records)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _merged(old: dict[str, Any], new: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Check that `new` is the same study as `old`, or grows it; keep the runs of both."""
    if old["study"] != new["study"]:
        raise ConfigError(
            f"{folder} holds study {old['study']!r}, not {new['study']!r}; choose another 'out'"
        )
    if old["data_fingerprint"] != new["data_fingerprint"]:
        raise ConfigError(
            f"{folder} was run on other images (names, patients or parts differ); choose another 'out'"
        )
    before, after = flat(old["config"]), flat(new["config"])
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key) and not _may_change(key, old["config"], new["config"]):
            raise ConfigError(
                f"{folder} was run with {key} = {before.get(key)!r}, now it is {after.get(key)!r}; "
                "choose another 'out', or set it back"
            )
    for key in ("levels", "seeds", "models"):
        new[key] = [*old[key], *(value for value in new[key] if value not in old[key])]
    new["runs"] = [*old["runs"], *(name for name in new["runs"] if name not in old["runs"])]
    if "against" in old or "against" in new:
        new["against"] = old.get("against", {}) | new.get("against", {})
    new["config"]["models"] = old["config"]["models"] | new["config"]["models"]
    new["config"] |= {key: list(new[key]) for key in ("levels", "seeds")}
    return new


def _may_change(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a setting may differ from the one in the folder: it makes more runs, and changes none."""
    top, *rest = key.split(".")
    if top in {"seeds", "levels", "sizes"} or rest[-1:] == ["root"]:
        return True
    # Networks and synthetic data sets may be added, and some left out this time.
    return top in {"models", "synthetic"} and not all(
        rest and rest[0] in config.get(top, {}) for config in (old, new)
    )
