"""The numbers of the study of transfer: what a random split adds, what beats colours alone, what it cost."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from histoscope import metrics
from histoscope.metrics.intervals import cluster_totals
from histoscope.metrics.jackknife import ClusterScore
from histoscope.metrics.pooling import Values, divide
from histoscope.report import cost
from histoscope.report.effects import NAN, RNG_SEED, stacked
from histoscope.report.results import RunResult, StudyResults
from histoscope.studies.factors import BASELINES
from histoscope.studies.folder import read_json
from histoscope.studies.study import Run
from histoscope.studies.transfer.names import GROUPED, PRETRAINED, RANDOM, SPENT, pretrainings
from histoscope.train.log import read as read_log

ENOUGH = 0.95
"""Accuracy on the validation part; the report says after how many seconds it was reached."""
SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "kappa", "auroc", "auprc", "ece", "nll", "brier")


@dataclass(frozen=True, slots=True)
class LeakageGap:
    """Optimism of a random split: its accuracy less that of a split by group, with a 95 % interval.

    Groups are resampled for both at once, since the test parts of both are of the same photographs.
    """

    level: str
    size: str
    grouped: float
    random: float
    difference: float = NAN
    low: float = NAN
    high: float = NAN
    n_groups: int = 0


@dataclass(frozen=True, slots=True)
class BaselineComparison:
    """Comparison of a level with a trivial baseline under the split by group, on the same patches and seeds.

    `p` is of the paired permutation test by group, `p_holm` after Holm's correction over the levels of a
    size. `p_mcnemar` is McNemar's, on one patch of each group and the first seed: these are independent.
    """

    level: str
    size: str
    other: str
    difference: float = NAN
    low: float = NAN
    high: float = NAN
    p: float = NAN
    p_holm: float = NAN
    p_mcnemar: float = NAN
    n_groups: int = 0


@dataclass(frozen=True, slots=True)
class Spent:
    """Means over seeds of what a level cost, split by group: seconds before, of training, until `ENOUGH`."""

    level: str
    size: str
    before: float
    train: float
    enough: float
    n_enough: int
    n_seeds: int
    per_second: float
    patches: float


def leakage_gaps(study: StudyResults) -> list[LeakageGap]:
    """Random minus grouped, for each level and size that has both."""
    rows = []
    for size in study.models:
        for level in study.levels:
            both = [stacked(study, size, kind, level, "accuracy") for kind in (GROUPED, RANDOM)]
            if all(len(table) for table in both):
                rows.append(_leakage_gap(level, size, both[0], both[1]))
    return rows


def _leakage_gap(level: str, size: str, grouped: pd.DataFrame, random: pd.DataFrame) -> LeakageGap:
    tables = pd.concat([grouped.assign(side=0), random.assign(side=1)])
    unit = metrics.independent_unit(tables)
    counts = np.zeros((len(tables), 4))
    side = tables["side"].to_numpy()
    right = tables["accuracy"].to_numpy(np.float64)
    for k in (0, 1):
        counts[side == k, 2 * k] = right[side == k]
        counts[side == k, 2 * k + 1] = 1.0
    codes = np.unique(tables[unit].to_numpy(str), return_inverse=True)[1]
    totals = cluster_totals(counts, codes)
    low, high = ClusterScore.of_sums(totals, _gap, totals[:, [1, 3]]).bounds(0.95, (-1.0, 1.0))
    low, high = (float(np.clip(end, -1.0, 1.0)) for end in (low, high))
    means = grouped["accuracy"].mean(), random["accuracy"].mean()
    return LeakageGap(level, size, *means, float(_gap(totals.sum(axis=0))), low, high, len(totals))


def _gap(sums: Values) -> Values:
    gap: Values = divide(sums[..., 2], sums[..., 3]) - divide(sums[..., 0], sums[..., 1])
    return gap


def with_baseline(study: StudyResults, other: str) -> list[BaselineComparison]:
    """Comparison of every trained level with a trivial baseline, by group; corrected within each size."""
    rows = []
    for size in study.models:
        mine = [
            found
            for level in study.levels
            if level not in BASELINES and (found := _beside(study, level, other, size)) is not None
        ]
        corrected = metrics.holm([row.p for row in mine]).tolist() if mine else []
        rows += [replace(row, p_holm=float(p)) for row, p in zip(mine, corrected, strict=True)]
    return rows


def _beside(study: StudyResults, level: str, other: str, size: str) -> BaselineComparison | None:
    a, b = (stacked(study, size, GROUPED, name, "accuracy") for name in (level, other))
    seeds = set(a["seed"]) & set(b["seed"])
    if not seeds:
        return None
    a, b = (table[table["seed"].isin(seeds)] for table in (a, b))
    unit = metrics.independent_unit(pd.concat([a, b]))
    found = metrics.compare(a, b, "accuracy", cluster=unit, rng=np.random.default_rng(RNG_SEED))
    mcnemar = _one_of_each(a[a["seed"] == min(seeds)], b[b["seed"] == min(seeds)], unit)
    return BaselineComparison(
        level,
        size,
        other,
        found.difference,
        max(found.low, -1.0),
        min(found.high, 1.0),
        found.p_permutation,
        p_mcnemar=mcnemar,
        n_groups=found.n,
    )


def _one_of_each(a: pd.DataFrame, b: pd.DataFrame, unit: str) -> float:
    """McNemar's p on the first patch of each group by name: patches of one photograph are not independent."""
    pairs = a.merge(b, on="name", suffixes=("", "_b")).sort_values("name").drop_duplicates(unit)
    truth = np.ones(len(pairs), np.intp)
    return metrics.mcnemar(truth, pairs["accuracy"].astype(int), pairs["accuracy_b"].astype(int)).p


