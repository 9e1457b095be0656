"""Write the tables of docs/results/stardist.md and stardist_consep.md: ours beside the `stardist` package.

    histoscope train configs/train_stardist.yaml --set train.seed=0 --set out=runs/stardist0  # and 1, 2
    python docs/make/stardist_page.py stardist runs/stardist[012] --package runs/package
    python docs/make/stardist_page.py stardist_consep runs/consep[012] --package runs/package \
        --remedy none=runs/none0 --remedy both=...

Each run was trained on the published training images and tested on the published test images. A person writes
the pages; `docs/make/findings.py` draws the figures.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from histoscope import metrics
from histoscope.metrics.pooling import classes_in
from histoscope.tables import read_table, write_table

RESULTS = Path(__file__).resolve().parents[1] / "results"
SCORES = ("pq", "aji", "dice", "f1_50", "ap_50")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", choices=["stardist", "stardist_consep"])
    parser.add_argument("runs", type=Path, nargs="+", help="run folders of histoscope train, one a seed")
    parser.add_argument("--package", type=Path, required=True, help="folder of stardist_package.py")
    parser.add_argument("--remedy", action="append", default=[], metavar="NAME=RUN", help="the first: none")
    given = parser.parse_args()
    tables = [read_table(run / "per_image.csv") for run in given.runs]
    rival = read_table(given.package / "per_image.csv")
    write_table(RESULTS / f"{given.page}_scores.csv", pd.DataFrame(scores(tables, rival)))
    if given.remedy:
        pairs = (pair.split("=", 1) for pair in given.remedy)
        by_remedy = {name: read_table(Path(run) / "per_image.csv") for name, run in pairs}
        write_table(RESULTS / f"{given.page}_remedies.csv", pd.DataFrame(remedies(by_remedy)))


def scores(tables: list[pd.DataFrame], rival: pd.DataFrame) -> list[dict[str, Any]]:
    """One row a score: means over images; PQ of a class and mPQ+ pool the nuclei of all images."""
    lines = []
    for name in (*SCORES, *of_classes(tables[0])):
        pooled = name not in SCORES
        values = [row(table, name, pooled=pooled).estimate for table in tables]
        every = together(tables, pooled=pooled)
        over = row(every, name, pooled=pooled)
        # Where nuclei are pooled, each seed meets the same rival.
        pair = (seeded(tables), seeded([rival] * len(tables))) if pooled else (every, rival)
        of_seeds = {f"seed_{seed}": value for seed, value in enumerate(values)}
        ours = {"mean": float(np.mean(values)), "low": over.low, "high": over.high}
        theirs = {"package": row(rival, name, pooled=pooled).estimate}
        lines.append({"score": name} | of_seeds | ours | theirs | gain(*pair, name, pooled=pooled))
    return lines


def remedies(tables: dict[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """One row a remedy and a score: PQ of classes, mPQ+, PQ, and the difference from the first remedy."""
    baseline = next(iter(tables.values()))
    lines = []
    for remedy, table in tables.items():
        for name in (*of_classes(baseline), "pq"):
            pooled = name not in SCORES
            more = {} if table is baseline else gain(table, baseline, name, pooled=pooled)
            value = row(table, name, pooled=pooled).estimate
            lines.append({"remedy": remedy, "score": name, "value": value} | more)
    return lines


def of_classes(table: pd.DataFrame) -> list[str]:
    """Scores that pool the nuclei of all images, if they have classes."""
    classes = classes_in(table)
    return [f"pq_{name}" for name in classes] + (["mpq_plus"] if classes else [])


def gain(ours: pd.DataFrame, theirs: pd.DataFrame, name: str, *, pooled: bool) -> dict[str, float]:
    """Mean difference on the same images, with its interval."""
    unit = metrics.independent_unit(ours)
    found = metrics.compare(ours, theirs, name, cluster=unit, pooled=pooled, rng=np.random.default_rng(0))
    return {"difference": found.difference, "diff_low": found.low, "diff_high": found.high}


def row(table: pd.DataFrame, name: str, *, pooled: bool) -> metrics.Interval:
    unit = metrics.independent_unit(table)
    return metrics.interval(table, name, cluster=unit, pooled=pooled).within(metrics.range_of(name))


def seeded(tables: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([table.assign(seed=seed) for seed, table in enumerate(tables)], ignore_index=True)


def together(tables: list[pd.DataFrame], *, pooled: bool) -> pd.DataFrame:
    """All seeds in one table: the mean of each image, or, where nuclei are pooled, all of its rows."""
    every = pd.concat(tables, ignore_index=True)
    if pooled:
        return every
    whose = {"patient": "first"} if every["patient"].notna().all() else {}
    return every.groupby("name", as_index=False).agg({**whose, **dict.fromkeys(SCORES, "mean")})


if __name__ == "__main__":
    main()
