"""``histoscope cohort``: one report on many slides."""

import json
from pathlib import Path
from typing import Annotated

import typer

from histoscope.errors import ConfigError
from histoscope.words import count

app = typer.Typer(help="Report on many slides together.", no_args_is_help=True)


@app.callback()
def _root() -> None:
    """Keep the name of the subcommand, although it is the only one."""


@app.command("report")
def report(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder that `histoscope predict` wrote slides to.")
    ],
    clinical: Annotated[
        Path | None,
        typer.Option(
            help="Your own table, CSV: one row per slide (column `slide` or `image`) or per patient."
        ),
    ] = None,
    by: Annotated[str, typer.Option(help="Column of that table with the patient.")] = "patient",
    group: Annotated[
        str | None, typer.Option(help="Column of that table with 2 to 6 groups of patients to compare.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """Write `cohort.html`: what ran, what failed and why, distributions, outliers with pictures.

    The page is one file and needs no network. It is made from `cohort.parquet` alone, even while workers are
    running. With your own table, densities are compared between groups of patients: intervals, permutation
    tests, Holm's correction. Slides without a row and rows without a slide are named.

    - `histoscope cohort report out/`

    - `histoscope cohort report out/ --clinical patients.csv --by patient --group response`
    """
    from histoscope.predict.slides import planning, summary
    from histoscope.report.cohort import write_cohort_report

    if clinical is None and group is not None:
        raise ConfigError(f"--group {group} names a column of your own table; give the table with --clinical")
    summary.refresh(out)
    planned = planning.names_in_plan(out).values()
    page, found = write_cohort_report(out, planned=planned, clinical=clinical, by=by, group=group)
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    typer.echo(
        f"{count(found['done'], 'slide')} done, {len(found['failed'])} failed, {len(found['waiting'])} to "
        f"do; {count(len(found['outliers']), 'outlier')}"
    )
    if clinical is not None:
        typer.echo(
            f"{count(found['patients'], 'patient')}; {count(len(found['slides_without_row']), 'slide')} "
            f"without a row, {count(len(found['rows_without_slide']), 'row')} without a slide"
        )
    typer.echo(f"page: {page}")
