"""The page of a cohort: what ran, what failed and why, how slides differ, and which are far off."""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import histoscope
from histoscope.files import write_text
from histoscope.pages import templates
from histoscope.report import summary
from histoscope.report.cohort import figures
from histoscope.report.cohort.clinical import KEYS, MOST_GROUPS, Joined, join
from histoscope.report.cohort.groups import DIFFERS, TOO_FEW, Compared, compare_densities, compare_quality
from histoscope.report.cohort.outliers import (
    FARTHEST,
    FEWEST,
    MOST_NAMED,
    MOST_SHOWN,
    Outlier,
    outliers,
    thumbnail,
)
from histoscope.report.cohort.results import CohortResults, read_cohort, reason_of
from histoscope.words import count, duration

PAGE = "cohort.html"
_MOST_REASONS, _MOST_OF_A_REASON, _MOST_UNMATCHED = 40, 20, 200


def write_cohort_report(
    folder: str | Path,
    *,
    planned: Collection[str] = (),
    clinical: str | Path | None = None,
    by: str = "patient",
    group: str | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Write ``cohort.html`` into a folder of slides: one file that needs no network.

    Parameters
    ----------
    folder : str or Path
        OUT of ``histoscope predict``, with ``cohort.parquet``.
    planned : collection of str
        Names of all slides that are to be done; slides without a row are listed.
    clinical : str or Path, optional
        A table of the lab's own, see `histoscope.report.cohort.clinical.join`.
    by : str
        Its column of the patient.
    group : str, optional
        Its column of groups to compare.

    Returns
    -------
    Path
        The page.
    dict
        Its numbers, as plain values.

    Raises
    ------
    DatasetNotFoundError
        If there is no ``cohort.parquet``, or no table of the lab's.
    UnknownNameError
        If the lab's table has no such column.
    DataError
        If slides and rows cannot be brought together, or the groups not be compared.
    """
    cohort = read_cohort(folder, planned)
    joined = None if clinical is None else join(cohort, clinical, by)
    compared = [] if joined is None or group is None else compare_densities(cohort, joined, group)
    otherwise = [] if joined is None or group is None else compare_quality(cohort, joined, group)
    far = outliers(cohort)
    view = {
        "version": histoscope.__version__,
        "cohort": cohort,
        "name": cohort.folder.resolve().name,
        "lead": _lead(cohort),
        "facts": _facts(cohort),
        "stages": _stages(cohort),
        "failures": _failures(cohort),
        "most_of_a_reason": _MOST_OF_A_REASON,
        "distributions": _distributions(cohort),
        "outliers": far,
        "shown": [(one, thumbnail(cohort.folder, one.image)) for one in far[:MOST_SHOWN]],
        "named": far[MOST_SHOWN:MOST_NAMED],
        "said": _said(cohort),
        "limits": {"farthest": FARTHEST, "fewest": FEWEST, "groups": MOST_GROUPS, "names": _MOST_UNMATCHED},
        "joined": joined,
        "group": group,
        "choices": [] if joined is None else _choices(joined),
        "compared": compared,
        "otherwise": otherwise,
        "answer": _answer(compared, group or ""),
        "panels": [] if joined is None or group is None else _panels(cohort, joined, group, compared),
        "number": number,
        "signed": signed,
        "p": summary.p_cell,
        "count": count,
        "DIFFERS": DIFFERS,
    }
    page = cohort.folder / PAGE
    write_text(page, templates(html=True).get_template("cohort.html.j2").render(view))
    return page, _numbers(cohort, far, joined, compared)


def number(value: float) -> str:
    """Write a number with three digits, those before the point always.

    Examples
    --------
    >>> number(12345.6), number(0.012345), number(-3.0), number(float("nan"))
    ('12,346', '0.0123', '−3', '–')
    """
    if not math.isfinite(value):
        return "–"
    return (f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}").replace("-", summary.MINUS)


def signed(value: float) -> str:
    """Write a number with three digits and its sign.

    Examples
    --------
    >>> signed(1234.5), signed(-0.5), signed(0.0)
    ('+1,234', '−0.5', '0')
    """
    return f"+{number(value)}" if value > 0 else number(value)


def _lead(cohort: CohortResults) -> str:
    parts = [f"{count(len(cohort.done), 'slide')} done"]
    parts += [f"{len(cohort.failed):,} failed"] if len(cohort.failed) else ["none failed"]
    parts += [f"{len(cohort.waiting):,} not done yet"] if cohort.waiting else []
    found = int(cohort.done[cohort.unit].sum()) if cohort.unit in cohort.done else 0
    area = float(cohort.done["tissue_mm2"].sum())
    return f"{', '.join(parts)}. {found:,} {cohort.unit} in {number(area)} mm² of tissue."


def _facts(cohort: CohortResults) -> list[tuple[str, str]]:
    """What was run, in words."""
    done = cohort.done
    about = [("Model", str(cohort.settings.get("model", "–")))]
    about += [("Test-time augmentation", "yes")] if cohort.settings.get("tta") else []
    about += [("Histoscope", str(cohort.settings.get("histoscope", "–")))]
    for label, column in (("Network", "network"), ("Read by", "reader")):
        kinds = Counter(done[column].dropna())
        about.append((label, ", ".join(f"{name} ({n:,})" for name, n in kinds.most_common()) or "–"))
    sizes = Counter(number(round(size, 3)) for size in done["mpp_x"].dropna())
    about.append(("Pixel size (µm)", ", ".join(f"{size} ({n:,})" for size, n in sizes.most_common(8)) or "–"))
    bare = done["image"][done["tissue_mm2"] == 0].tolist()
    if bare:
        others = f" and {len(bare) - _MOST_OF_A_REASON:,} more" if len(bare) > _MOST_OF_A_REASON else ""
        about.append(("No tissue found", f"on {', '.join(bare[:_MOST_OF_A_REASON])}{others}"))
    blurred = float(done["blurred_mm2"].sum())
    if blurred:
        about.append(("Out of focus, left out", f"{number(blurred)} mm²"))
    broken = int((done["problems"] > 0).sum())
    if broken:
        about.append(("Unreadable regions", f"in {count(broken, 'slide')}; see problems.csv of each"))
    return about


def _stages(cohort: CohortResults) -> list[dict[str, Any]]:
    """Time of each stage over all slides: sum, median a slide, and for a mm² of tissue."""
    times = cohort.timings
    area = float(times["mm2"].sum()) if "mm2" in times else 0.0
    rows = []
    for column, label in (
        ("seconds_open", "Opening"),
        ("seconds_parts", "Reading and network"),
        ("seconds_files", "Writing files"),
        ("seconds", "All"),
    ):
        known = times[column].dropna() if column in times else pd.Series(dtype=float)
        if len(known):
            per_mm2 = float(known.sum()) / area if area else math.nan
            rows.append(
                {
                    "label": label,
                    "sum": duration(float(known.sum())),
                    "median": number(float(known.median())),
                    "per_mm2": number(per_mm2),
                }
            )
    return rows


def _failures(cohort: CohortResults) -> list[dict[str, Any]]:
    """Slides that failed, by stage and reason, the most frequent first."""
    alike: dict[tuple[str, str], list[str]] = defaultdict(list)
    failed = cohort.failed
    for image, slide, stage, error in zip(
        *(failed[name].tolist() for name in ("image", "slide", "stage", "error")), strict=True
    ):
        alike[str(stage), reason_of(str(error), str(slide))].append(str(image))
    order = sorted(alike.items(), key=lambda item: (-len(item[1]), item[0]))
    return [{"stage": stage, "reason": reason, "images": images} for (stage, reason), images in order][
        :_MOST_REASONS
    ]


def _distributions(cohort: CohortResults) -> list[dict[str, Any]]:
    rows = []
    for column, label in cohort.labels.items():
        values = cohort.done[column].dropna().to_numpy(np.float64)
        if len(values):
            quartiles = [float(each) for each in np.percentile(values, (0, 25, 50, 75, 100))]
            drawn = figures.histogram(values)
            rows.append({"label": label, "n": len(values), "quartiles": quartiles, "svg": drawn})
    return rows


def _said(cohort: CohortResults) -> dict[str, str]:
    """What a column means, in the middle of a sentence."""
    return {column: label[:1].lower() + label[1:] for column, label in cohort.labels.items()}


def _choices(joined: Joined) -> list[str]:
    """Columns of the lab's table that could be groups."""
    of_patients = joined.slides.drop_duplicates(f"lab.{joined.by}").filter(like="lab.", axis=1)
    named = {f"lab.{name}" for name in (joined.by, *KEYS)}
    return [
        str(name).removeprefix("lab.")
        for name, values in of_patients.items()
        if name not in named and 2 <= values[values != ""].nunique() <= MOST_GROUPS
    ]


def _answer(compared: Sequence[Compared], group: str) -> str:
    """All comparisons in a sentence or two."""
    if not compared:
        return ""
    clear = [one for one in compared if one.verdict == DIFFERS]
    told = [
        f"{one.label} is {'higher' if one.found.difference > 0 else 'lower'} in {one.first} than in "
        f"{one.second} (difference {signed(one.found.difference)}, 95 % interval {signed(one.found.low)} to "
        f"{signed(one.found.high)}, {summary.p_text(one.p_holm)})."
        for one in clear[:3]
    ]
    if len(clear) > 3:
        told.append(f"{len(clear) - 3} more differ; see the table.")
    rest = [one for one in compared if one.verdict != DIFFERS]
    if rest and all(one.verdict == TOO_FEW for one in rest):
        told.append(f"Too few patients to say whether {'others differ' if clear else 'densities differ'}.")
    elif rest:
        none = f"No density is shown to differ by {group}."
        told.append("No other difference is shown." if clear else none)
    return " ".join(told)


def _panels(
    cohort: CohortResults, joined: Joined, group: str, compared: Sequence[Compared]
) -> list[tuple[str, str]]:
    """A figure of patients by group for each density: its label, and SVG."""
    patients = joined.groups(group)
    panels = []
    for measure in cohort.measures:
        values = patients["patient"].map(joined.of_patients(measure))
        known = {
            str(name): np.asarray(each.dropna(), np.float64)
            for name, each in values.groupby(patients["group"])
        }
        mine = [one for one in compared if one.column == measure.name]
        if all(len(each) for each in known.values()):
            panels.append((measure.label, figures.patients_by_group(known, mine)))
    return panels


def _numbers(
    cohort: CohortResults, far: Sequence[Outlier], joined: Joined | None, compared: Sequence[Compared]
) -> dict[str, Any]:
    """Numbers of the page for machines."""
    found: dict[str, Any] = {
        "done": len(cohort.done),
        "failed": cohort.failed[["image", "stage", "error"]].to_dict("records"),
        "waiting": list(cohort.waiting),
        "outliers": [asdict(one) for one in far],
    }
    if joined is not None:
        found |= {
            "patients": int(joined.slides[f"lab.{joined.by}"].nunique()),
            "slides_without_row": list(joined.without_row),
            "rows_without_slide": list(joined.without_slide),
            "patients_whose_slides_failed": list(joined.only_failed),
            "comparisons": [_plain({**asdict(one), **asdict(one.found)}) for one in compared],
        }
    return found


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    row.pop("found")
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }
