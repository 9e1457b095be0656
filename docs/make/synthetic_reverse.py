"""Test the networks of all real tiles on synthetic tissue, for docs/results/synthetic.md.

    python docs/make/synthetic_reverse.py runs/synthetic \
        drawn=data/synthetic_procedural painted=data/synthetic_learned

Writes synthetic_reverse.csv beside the page: one row a network, a seed and a set of tiles.
"""

import argparse
from pathlib import Path

import pandas as pd

from histoscope import data, models, train
from histoscope.report.results import read_study
from histoscope.tables import write_table

TABLE = Path(__file__).resolve().parents[1] / "results" / "synthetic_reverse.csv"
LEVEL = "real_all"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, help="folder of the study")
    parser.add_argument("sets", nargs="+", help="name=folder of a synthetic set")
    args = parser.parse_args()
    study = read_study(args.study)
    sets = {name: data.open("folder", root) for name, root in (each.split("=") for each in args.sets)}
    rows = []
    for run in study.finished(level=LEVEL):
        if run.table is None or run.folder is None:
            continue
        of_test = run.table[run.table.condition == study.primary_condition]
        rows.append((run.model, LEVEL, "test", run.seed, of_test[study.metric].mean()))
        network = models.load(run.folder / "model", models.Segmenter)
        for name, tiles in sets.items():
            rows.append(
                (run.model, LEVEL, name, run.seed, train.evaluate(network, tiles)[study.metric].mean())
            )
    columns = ["model", "level", "tested_on", "seed", study.metric]
    write_table(TABLE, pd.DataFrame(rows, columns=columns))


if __name__ == "__main__":
    main()
