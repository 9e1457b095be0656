"""Progress of training and tables of scores, as the verbs show them."""

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from histoscope.cli.progress import progress

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from histoscope.metrics import Interval

SHOWN = ("dice", "aji", "pq", "f1_50")
SHOWN_OF_PATCHES = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "nll", "ece")


OF_CLASS = ("pq", "detection_f1")
COUNTED = {"images": "true_nuclei", "patches": "true_patches"}
ROW = {"images": "an image", "patches": "a patch"}
INTERVAL = "95 % interval"


@contextmanager
def steps_bar(steps: int, what: str = "Training") -> Iterator[Callable[[int, dict[str, float]], None]]:
    """Show how far steps are; the callable that is given takes a step and its losses."""
    with progress(what, steps) as advance:
        yield lambda step, losses: advance(step, note=_loss(losses))


def _loss(losses: dict[str, float]) -> str:
    return f"loss {losses['loss']:.3f}" if "loss" in losses else ""


def note(line: str) -> None:
    """Say something on stderr, above a progress bar if there is one."""
    sys.stderr.write(line + "\n")


@dataclass(frozen=True, slots=True)
class OfClass:
    """Scores of one class: how many true nuclei (or patches) it has, and each score with its interval."""

    n_true: int
    found: "dict[str, Interval]"


