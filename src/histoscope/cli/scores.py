"""Tables of scores with confidence intervals, on the terminal or as JSON."""

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from histoscope.cli import terminal
from histoscope.cli.progress import progress

if TYPE_CHECKING:
    import pandas as pd

    from histoscope.metrics import Interval

SHOWN = ("dice", "aji", "pq", "f1_50")
SHOWN_OF_PATCHES = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "nll", "ece")
OF_CLASS = ("pq", "detection_f1")
COUNTED = {"images": "true_nuclei", "patches": "true_patches"}
ROW = {"images": "image", "patches": "patch"}


@contextmanager
def steps_bar(steps: int) -> Iterator[Callable[[int, dict[str, float]], None]]:
    """Progress of training; gives a function of a step and its losses."""
    with progress("Training", steps) as advance:
        yield lambda step, losses: advance(
            step, note=f"loss {losses['loss']:.3f}" if "loss" in losses else ""
        )


def note(line: str) -> None:
    """Print a line on stderr."""
    sys.stderr.write(line + "\n")


class OfClass(NamedTuple):
    """Scores of one class: how many true nuclei (or patches) it has, and each score with its interval."""

    n_true: int
    found: "dict[str, Interval]"


@dataclass(frozen=True, slots=True)
class Summary:
    """Scores of a table: means over images, or scores of patches, and those of each class.

    Parameters
    ----------
    what : {"images", "patches"}
        What the rows are.
    n : int
        Rows.
    unit : str
        Column of the intervals' independent unit.
    found : dict of str to Interval
        By name of the score.
    classes : dict of str to OfClass
        By name of the class; for nuclei, pooled over images. Empty if there are no classes.
    unknown : int
        Rows whose patient is unknown, if that is why the unit is not the patient.
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
        whole = {self.what: self.n, "unit": self.unit, **_numbers(self.found)}
        return {**whole, "classes": of_classes} if of_classes else whole


def summarise(table: "pd.DataFrame", unit: str | None = None) -> Summary:
    """Summarise a table of `histoscope.train.evaluate` or of classified patches.

    Intervals over images use `unit`, such as that of a larger table that these rows are from; by default, the
    coarsest unit that is known for every row.
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

    Parameters
    ----------
    table : DataFrame
        One row per image or patch.
    where : Path, optional
        File that the table was written to.
    as_json : bool
        Print JSON instead of a table.
    title : str
        Which images these are, if not all.
    unit : str, optional
        As in `summarise`.
    """
    from histoscope.metrics.intervals import counted, units

    summary = summarise(table, unit)
    if as_json:
        sys.stdout.write(json.dumps(summary.as_dict()) + "\n")
        return
    row, whole = ROW[summary.what], units(summary.unit)
    rows = f"1 {row}" if summary.n == 1 else f"{summary.n} {summary.what}"
    about = f"{rows}, interval by {counted(1, summary.unit).removeprefix('1 ')}"
    cells = [{"Score": name, **_cells("Mean", value, whole)} for name, value in summary.found.items()]
    terminal.show(cells, f"{title}: {about}" if title else about)
    if summary.classes:
        pooled = "all images as one" if summary.what == "images" else "patches of the class"
        terminal.show(list(_rows_of_classes(summary, whole)), f"By class ({pooled})")
    for line in _remarks(summary, whole):
        sys.stdout.write(f"{line}\n")
    if where is not None:
        sys.stdout.write(f"One row per {row}: {where}\n")


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


def _rows_of_classes(summary: Summary, whole: str) -> Iterator[dict[str, str]]:
    counts = COUNTED[summary.what].replace("_", " ").capitalize()
    for name, each in summary.classes.items():
        first = {"Class": name, counts: str(each.n_true)}
        for score, value in each.found.items():
            yield {**first, "Score": score, **_cells("Value", value, whole)}
            first = {"Class": "", counts: ""}


def _cells(heading: str, value: "Interval", whole: str) -> dict[str, str]:
    """Mean, interval and number of patients; empty if there are none."""
    return {
        heading: f"{value.estimate:.3f}" if math.isfinite(value.estimate) else "undefined",
        "95 % interval": f"{value.low:.3f} to {value.high:.3f}" if math.isfinite(value.low) else "",
        whole.capitalize(): str(value.n_clusters),
    }


def _remarks(summary: Summary, whole: str) -> Iterator[str]:
    """Say why an interval is missing, and what limits the others."""
    from histoscope.metrics.intervals import counted

    of_classes = [value for each in summary.classes.values() for value in each.found.values()]
    every = [*summary.found.values(), *of_classes]
    missing = [value for value in every if math.isfinite(value.estimate) and not math.isfinite(value.low)]
    if max((value.n_clusters for value in every), default=0) < 2:
        yield f"No interval: it needs {summary.what} from at least two {whole}."
    elif missing:
        yield f"No interval where a score depends on only one of the {whole}."
    if summary.unknown:
        yield (
            f"The patient of {counted(summary.unknown, 'name')} is not known, so {whole} are treated as "
            "independent: intervals are too narrow if patients have several."
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
