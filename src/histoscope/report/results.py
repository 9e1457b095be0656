"""A study folder, read back from disk: what was asked, which runs ended, failed or never started."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from histoscope.brief import brief
from histoscope.errors import CorruptDataError
from histoscope.studies.folder import (
    CONFIG,
    ENVIRONMENT,
    ERROR,
    NEW_NAMES,
    RESULT,
    read_json,
    read_settings,
    read_yaml,
)
from histoscope.studies.study import Run
from histoscope.tables import read_table
from histoscope.train.log import read as read_log


@brief
@dataclass(frozen=True)
class RunResult:
    """One level of the factor, trained once with one model and one seed.

    Parameters
    ----------
    name : str
        Name of its folder, or what it would train where it never started.
    model, level : str
    seed : int
    status : str
        ``"finished"``, ``"failed"``, ``"unfinished"`` (started, no results) or ``"missing"`` (never started).
    folder : Path or None
    config, environment : mapping
        What ``config.yaml`` and ``environment.json`` hold; empty where they are missing.
    problem : str
        Why it failed: the last line of its ``error.txt``.
    table : DataFrame or None
        One row per image and condition, of a finished run.
    """

    name: str
    model: str
    level: str
    seed: int
    status: str
    folder: Path | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""
    table: pd.DataFrame | None = None

    @cached_property
    def log(self) -> list[dict[str, Any]]:
        """Lines of ``log.jsonl``; a line cut short by a kill is left out."""
        return [] if self.folder is None else read_log(self.folder)


@brief
@dataclass(frozen=True)
class StudyResults:
    """A study, read from its folder.

    Parameters
    ----------
    folder : Path
    settings : mapping
        What ``study.yaml`` holds.
    runs : tuple of RunResult
        Planned runs in the order of models, levels and seeds, then any others that were found.
    """

    folder: Path
    settings: Mapping[str, Any]
    runs: tuple[RunResult, ...]

    @property
    def name(self) -> str:
        """Short name of the study."""
        return str(self.settings["study"])

    @property
    def config(self) -> dict[str, Any]:
        """Configuration that it was run with."""
        return dict(self.settings["config"])

    @property
    def factor(self) -> str:
        """Name of the thing that changes from level to level."""
        return str(self.settings["factor"])

    @property
    def baseline(self) -> str:
        """Level that all others are compared with."""
        return str(self.settings["baseline"])

    @property
    def metric(self) -> str:
        """Primary metric, named before any result was seen."""
        return str(self.settings["metric"])

    @property
    def question(self) -> str:
        """Research question, in one sentence."""
        return str(self.settings["question"])

    @property
    def levels(self) -> list[str]:
        """Levels of the factor, in the order of the study."""
        return list(self.settings["levels"])

    def levels_of(self, model: str) -> list[str]:
        """Levels that a model is trained under, in the order of the study."""
        planned = {run.level for run in self.runs if run.model == model}
        return [level for level in self.levels if level in planned]

    def baseline_of(self, level: str, model: str) -> str:
        """Level that a level is compared with; its own name, if it is a baseline.

        Where the study's baseline was not planned for a model, the first other one of its levels stands in.
        """
        against: Mapping[str, str] = self.settings.get("against") or {}
        if level in against:
            return against[level]
        if level in against.values():
            return level
        there = self.levels_of(model)
        others = [name for name in there if name in against.values()]
        return self.baseline if self.baseline in there or not others else others[0]

    @property
    def models(self) -> list[str]:
        """Models of the study, in its order."""
        return list(self.settings["models"])

    @property
    def conditions(self) -> list[str]:
        """Conditions that networks are tested under, in the order of the study."""
        return [condition["name"] for condition in self.settings["conditions"]]

    @property
    def primary_condition(self) -> str:
        """Condition that answers the question."""
        return str(self.settings["primary_condition"])

    def finished(self, model: str | None = None, level: str | None = None) -> list[RunResult]:
        """Finished runs, of one model and one level if given."""
        return [
            run
            for run in self.runs
            if run.table is not None and model in {None, run.model} and level in {None, run.level}
        ]

    def unfinished(self) -> list[RunResult]:
        """Every run without results."""
        return [run for run in self.runs if run.table is None]


def read_study(folder: str | Path) -> StudyResults:
    """Read a study folder; runs that failed or are missing are kept and named.

    Parameters
    ----------
    folder : str or Path
        Holds ``study.yaml`` and one folder per run.

    Raises
    ------
    DatasetNotFoundError
        If there is no such folder or no ``study.yaml`` in it.
    FormatVersionError
        If a file was written by another version.
    CorruptDataError
        If ``study.yaml`` is not readable, or lacks the factor or its levels.
    """
    folder = Path(folder)
    settings = read_settings(folder)
    found = {path.name: _read_run(path) for path in sorted(_run_folders(folder))}
    cells = product(settings["models"], settings["levels"], settings["seeds"])
    plan = [Run(level, model, seed) for model, level, seed in cells]
    results = [_result(run, found) for run in plan if run.name in settings["runs"]]
    named = {run.name for run in results}
    return StudyResults(
        folder, settings, tuple(results + [run for run in found.values() if run.name not in named])
    )


def _run_folders(folder: Path) -> Iterable[Path]:
    """Folders of runs; one that died early may hold nothing but its ``error.txt``."""
    for path in folder.iterdir():
        if (path / CONFIG).is_file() or (path / ERROR).is_file():
            yield path


def _read_run(folder: Path) -> RunResult:
    config = read_yaml(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    table, problem = _read_table(folder / RESULT)
    status = "finished"
    if table is None:
        problem = problem or _last_words(folder / ERROR)
        status = "failed" if problem else "unfinished"
    return RunResult(
        name=folder.name,
        model=config.get("model", "?"),
        level=config.get("level", "?"),
        seed=config.get("seed", -1),
        status=status,
        folder=folder,
        config=config,
        environment=read_json(folder / ENVIRONMENT),
        problem=problem,
        table=table,
    )


def _result(planned: Run, found: Mapping[str, RunResult]) -> RunResult:
    """Tell what became of a planned run; the plan knows what a folder that died early does not say."""
    run = found.get(planned.name)
    if run is None:
        return RunResult(planned.name, planned.model, planned.level, planned.seed, "missing")
    return replace(run, model=planned.model, level=planned.level, seed=planned.seed)


def _read_table(path: Path) -> tuple[pd.DataFrame | None, str]:
    """Read a run's table, or say why it cannot be used."""
    if not path.is_file():
        return None, ""
    try:
        table = read_table(path)
    except CorruptDataError as error:
        return None, str(error)
    lacking = [name for name in ("condition", "name") if name not in table]
    if lacking or table.empty:
        return None, f"per_image.csv has no {' and no '.join(lacking) or 'rows'}"
    return table.assign(condition=table["condition"].replace(NEW_NAMES)), ""


def _last_words(path: Path) -> str:
    """Last line of a failed run's message, which holds the error itself."""
    if not path.is_file():
        return ""
    lines = [
        line.strip()
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.strip()
    ]
    return lines[-1] if lines else "no error message"
