"""A study as the page shows it: the numbers of its report, and the images behind each of them."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from histoscope.errors import ConfigError, DatasetNotFoundError
from histoscope.report.effects import (
    Effect,
    effects,
    higher_is_better,
    image_metric,
    is_pooled,
    metrics_of,
    stacked,
)
from histoscope.report.results import StudyResults, read_study
from histoscope.report.summary import (
    because,
    condition_label,
    level_label,
    metric_label,
    model_label,
    sentence,
)
from histoscope.studies import folder as study_folder
from histoscope.viewer.library import TRUTH, Library
from histoscope.viewer.shelf import Lately, stamp_of
from histoscope.viewer.study_folders import RUN, prediction_of, read_run, sheet_of_study
from histoscope.words import listed

_MOST = 8
_REPORT = "report.html"


class StudyPages:
    """Reads the studies of a library; each is read again when one of its runs has ended.

    Parameters
    ----------
    library : Library
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._pages: Lately[dict[str, Any]] = Lately(_MOST)
        self._read: Lately[StudyResults] = Lately(_MOST)

    def page(self, key: str) -> dict[str, Any]:
        """All numbers of a study, with words for its levels, networks, conditions and metrics.

        Raises
        ------
        DatasetNotFoundError
            If there is no such study.
        CorruptDataError, FormatVersionError
            If it cannot be read.
        """
        folder = self._folder(key)
        return self._pages.get((folder, _stamp(folder)), lambda: _page(key, self._results(folder)))

    def report(self, key: str) -> Path:
        """Where the report of a study is.

        Raises
        ------
        DatasetNotFoundError
            If there is no such study, or it has no report.
        """
        path = self._folder(key) / _REPORT
        if not path.is_file() or not self._library.is_below(path):
            raise DatasetNotFoundError("this study has no report yet: histoscope study report makes it")
        return path

    def images(self, key: str, model: str, level: str, condition: str, metric: str) -> dict[str, Any]:
        """The images behind a number, the worst first, with the ids of slide and results.

        Raises
        ------
        ConfigError
            If the study has no such number.
        DatasetNotFoundError, CorruptDataError, FormatVersionError
            As `page`.
        """
        folder = self._folder(key)
        study = self._results(folder)
        by = image_metric(study) if is_pooled(study, metric) else metric
        for what, got, known in (
            ("network", model, study.models),
            ("level", level, study.levels),
            ("condition", condition, study.conditions),
            ("score", metric, metrics_of(study)),
        ):
            if got not in known:
                raise ConfigError(f"study {study.name} has no {what} {got!r}; it has {', '.join(known)}")
        table = stacked(study, model, condition, level, by).dropna(subset=by)
        runs = {run.seed: run.name for run in study.finished(model, level)}
        rows = [
            self._image(folder, condition, runs, part.sort_values("seed"), by)
            for _, part in table.groupby("name", sort=True)
        ]
        classes = _classes(study, model, level, condition)
        rows = [row | {"said": classes.get(row["name"], "")} for row in rows]
        rows.sort(key=lambda row: row["score"], reverse=not higher_is_better(by))
        return {"metric": by, "metric_label": metric_label(by), "images": rows}

    def _image(
        self, folder: Path, condition: str, runs: dict[int, str], part: pd.DataFrame, metric: str
    ) -> dict[str, Any]:
        """Score of an image, mean over seeds, with what is there to look at."""
        name = str(part["name"].iloc[0])
        truth = folder / "truth" / "images"
        places = (self._library.of(truth / f"{name}{end}") for end in (".jpg", ".png", ".tif"))
        item = next((one for one in places if one is not None), None)
        if item is None:
            item = self._library.image(name, self._root_of(folder))
        seeds = []
        for seed, score in zip(part["seed"], part[metric], strict=True):
            path = prediction_of(folder, runs[int(seed)], condition, name)
            found = self._library.id_of(path)
            is_there = item is not None and any(one.id == found for one in item.results)
            seeds.append({"seed": int(seed), "score": float(score), "results": found if is_there else None})
        patient = part["patient"].iloc[0]
        return {
            "name": name,
            "patient": "" if pd.isna(patient) else str(patient),
            "score": float(part[metric].mean()),
            "slide": None if item is None else item.id,
            "truth": None if item is None else next((r.id for r in item.results if r.label == TRUTH), None),
            "seeds": seeds,
            "model": None if _is_study(folder) else self._model_of(folder),
        }

    def _root_of(self, folder: Path) -> str:
        """Where the data of a run lay when it was trained."""
        return str((self._results(folder).config.get("data") or {}).get("root", ""))

    def _model_of(self, folder: Path) -> str | None:
        """Name of a run's model, by which it can be asked to find the nuclei again."""
        wanted = folder / "model"
        return next((name for name, path in self._library.models.items() if path == wanted), None)

    def _folder(self, key: str) -> Path:
        folder = self._library.studies.get(key)
        if folder is None:
            raise DatasetNotFoundError(f"study {key} is no longer there; reload the page")
        return folder

    def _results(self, folder: Path) -> StudyResults:
        return self._read.get((folder, _stamp(folder)), lambda: _read(folder))


