"""Write a page of docs/results: our StarDist over seeds, beside the `stardist` package.

    histoscope train configs/train_stardist.yaml --set train.seed=0 --set out=runs/stardist0  # and 1, 2
    python docs/make/stardist_page.py monuseg runs/stardist[012] --package runs/package
    python docs/make/stardist_page.py consep runs/consep[012] --remedy none=runs/none0 --remedy both=...

Each run was trained on the published training images and tested on the published test images. What a person
has to say stands in stardist_NAME_notes.txt beside this script; ``{remedies}`` there is the second table.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from histoscope import metrics
from histoscope.files import write_text
from histoscope.metrics.pooling import classes_in
from histoscope.tables import read_table

HERE = Path(__file__).resolve().parent
SCORES = {"pq": "PQ", "aji": "AJI", "dice": "Dice", "f1_50": "F1 at 0.5", "ap_50": "AP at 0.5"}
PAGES = {"monuseg": "stardist", "consep": "stardist_consep"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("on", choices=sorted(PAGES), help="data set")
    parser.add_argument("runs", type=Path, nargs="+", help="run folders of histoscope train, one a seed")
    parser.add_argument("--package", type=Path, help="folder of stardist_package.py")
    parser.add_argument("--remedy", action="append", default=[], metavar="NAME=RUN", help="the first: none")
    given = parser.parse_args()
    tables = [read_table(run / "per_image.csv") for run in given.runs]
    title, about, notes = (
        (HERE / f"stardist_{given.on}_notes.txt").read_text(encoding="utf-8").split("\n\n", 2)
    )
    rival = read_table(given.package / "per_image.csv") if given.package else None
    lines = [title, "", about, "", *scores(tables, rival)]
    pairs = (pair.split("=", 1) for pair in given.remedy)
    by_remedy = {name: read_table(Path(run) / "per_image.csv") for name, run in pairs}
    notes = notes.replace("{remedies}", "\n".join(remedies(by_remedy)))
    write_text(HERE.parent / "results" / f"{PAGES[given.on]}.md", "\n".join([*lines, "", notes]))


def scores(tables: list[pd.DataFrame], rival: pd.DataFrame | None) -> list[str]:
    """One row a score: means over images; PQ of a class and mPQ+ pool the nuclei of all images."""
    columns = [f"Seed {k}" for k in range(len(tables))]
    titles = ["Score", *columns, "Mean (95 % interval)"]
    titles += ["`stardist` package", "Difference (95 % interval)"] if rival is not None else []
    lines = [head(titles)]
    for name, title in {**SCORES, **of_classes(tables[0])}.items():
        pooled = name not in SCORES
        values = [row(table, name, pooled=pooled).estimate for table in tables]
        every = together(tables, pooled=pooled)
        over = row(every, name, pooled=pooled)
        cells = [title, *(f"{value:.3f}" for value in values)]
        cells.append(f"**{np.mean(values):.3f}** ({over.low:.3f} to {over.high:.3f}, {over.basis})")
        if rival is not None:
            cells.append(f"{row(rival, name, pooled=pooled).estimate:.3f}")
            # Where nuclei are pooled, each seed meets the same rival.
            pair = (seeded(tables), seeded([rival] * len(tables))) if pooled else (every, rival)
            cells.append(gain(*pair, name, pooled=pooled))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def remedies(tables: dict[str, pd.DataFrame]) -> list[str]:
    """One row a remedy: PQ of each class, and how far it is from the first's; mPQ+ and PQ."""
    if not tables:
        return []
    baseline = next(iter(tables.values()))
    shown = {**of_classes(baseline), "pq": "PQ"}
    lines = [head(["Remedy", *shown.values()])]
    for name, table in tables.items():
        cells = []
        for score in shown:
            pooled = score not in SCORES
            cells.append(f"{row(table, score, pooled=pooled).estimate:.3f}")
            if table is not baseline:
                cells[-1] += f" ({gain(table, baseline, score, pooled=pooled)})"
        lines.append(f"| {' | '.join([name, *cells])} |")
    return lines


def head(titles: list[str]) -> str:
    return f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}"


def of_classes(table: pd.DataFrame) -> dict[str, str]:
    """Scores that pool the nuclei of all images, if they have classes."""
    classes = classes_in(table)
    return {f"pq_{name}": f"PQ, {name}" for name in classes} | ({"mpq_plus": "mPQ+"} if classes else {})


def gain(ours: pd.DataFrame, theirs: pd.DataFrame, name: str, *, pooled: bool) -> str:
    """Mean difference on the same images, with its interval."""
    unit = metrics.independent_unit(ours)
    found = metrics.compare(ours, theirs, name, cluster=unit, pooled=pooled, rng=np.random.default_rng(0))
    bounds = (f"{value:+.3f}".replace("-", "\u2212") for value in (found.difference, found.low, found.high))
    return "{}, {} to {}, {}".format(*bounds, found.basis)


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
