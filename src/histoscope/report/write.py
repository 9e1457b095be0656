"""The report of a study: one page that answers the question first, then shows what the answer rests on."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment

import histoscope
from histoscope.files import write_image, write_text
from histoscope.pages import templates
from histoscope.report import (
    beginnings,
    figures,
    gallery,
    glossary,
    learned,
    methods,
    summary,
    synthetic_figures,
)
from histoscope.report import transfer as transfer_report
from histoscope.report.by_class import class_tables, is_of_class
from histoscope.report.effects import UNITS, Effect, class_names, effects, metrics_of, unit_of
from histoscope.report.outlines import PRED_COLOUR, TRUE_COLOUR
from histoscope.report.results import StudyResults, read_study
from histoscope.report.summary import Verdict
from histoscope.tables import write_table
from histoscope.words import count

FIGURES = "report_files"
MARKS = {
    Verdict.HELPS: "▲",
    Verdict.HARMS: "▼",
    Verdict.NO_DIFFERENCE: "=",
    Verdict.TOO_FEW: "?",
    Verdict.NOT_MEASURED: "–",
}


def write_report(folder: str | Path) -> Path:
    """Write ``report.html``, ``report.md``, ``report_files/`` and ``results.csv`` into a study's folder.

    Reads nothing but that folder, and works on a study that is not finished: what is missing is named.

    Parameters
    ----------
    folder : str or Path
        Holds ``study.yaml`` and the folders of the runs.

    Returns
    -------
    Path
        The page, one file that needs no network.

    Raises
    ------
    DatasetNotFoundError
        If there is no study in the folder.
    FormatVersionError
        If another version wrote it.
    CorruptDataError
        If its ``study.yaml`` is not readable.
    """
    study = read_study(folder)
    rows = effects(study)
    of_patches = study.settings.get("task") == "patches"
    shelves = [] if of_patches else gallery.shelves(study, synthetic_figures.shown_levels(study))
    drawn = _figures(study, rows)
    found = transfer_report.view(study) if of_patches else None
    if found is not None:
        drawn |= transfer_report.drawn(study, rows, found)
    view = _view(study, rows, shelves) | {"figures": drawn, "transfer": found}
    view["label_curves"] = [name for name in drawn if name.startswith(synthetic_figures.PREFIX)]
    view["curves_of_labels"] = synthetic_figures.LINES.get(study.factor)
    view["beginnings"] = beginnings.view(study) if study.factor == "beginning" else None
    write_table(study.folder / "results.csv", pd.DataFrame([asdict(row) for row in rows]))
    view["strips"] = _write_figures(study, drawn, shelves)
    if found is not None:
        found["strips"] = transfer_report.write_strips(found["shelves"], study.folder / FIGURES)
    write_text(study.folder / "report.md", _environment(html=False).get_template("report.md.j2").render(view))
    page = study.folder / "report.html"
    write_text(page, _environment(html=True).get_template("report.html.j2").render(view))
    return page


@cache
def _environment(*, html: bool) -> Environment:
    environment = templates(html=html)
    environment.filters |= {
        "number": summary.number,
        "signed": summary.signed,
        "p": summary.p_cell,
        "small": summary.small,
        "md": _markdown,
        "because": lambda row: summary.because(row.verdict or Verdict.NOT_MEASURED, row.against),
        "anchor": glossary.anchor,
    }
    return environment


def _view(study: StudyResults, rows: Sequence[Effect], shelves: Sequence[gallery.Gallery]) -> dict[str, Any]:
    """Everything the templates show, as plain values."""
    done = len(study.finished())
    return {
        "study": study,
        "version": histoscope.__version__,
        "title": f"{summary.readable(summary.factor_label(study.factor))} study",
        "metric": summary.metric_label(study.metric),
        "factor": summary.factor_label(study.factor),
        "done": done,
        "planned": len(study.runs),
        "missing": methods.missing_runs(study),
        "runs": [(run, methods.STATUS_WORDS[run.status], methods.run_seconds(run)) for run in study.runs],
        "answers": [_answer(study, rows, condition) for condition in _ordered(study)],
        "matrix": _matrix(study, rows),
        "tables": [
            _table(study, rows, model, condition) for model in study.models for condition in _ordered(study)
        ],
        "class_tables": class_tables(rows, class_names(study)),
        "shelves": shelves,
        "colours": {"true": TRUE_COLOUR, "pred": PRED_COLOUR},
        "reference": str(study.settings.get("reference") or ""),
        "sections": methods.sections(study),
        "configuration": methods.configuration(study),
        "limits": methods.limits(study, rows),
        "left_out": methods.left_out(study),
        "unlearned": learned.warning(study),
        "words": _words(study, rows),
        "unit": UNITS[unit_of(study)],
        "lead": _lead(study, rows),
        "Verdict": Verdict,
        "marks": MARKS,
        "label": {
            "level": lambda name: summary.level_label(name, study.factor),
            "model": summary.model_label,
            "condition": summary.condition_label,
            "metric": summary.metric_label,
        },
    }


def _words(study: StudyResults, rows: Sequence[Effect]) -> dict[str, str]:
    """What the words of the page mean."""
    names = [study.metric, *metrics_of(study)] + (["pq", "f1_50"] if class_names(study) else [])
    return glossary.used(summary.metric_label(name) for name in names)


def _ordered(study: StudyResults) -> list[str]:
    """Conditions, the one that answers the question first."""
    first = study.primary_condition
    return [name for name in study.conditions if name == first] + [
        name for name in study.conditions if name != first
    ]


def _against(study: StudyResults, rows: Sequence[Effect], **wanted: str) -> list[Effect]:
    """Rows of the primary metric that are compared with the baseline, with the `wanted` values."""
    return [
        row
        for row in rows
        if row.metric == study.metric
        and not row.is_baseline
        and all(getattr(row, key) == value for key, value in wanted.items())
    ]


def _lead(study: StudyResults, rows: Sequence[Effect]) -> str:
    """Data behind the answer, in one line."""
    mine = [row for row in rows if row.metric == study.metric and row.condition == study.primary_condition]
    best = max(mine, key=lambda row: row.n_images, default=None)
    if best is None or not best.n_images:
        return ""
    parts = [
        count(best.n_images, "test image"),
        count(best.n_units, best.against.unit),
        count(max(row.n_seeds for row in mine), "seed"),
        count(len(study.models), summary.axis(study.factor)),
    ]
    return ", ".join(parts if best.unit != "name" else parts[:1] + parts[2:])


def _answer(study: StudyResults, rows: Sequence[Effect], condition: str) -> dict[str, Any]:
    found = _against(study, rows, condition=condition)
    metric, noun = summary.metric_label(study.metric), summary.factor_noun(study.factor)
    spoken = [
        summary.Row(
            summary.level_label(row.level, study.factor),
            summary.model_label(row.model),
            row.difference,
            row.verdict or Verdict.NOT_MEASURED,
            row.before,
        )
        for row in found
    ]
    groups = [
        (summary.model_label(model), [_sentence(study, row) for row in found if row.model == model])
        for model in study.models
    ]
    return {
        "name": condition,
        "about": methods.condition_about(study, condition),
        "overall": summary.overall(
            spoken, metric, noun, summary.axis(study.factor), unit=UNITS[unit_of(study, condition)]
        ),
        "groups": groups,
    }


def _sentence(study: StudyResults, row: Effect) -> tuple[Verdict, str]:
    label = summary.level_label(row.level, study.factor)
    noun = "" if row.level in {"none", "off"} else summary.factor_noun(study.factor)
    subject = f"{label} {noun}".strip()
    verdict = row.verdict or Verdict.NOT_MEASURED
    return verdict, summary.sentence(subject, summary.metric_label(row.metric), row.against, verdict)


def _matrix(study: StudyResults, rows: Sequence[Effect]) -> list[tuple[str, str, list[Effect]]]:
    """(model, condition, effects by level): the verdicts at a glance."""
    return [
        (model, condition, _against(study, rows, model=model, condition=condition))
        for model in study.models
        for condition in _ordered(study)
    ]


def _table(study: StudyResults, rows: Sequence[Effect], model: str, condition: str) -> dict[str, Any]:
    """One table: a row per level, the primary comparison and all metrics."""
    mine = {(row.level, row.metric): row for row in rows if row.model == model and row.condition == condition}
    classes = class_names(study)
    names = [name for name in metrics_of(study) if not is_of_class(name, classes)]
    return {
        "model": model,
        "condition": condition,
        "metrics": names,
        "rows": [
            (mine[level, study.metric], [mine[level, name] for name in names])
            for level in study.levels_of(model)
        ],
    }


def _figures(study: StudyResults, rows: Sequence[Effect]) -> dict[str, dict[str, str]]:
    """SVG of each figure, wide and narrow; figures with nothing to show are left out."""
    shown = [
        row
        for model in study.models
        for c in _ordered(study)
        for row in _against(study, rows, model=model, condition=c)
    ]
    if study.factor in synthetic_figures.LINES:
        return synthetic_figures.drawn(study, rows, _ordered(study))
    drawn = {}
    if any(math.isfinite(row.difference) for row in shown):
        drawn["forest"] = {
            "wide": figures.forest(study, shown),
            "narrow": figures.forest(study, shown, narrow=True),
        }
    curves = figures.learning_curves(study)
    if curves:
        drawn["curves"] = {"wide": curves, "narrow": figures.learning_curves(study, narrow=True)}
    return drawn


def _write_figures(
    study: StudyResults, drawn: Mapping[str, Mapping[str, str]], shelves: Sequence[gallery.Gallery]
) -> list[tuple[gallery.Gallery, str]]:
    """Files that ``report.md`` shows; gives each shelf the name of its strip."""
    folder = study.folder / FIGURES
    for name, forms in drawn.items():
        write_text(folder / f"{name}.svg", forms["wide"])
    strips = []
    for shelf in shelves:
        if shelf.pictures:
            name = f"gallery_{study.models.index(shelf.model)}_{_slug(shelf.model)}.jpg"
            write_image(folder / name, gallery.strip(shelf))
            strips.append((shelf, f"{FIGURES}/{name}"))
    return strips


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower() or "x"


def _markdown(text: Any) -> str:
    """Plain text for Markdown: nothing in it may become a tag, a table border or emphasis."""
    escaped = str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", escaped).replace("\n", " ")