def _classes(study: StudyResults, model: str, level: str, condition: str) -> dict[str, str]:
    """True class of each patch and what the networks predicted; nothing where no patches were classified."""
    parts = []
    for run in study.finished(model, level):
        if run.table is not None and {"true", "predicted"} <= {*run.table}:
            names = [name[2:] for name in map(str, run.table.columns) if name.startswith("p_")]
            part = run.table[run.table["condition"] == condition]
            numbers = part[["true", "predicted"]].astype(int)
            parts.append(numbers.map(lambda k, names=names: names[k]).assign(name=part["name"]))
    said = {}
    for name, part in pd.concat(parts).groupby("name") if parts else ():
        counts = part["predicted"].value_counts()
        by = [
            str(word) if len(counts) == 1 else f"{word} ({n} of {len(part)} seeds)"
            for word, n in counts.items()
        ]
        said[str(name)] = f"{part['true'].iloc[0]}, predicted {listed(by)}"
    return said


def _is_study(folder: Path) -> bool:
    return (folder / study_folder.STUDY).is_file()


def _read(folder: Path) -> StudyResults:
    return read_study(folder) if _is_study(folder) else read_run(folder)


def _stamp(folder: Path) -> str:
    """Digits that change when a run ends or is repeated."""
    if not _is_study(folder):
        return stamp_of(folder / study_folder.RESULT)
    tables = sorted(folder.glob(f"*/{study_folder.RESULT}"))
    report = [path for path in (folder / _REPORT,) if path.is_file()]
    return ".".join(stamp_of(path) for path in (folder / study_folder.STUDY, *tables, *report))


def _page(key: str, study: StudyResults) -> dict[str, Any]:
    rows = effects(study)
    metrics = list(dict.fromkeys(row.metric for row in rows))
    return {
        "id": key,
        "name": study.name,
        "question": study.question,
        "factor": study.factor,
        "baseline": study.baseline,
        "metric": study.metric,
        "primary_condition": study.primary_condition,
        "metrics": [{"name": name, "label": metric_label(name)} for name in metrics],
        "models": [{"name": name, "label": model_label(name)} for name in study.models],
        "levels": [
            {
                "name": name,
                "label": name if study.factor == RUN else level_label(name, study.factor),
                "is_baseline": name == study.baseline and len(study.levels) > 1,
            }
            for name in study.levels
        ],
        "conditions": [
            {
                "name": one["name"],
                "label": condition_label(one["name"]),
                "about": one.get("about", ""),
                "is_restained": bool(one.get("stains") or one.get("amounts")),
            }
            for one in study.settings["conditions"]
        ],
        "numbers": [_number(row, study) for row in rows],
        "runs": {"finished": len(study.finished()), "planned": len(study.runs)},
        "problems": [{"run": run.name, "why": run.problem or run.status} for run in study.unfinished()],
        "data": _data(study),
        "has_report": (study.folder / _REPORT).is_file() and not (study.folder / _REPORT).is_symlink(),
    }


def _data(study: StudyResults) -> str:
    """What the images are, and under which licence, as their datasheet says."""
    given = study.settings.get("config", {}).get("data") or {}
    sheet = sheet_of_study(study.folder, str(given.get("root", "")))
    licence = given.get("licence") or (sheet.licence if sheet else "")
    title = (sheet.title or sheet.name) if sheet else Path(str(given.get("root") or "")).name
    return ". ".join(part for part in (title, licence and f"Licence: {licence}") if part)


def _number(row: Effect, study: StudyResults) -> dict[str, Any]:
    """One number, as JSON has it: what is not a number is left out."""
    plain = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(row).items()
        if name not in {"verdict", "p_wilcoxon", "d_z", "before"}
    }
    verdict = row.verdict
    words = because_words = ""
    if verdict is not None:
        subject = level_label(row.level, study.factor)
        words = sentence(subject, metric_label(row.metric), row.against, verdict)
        because_words = because(verdict, row.against)
    return {
        **plain,
        "is_baseline": row.is_baseline,
        "verdict": None if verdict is None else str(verdict),
        "because": because_words,
        "sentence": words,
    }