@dataclass(frozen=True, slots=True)
class Summary:
    """Scores of a table as they are shown: means over images, or scores of patches, and those of each class.

    Parameters
    ----------
    what : {"images", "patches"}
        What a row is.
    n : int
        Rows.
    unit : str
        Column of the intervals' independent unit.
    found : dict of str to Interval
        By name of the score.
    classes : dict of str to OfClass
        By name of the class; of nuclei pooled over images. Empty if there are no classes.
    unknown : int
        Rows whose patient is not known, if that is why the unit is not the patient.
    """

    what: str
    n: int
    unit: str
    found: "dict[str, Interval]"
    classes: dict[str, OfClass]
    unknown: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON: ``n`` beside each interval is the number of `unit`; NaN is null."""
        of_classes = {
            name: {COUNTED[self.what]: each.n_true, **_numbers(each.found)}
            for name, each in self.classes.items()
        }
        told = {self.what: self.n, "unit": self.unit, **_numbers(self.found)}
        return {**told, "classes": of_classes} if of_classes else told


def summarise(table: "pd.DataFrame", unit: str | None = None) -> Summary:
    """Sum a table of `histoscope.train.evaluate` or of classified patches up.

    Intervals of images are over `unit`, such as that of a table that these are some rows of; left out, over
    the coarsest that is known of every row.
    """
    return _of_patches(table) if "predicted" in table else _of_images(table, unit)


def show(
    table: "pd.DataFrame",
    *,
    where: Path | None,
    as_json: bool,
    title: str = "",
    unit: str | None = None,
) -> None:
    """Print scores with intervals and the number of patients beside them; JSON goes to stdout alone.

    To put several tables into one JSON document, take `Summary.as_dict` of each.

    Parameters
    ----------
    table : DataFrame
        One row an image or patch.
    where : Path, optional
        File that the table was written to.
    as_json : bool
        Print JSON in place of a table.
    title : str
        What these images are, if they are not all.
    unit : str, optional
        As in `summarise`.
    """
    summary = summarise(table, unit)
    if as_json:
        sys.stdout.write(json.dumps(summary.as_dict()) + "\n")
        return
    from rich.console import Console

    console = Console()
    console.print(_grid(summary, title))
    if summary.classes:
        console.print(_grid_of_classes(summary))
    for line in _remarks(summary):
        console.print(line, highlight=False)
    if where is not None:
        console.print(f"One row {ROW[summary.what]}: {where}", highlight=False, markup=False)


def _of_images(table: "pd.DataFrame", unit: str | None) -> Summary:
    import numpy as np

    from histoscope.metrics import independent_unit, interval, pooled_statistic, range_of
    from histoscope.metrics.keys import as_text
    from histoscope.metrics.pooling import classes_in

    unit = unit or independent_unit(table)
    found = {name: interval(table, name, cluster=unit).within(range_of(name)) for name in SHOWN}
    classes = {}
    for name in classes_in(table):
        scores = {score: f"{score}_{name}" for score in OF_CLASS if f"{score}_{name}" in table}
        classes[name] = OfClass(
            int(np.nansum(pooled_statistic(table, f"pq_{name}").totals(table)[:, [0, 2]])),  # tp and fn
            {score: interval(table, column, cluster=unit, pooled=True) for score, column in scores.items()},
        )
    unknown = int((as_text(table["patient"]).str.strip() == "").sum()) if "patient" in table else len(table)
    return Summary("images", len(table), unit, found, classes, 0 if unit == "patient" else unknown)


def _of_patches(table: "pd.DataFrame") -> Summary:
    from histoscope.metrics import interval, patch_interval, per_patch, probabilities, range_of

    known = per_patch(table[table["true"] >= 0])
    found = {name: patch_interval(known, name, cluster="group") for name in SHOWN_OF_PATCHES}
    names, true, _ = probabilities(known)
    classes = {
        name: OfClass(
            int((true == k).sum()),
            {"recall": interval(known[true == k], "correct", cluster="group").within(range_of("correct"))},
        )
        for k, name in enumerate(names)
    }
    return Summary("patches", len(table), "group", found, classes)


def _grid(summary: Summary, title: str) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    from histoscope.metrics.intervals import counted, units

    rows = f"1 {ROW[summary.what].split()[1]}" if summary.n == 1 else f"{summary.n} {summary.what}"
    about = f"{rows}, interval by {counted(1, summary.unit).removeprefix('1 ')}"
    head = ("Score", "Mean", INTERVAL, units(summary.unit).capitalize())
    grid = Table(*head, title=escape(f"{title}: {about}" if title else about))
    for name, value in summary.found.items():
        grid.add_row(name, *_cells(value))
    return grid


def _grid_of_classes(summary: Summary) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    from histoscope.metrics.intervals import units

    counts = COUNTED[summary.what].replace("_", " ").capitalize()
    pooled = "all images as one" if summary.what == "images" else "patches of the class"
    grid = Table("Class", counts, "Score", "Value", INTERVAL, units(summary.unit).capitalize())
    grid.title = f"By class ({pooled})"
    for name, each in summary.classes.items():
        first = (escape(name), str(each.n_true))
        for score, value in each.found.items():
            grid.add_row(*first, score, *_cells(value))
            first = ("", "")
    return grid


def _cells(value: "Interval") -> tuple[str, str, str]:
    """Mean, interval and number of patients; empty where there is none."""
    span = f"{value.low:.3f} to {value.high:.3f}" if math.isfinite(value.low) else ""
    mean = f"{value.estimate:.3f}" if math.isfinite(value.estimate) else "undefined"
    return mean, span, str(value.n_clusters)


def _remarks(summary: Summary) -> Iterator[str]:
    """Say why an interval is missing, and what to think of those that are there."""
    from histoscope.metrics.intervals import counted, units

    of_classes = [value for each in summary.classes.values() for value in each.found.values()]
    every = [*summary.found.values(), *of_classes]
    missing = [value for value in every if math.isfinite(value.estimate) and not math.isfinite(value.low)]
    whole = units(summary.unit)
    if max((value.n_clusters for value in every), default=0) < 2:
        yield f"No interval: it takes {summary.what} of at least two {whole}."
    elif missing:
        yield f"No interval where one of the {whole} alone decides a score."
    if summary.unknown:
        yield (
            f"The patient of {counted(summary.unknown, 'name')} is not known, so that {whole} are taken as "
            "independent: too short an interval if patients have several."
        )


def _numbers(found: Mapping[str, "Interval"]) -> dict[str, dict[str, float | None]]:
    return {
        name: {
            **{key: _rounded(getattr(value, key)) for key in ("estimate", "low", "high")},
            "n": value.n_clusters,
        }
        for name, value in found.items()
    }


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
