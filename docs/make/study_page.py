"""Put the tables and pictures of finished studies beside their page in docs/results.

    python docs/make/study_page.py runs/stain docs/results/stain.md
    python docs/make/study_page.py runs/synthetic runs/synthetic_own runs/synthetic_free \
        docs/results/synthetic.md --by-seed
    python docs/make/findings.py                       # then draws the figures from the tables

A person writes the page: answer, figure, table of at most ten rows, how, how far to believe it. Its numbers
stand in CSV files beside it; these are the report's own. Of several studies the rows of all are in one file,
with a column that names the study. Photographs that the page shows are copied from the first study's report,
made smaller.
"""

import argparse
import json
import re
import shutil
from pathlib import Path

import pandas as pd
from PIL import Image as Pillow

from histoscope.report.results import read_study
from histoscope.report.write import write_report
from histoscope.tables import read_table, write_table

GALLERY_WIDTH_PX = 1100
NOT_OF_THE_PAGE = {"content"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", type=Path, nargs="+", help="folders of studies, the main one first")
    parser.add_argument("page", type=Path, help="Markdown file beside which the tables go")
    parser.add_argument("--by-seed", action="store_true", help="means of each seed as well")
    args = parser.parse_args()
    for study in args.studies:
        write_report(study)
    tables = {path.stem for path in args.studies[0].glob("*.csv")} - NOT_OF_THE_PAGE
    for name in sorted(tables):
        files = {each.name: each / f"{name}.csv" for each in args.studies}
        put(args.page, name, {study: read_table(path) for study, path in files.items() if path.is_file()})
    if args.by_seed:
        put(args.page, "by_seed", {each.name: by_seed(each) for each in args.studies})
    copy_pictures(args.page, args.studies[0])
    for study in args.studies:
        print(f"{study.name}: {spent(study)}")


def put(page: Path, name: str, tables: dict[str, pd.DataFrame]) -> None:
    """Write one table beside a page; of several studies, each row with the study's name."""
    many = len(tables) > 1
    found = [
        table.assign(study=study)[["study", *table]] if many else table for study, table in tables.items()
    ]
    write_table(page.with_name(f"{page.stem}_{name}.csv"), pd.concat(found, ignore_index=True))


def by_seed(folder: Path) -> pd.DataFrame:
    """Mean of the primary metric for each run and set of test images."""
    study = read_study(folder)
    rows = [
        (
            run.model,
            condition,
            run.level,
            study.metric,
            run.seed,
            table.loc[table.condition == condition, study.metric].mean(),
        )
        for run in study.finished()
        if (table := run.table) is not None
        for condition in study.conditions
    ]
    return pd.DataFrame(rows, columns=["model", "condition", "level", "metric", "seed", "mean"])


def spent(study: Path) -> str:
    """Hardware and time of the runs, from what each run recorded."""
    found = [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted(study.glob("*/environment.json"))
    ]
    train, test = (sum(run["seconds"].get(name, 0) for run in found) / 60 for name in ("train", "evaluate"))
    hardware = {f"{run['cpu_count']} cores, {run['gpu'] or 'no GPU'}" for run in found}
    return (
        f"{len(found)} runs on {' and '.join(sorted(hardware))}: {train:.0f} minutes of training "
        f"and {test:.0f} of testing, summed over runs.\n"
    )


def copy_pictures(page: Path, study: Path) -> None:
    """Copy the photographs that a page shows from a study's report."""
    for name in re.findall(rf"img/{page.stem}/([\w.-]+)", page.read_text(encoding="utf-8")):
        source, target = study / "report_files" / name, page.parent / "img" / page.stem / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".svg":
            shutil.copy(source, target)
            continue
        with Pillow.open(source) as picture:
            picture.thumbnail((GALLERY_WIDTH_PX, 10 * GALLERY_WIDTH_PX))
            picture.save(target, quality=82)


if __name__ == "__main__":
    main()
