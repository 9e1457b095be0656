"""The numbers of a report: every level against the baseline, for each model, condition and metric."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from histoscope.metrics import METRICS, PATCH_METRICS, compare, holm, independent_unit, interval, range_of
from histoscope.metrics.pooling import classes_in, pooled_statistic
from histoscope.report.results import StudyResults
from histoscope.report.summary import Difference, Verdict, judge

NAN = float("nan")
SHOWN = ("dice", "aji", "pq", "f1_50", "nll", "brier")
OF_CLASSES = ("pq", "f1")
"""Scores of single classes, of all images as if they were one."""
RNG_SEED = 0
UNITS = {"patient": "patient", "source": "source image", "name": "image"}


@dataclass(frozen=True, slots=True)
class Effect:
    """One level under one condition by one metric, and how it differs from the baseline.

    Means are over images and seeds; intervals and tests go by patient, all seeds of an image together.
    Differences use only seeds and images that both the level and the baseline have.

    Parameters
    ----------
    model, condition, level, metric : str
    n_images, n_units, n_seeds : int
        Behind `mean`; units are patients, or the substitute for them (see `unit_of`).
    mean, low, high : float
        Mean, and its 95 % interval by patient.
    seed_sd : float
        Standard deviation of the mean from seed to seed; nan with one seed.
    difference, diff_low, diff_high : float
        Level minus baseline, with its interval; nan for the baseline itself and where it cannot be computed.
    p, p_holm, p_wilcoxon, d_z : float
        Paired permutation test, the same after Holm's correction, Wilcoxon test, effect size.
    n_pairs, paired_seeds, agreeing_seeds, comparisons : int
        Units and seeds behind the difference; seeds whose own difference has its sign; comparisons in its
        family.
    verdict : Verdict or None
        None for the baseline.
    unit : {"patient", "source", "name"}
        Column of the independent unit.
    base : str
        Level that it is compared with; its own name, if it is a baseline.
    before : float
        Mean of the baseline on the seeds and images of the difference.
    """

    model: str
    condition: str
    level: str
    metric: str
    n_images: int = 0
    n_units: int = 0
    n_seeds: int = 0
    mean: float = NAN
    low: float = NAN
    high: float = NAN
    seed_sd: float = NAN
    difference: float = NAN
    diff_low: float = NAN
    diff_high: float = NAN
    p: float = NAN
    p_holm: float = NAN
    p_wilcoxon: float = NAN
    d_z: float = NAN
    n_pairs: int = 0
    paired_seeds: int = 0
    agreeing_seeds: int = 0
    comparisons: int = 0
    verdict: Verdict | None = None
    unit: str = "patient"
    base: str = ""
    before: float = NAN

    @property
    def is_baseline(self) -> bool:
        """Whether others are compared with this row, and it with none."""
        return self.level == self.base

    @property
    def against(self) -> Difference:
        """What the words of the report need of the difference."""
        return Difference(
            self.difference,
            self.diff_low,
            self.diff_high,
            self.p_holm,
            patients=self.n_pairs,
            seeds=self.paired_seeds,
            comparisons=max(self.comparisons, 1),
            agreeing=self.agreeing_seeds,
            unit=UNITS[self.unit],
            before=self.before,
        )


def effects(study: StudyResults) -> list[Effect]:
    """Every level x model x condition x metric, primary metric first.

    A family, for Holm's correction, is the comparisons with the baseline by one metric, of one model, under
    one condition.
    """
    rows: list[Effect] = []
    units = {condition: unit_of(study, condition) for condition in study.conditions}
    for metric in metrics_of(study):
        for model in study.models:
            for condition in study.conditions:
                rows += _family(study, model, condition, metric, units[condition])
    return rows


def metrics_of(study: StudyResults) -> list[str]:
    """Primary metric, then the others of the tables, as far as any run measured them."""
    columns = _columns(study)
    of_classes = [f"{score}_{name}" for score in OF_CLASSES for name in classes_in(columns)]
    names = [study.metric, *(["mpq_plus", *of_classes] if of_classes else []), *SHOWN]
    return [
        name
        for name in dict.fromkeys(names)
        if name in columns or name == study.metric or is_pooled(study, name)
    ]


def is_pooled(study: StudyResults, metric: str) -> bool:
    """Whether a score is of all images as if they were one: scores of classes, which many images lack."""
    names = class_names(study)
    return metric == "mpq_plus" or metric in {f"{score}_{name}" for score in OF_CLASSES for name in names}


def class_names(study: StudyResults) -> list[str]:
    """Classes of nuclei that any run measured."""
    return classes_in(_columns(study))


def image_metric(study: StudyResults) -> str:
    """Score that ranks single images: the primary metric, or PQ where that one is of all images together."""
    return "pq" if is_pooled(study, study.metric) else study.metric


def _columns(study: StudyResults) -> list[str]:
    return list(dict.fromkeys(str(c) for run in study.finished() if run.table is not None for c in run.table))


def stacked(study: StudyResults, model: str, condition: str, level: str, metric: str) -> pd.DataFrame:
    """Stack the scores of all finished seeds: columns seed, name, patient, source and the metric.

    Of a pooled metric, the columns of the counts that it follows from.
    """
    tables = []
    wanted: tuple[str, ...] = (metric,)
    if is_pooled(study, metric) and classes_in(_columns(study)):
        wanted = pooled_statistic(_columns(study), metric).columns
    for run in study.finished(model, level):
        if run.table is None or not set(wanted) <= set(run.table):
            continue
        chosen = run.table["condition"] == condition
        part = run.table.loc[chosen, ["name", "patient", "source"]].assign(seed=run.seed)
        numbers = {name: pd.to_numeric(run.table.loc[chosen, name], errors="coerce") for name in wanted}
        tables.append(part.assign(**numbers))
    if not tables:
        return pd.DataFrame(columns=["name", "patient", "source", *wanted, "seed"])
    return pd.concat(tables, ignore_index=True)


def unit_of(study: StudyResults, condition: str = "") -> str:
    """Column of the independent unit under a condition: "patient", else "source" or "name" if unknown.

    Without a condition, the one that answers the question.
    """
    chosen = condition or study.primary_condition
    tables = [
        run.table.loc[run.table["condition"] == chosen, ["name", "patient", "source"]]
        for run in study.finished()
        if run.table is not None
    ]
    found = [table for table in tables if len(table)]
    return independent_unit(pd.concat(found)) if found else "patient"


def higher_is_better(metric: str) -> bool:
    """Whether more of `metric` is better; True for metrics without a datasheet."""
    sheet = METRICS.get(metric) or PATCH_METRICS.get(metric)
    return True if sheet is None else bool(sheet.higher_is_better)


def _family(study: StudyResults, model: str, condition: str, metric: str, unit: str) -> Iterator[Effect]:
    """Rows of one table, with Holm's correction over its comparisons."""
    base = {level: study.baseline_of(level, model) for level in study.levels_of(model)}
    tables = {level: stacked(study, model, condition, level, metric) for level in base}
    pooled = is_pooled(study, metric)
    rows = [
        _level(
            Effect(model, condition, level, metric, unit=unit, base=base[level]), tables[level], pooled=pooled
        )
        for level in base
    ]
    rows = [
        row
        if row.is_baseline or row.base not in tables
        else _against(row, tables[row.level], tables[row.base], pooled=pooled)
        for row in rows
    ]
    tested = [row for row in rows if np.isfinite(row.p)]
    corrected = dict(zip((row.level for row in tested), holm([row.p for row in tested]), strict=True))
    for row in rows:
        if row.is_baseline:
            yield row
        else:
            full = replace(row, p_holm=float(corrected.get(row.level, NAN)), comparisons=len(tested))
            verdict = judge(full.against, higher_is_better=higher_is_better(metric))
            yield replace(full, verdict=verdict)


