"""Write a page of docs/results: our StarDist over seeds, beside the `stardist` package.

    histoscope train configs/train_stardist.yaml --set train.seed=0 --set out=runs/stardist0  # and 1, 2
    python docs/make/stardist_page.py monuseg runs/stardist0 runs/stardist1 runs/stardist2

Each run was trained on the published training images and tested on the published test images. What a person
has to say stands in stardist_NAME_notes.txt beside this script.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from histoscope import metrics
from histoscope.files import write_text
from histoscope.metrics.pooling import classes_in

HERE = Path(__file__).resolve().parent
SCORES = {"pq": "PQ", "aji": "AJI", "dice": "Dice", "f1_50": "F1 at 0.5"}
PACKAGE = {
    "monuseg": {"pq": 0.589, "aji": 0.593, "dice": 0.773, "f1_50": 0.806},
    "consep": {
        "pq": 0.366,
        "aji": 0.418,
        "dice": 0.730,
        "f1_50": 0.530,
        "pq_misc": 0.0,
        "pq_inflammatory": 0.509,
        "pq_epithelial": 0.306,
        "pq_spindle": 0.205,
        "mpq_plus": 0.255,
    },
}
"""What the package reached on the same images, one seed; only its means were kept."""
PAGES = {"monuseg": "stardist", "consep": "stardist_consep"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("on", choices=sorted(PAGES), help="data set")
    parser.add_argument("runs", type=Path, nargs="+", help="run folders of histoscope train, one a seed")
    given = parser.parse_args()
    tables = [pd.read_csv(run / "per_image.csv") for run in given.runs]
    title, about, notes = (
        (HERE / f"stardist_{given.on}_notes.txt").read_text(encoding="utf-8").split("\n\n", 2)
    )
    lines = [title, "", about, "", *head(len(tables)), *rows(tables, PACKAGE[given.on]), "", notes]
    write_text(HERE.parent / "results" / f"{PAGES[given.on]}.md", "\n".join(lines))


def head(seeds: int) -> list[str]:
    columns = [f"Seed {k}" for k in range(seeds)]
    titles = ["Score", *columns, "Mean", "95 % interval", "`stardist` package"]
    return [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]


def rows(tables: list[pd.DataFrame], package: dict[str, float]) -> list[str]:
    """One row a score: means over images; PQ of a class and mPQ+ pool the nuclei of all images."""
    classes = classes_in(tables[0])
    pooled = {f"pq_{name}": f"PQ, {name}" for name in classes} | ({"mpq_plus": "mPQ+"} if classes else {})
    lines = []
    for name, title in {**SCORES, **pooled}.items():
        values = [row(table, name, pooled=name in pooled).estimate for table in tables]
        over = row(together(tables, pooled=name in pooled), name, pooled=name in pooled)
        seeds = " | ".join(f"{value:.3f}" for value in values)
        bounds = f"{over.low:.3f} to {over.high:.3f}"
        lines.append(f"| {title} | {seeds} | **{np.mean(values):.3f}** | {bounds} | {package[name]:.3f} |")
    return lines


def row(table: pd.DataFrame, name: str, *, pooled: bool) -> metrics.Interval:
    unit = metrics.independent_unit(table)
    return metrics.interval(table, name, cluster=unit, pooled=pooled, rng=np.random.default_rng(0))


def together(tables: list[pd.DataFrame], *, pooled: bool) -> pd.DataFrame:
    """All seeds in one table: the mean of each image, or, where nuclei are pooled, all of its rows."""
    every = pd.concat(tables, ignore_index=True)
    if pooled:
        return every
    whose = {"patient": "first"} if every["patient"].notna().all() else {}
    return every.groupby("name", as_index=False).agg({**whose, **dict.fromkeys(SCORES, "mean")})


if __name__ == "__main__":
    main()