def scores(study: StudyResults, kind: str = GROUPED) -> list[tuple[str, str, dict[str, Any]]]:
    """(size, level, score -> its interval) of all patches of all seeds, under one split."""
    rows = []
    for size in study.models:
        for level in study.levels:
            table = patches(study, size, level, kind)
            if len(table):
                unit = "patient" if (table["patient"] != "").all() else "source"
                found = {name: metrics.patch_interval(table, name, cluster=unit) for name in SCORES}
                rows.append((size, level, found))
    return rows


def patches(study: StudyResults, size: str, level: str, kind: str = GROUPED) -> pd.DataFrame:
    """Every test patch of every seed, with its probabilities."""
    tables = [
        run.table[run.table["condition"] == kind].assign(seed=run.seed)
        for run in study.finished(size, level)
        if run.table is not None
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def spent(study: StudyResults) -> list[Spent]:
    """What each level and size cost, split by group."""
    rows = []
    for size in study.models:
        for level in study.levels:
            runs = study.finished(size, level)
            if runs:
                rows.append(_spent(study, level, size, runs))
    return rows


def _spent(study: StudyResults, level: str, size: str, runs: Sequence[RunResult]) -> Spent:
    logs = [read_log(run.folder / GROUPED) for run in runs if run.folder is not None]
    spent_in = [read_json(run.folder / GROUPED / SPENT) for run in runs if run.folder is not None]
    reached = [cost.reached(log, "accuracy", ENOUGH).seconds for log in logs]
    there = [seconds for seconds in reached if np.isfinite(seconds)]
    batch = study.config["train"]["batch_size"]
    pace = [
        cost.cost(log, batch_size=batch, n_train=1).images_per_second
        for log in logs
        if log and log[-1]["step"] > 1
    ]
    return Spent(
        level,
        size,
        before=_mean([before(study, run) for run in runs]),
        train=_mean([one.get("train", NAN) for one in spent_in]),
        enough=_mean(there),
        n_enough=len(there),
        n_seeds=len(runs),
        per_second=_mean(pace),
        patches=_mean([one.get("images", NAN) for one in spent_in]),
    )


def before(study: StudyResults, run: RunResult) -> float:
    """Seconds of the pretraining of a run; none for weights of ImageNet, which are downloaded."""
    made = pretrainings([Run(run.level, run.model, run.seed)], [GROUPED])
    if not made or run.level == "imagenet_probe":
        return 0.0
    path = study.folder / PRETRAINED / made[0].name / "environment.json"
    return float(read_json(path).get("seconds", {}).get("train", NAN))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else NAN