def _level(row: Effect, table: pd.DataFrame, *, pooled: bool) -> Effect:
    defined = table.dropna(subset=_numbers(table))
    if defined.empty:
        return row
    found = interval(defined, row.metric, cluster=row.unit, pooled=pooled).within(range_of(row.metric))
    means = _by_seed(defined, row.metric, pooled=pooled)
    return replace(
        row,
        n_images=defined["name"].nunique(),
        n_units=found.n_clusters,
        n_seeds=len(means),
        mean=found.estimate,
        low=found.low,
        high=found.high,
        seed_sd=float(means.std()) if len(means) > 1 else NAN,
    )


def _against(row: Effect, table: pd.DataFrame, base: pd.DataFrame, *, pooled: bool) -> Effect:
    seeds = set(table["seed"]) & set(base["seed"])
    if not seeds:
        return row
    level, baseline = (part[part["seed"].isin(seeds)] for part in (table, base))
    rng = np.random.default_rng(RNG_SEED)
    found = compare(level, baseline, row.metric, cluster=row.unit, pooled=pooled, rng=rng)
    return replace(
        row,
        difference=found.difference,
        diff_low=max(found.low, -_span(row.metric)),
        diff_high=min(found.high, _span(row.metric)),
        p=found.p_permutation,
        p_wilcoxon=found.p_wilcoxon,
        d_z=found.d_z,
        n_pairs=found.n,
        paired_seeds=len(seeds),
        agreeing_seeds=_agreeing(level, baseline, row.metric, found.difference, pooled=pooled),
        before=_before(level, baseline, row.metric, pooled=pooled),
    )


def _span(metric: str) -> float:
    """Largest difference that two scores can have."""
    low, high = range_of(metric) or (-np.inf, np.inf)
    return float(high - low)


def _agreeing(
    level: pd.DataFrame, baseline: pd.DataFrame, metric: str, difference: float, *, pooled: bool
) -> int:
    """Count the seeds whose own difference has the sign of the overall one."""
    if pooled:
        by_seed = _by_seed(level, metric, pooled=True) - _by_seed(baseline, metric, pooled=True)
    else:
        pairs = _pairs(level, baseline, metric)
        by_seed = (pairs[metric] - pairs[f"{metric}_baseline"]).groupby(pairs["seed"]).mean()
    return int((np.sign(by_seed) == np.sign(difference)).sum())


def _before(level: pd.DataFrame, baseline: pd.DataFrame, metric: str, *, pooled: bool) -> float:
    """Score of the baseline on what both have."""
    if pooled:
        return pooled_statistic(baseline, metric).of(baseline)
    pairs = _pairs(level, baseline, metric)
    return float(pairs.groupby("name")[f"{metric}_baseline"].mean().mean())


def _pairs(level: pd.DataFrame, baseline: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Images and seeds that both have, with a score of either."""
    pairs = level.merge(baseline, on=["name", "seed"], suffixes=("", "_baseline"))
    return pairs.dropna(subset=[metric, f"{metric}_baseline"])


def _by_seed(table: pd.DataFrame, metric: str, *, pooled: bool) -> "pd.Series[float]":
    """Score of each seed."""
    if not pooled:
        return table.groupby("seed")[metric].mean()
    statistic = pooled_statistic(table, metric)
    return pd.Series({seed: statistic.of(part) for seed, part in table.groupby("seed")}, dtype=float)


def _numbers(table: pd.DataFrame) -> list[str]:
    """Columns of scores or counts."""
    return [str(name) for name in table if name not in {"name", "patient", "source", "seed"}]
