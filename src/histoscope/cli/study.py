"""``histoscope study``: list, plan, run, report."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from histoscope.studies.events import Event
    from histoscope.studies.runner import Summary

app = typer.Typer(
    no_args_is_help=True, help="Compare remedies: one thing changed at a time, several seeds, one report."
)

Config = Annotated[Path, typer.Argument(help="YAML file of the study, such as configs/study_stain.yaml.")]
Jobs = Annotated[int, typer.Option(help="Runs at a time; they share the cores evenly.", min=1)]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a line of the file: train.steps=100."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command("list")
def list_studies(as_json: Json = False) -> None:
    """Say which studies there are, and what each asks."""
    import dataclasses
    import json

    from histoscope.studies import STUDIES

    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(study) for study in STUDIES.values()], indent=2))
        return
    for study in STUDIES.values():
        typer.secho(study.name, bold=True)
        typer.echo(f"  asks      {study.question}")
        typer.echo(f"  changes   {study.factor}: {', '.join(study.levels)} (compared with {study.baseline})")
        typer.echo(f"  networks  {', '.join(study.models)}; seeds {', '.join(map(str, study.seeds))}")
        typer.echo(f"  measures  {study.metric} by image, on:")
        for condition in study.conditions:
            typer.echo(f"            {condition.name}: {condition.about}")
        typer.echo(f"  after     {study.reference}")


@app.command("run")
def run(config: Config, jobs: Jobs = 1, overrides: Set = None, as_json: Json = False) -> None:
    """Train and test every run that is not finished; the same command again goes on after a stop.

    Ends with 1 if some runs failed (the summary names them), with 130 after Ctrl-C.
    """
    import dataclasses
    import json

    from histoscope.studies import read_config, run_study

    chosen = read_config(config, overrides or ())
    with progress(len(chosen.runs())) as tell:
        summary = run_study(chosen, jobs=jobs, tell=tell)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(summary), indent=2, default=str))
    else:
        say(summary)
    if summary.failed:
        raise typer.Exit(1)


@app.command("report")
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a study, such as runs/stain.")],
) -> None:
    """Write report.html, report.md and their figures from what the runs left; unfinished studies too."""
    from histoscope.studies.report import write_report

    typer.echo(f"report: {write_report(folder)}")


def say(summary: "Summary") -> None:
    """Print how a study ended."""
    text = (
        f"{len(summary.done)} runs done, {len(summary.kept)} were done before, {len(summary.failed)} failed"
    )
    typer.echo(f"{text}; in {summary.folder}")
    for name, note in summary.failed.items():
        typer.secho(f"  {name}: {note} (traceback: {summary.folder / name / 'error.txt'})", err=True)
    if summary.done or summary.kept:
        typer.echo(f"next: histoscope study report {summary.folder}")


@contextmanager
def progress(runs: int) -> "Iterator[Callable[[Event], None]]":
    """Show a bar over the runs and one for each that is under way; give what to tell events to."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[stage]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        over = bars.add_task("runs", total=runs, stage="")
        under_way: dict[str, TaskID] = {}

        def tell(event: "Event") -> None:
            if event.run not in under_way:
                under_way[event.run] = bars.add_task(event.run, total=None, stage=event.stage)
            if event.stage in {"done", "failed"}:
                bars.remove_task(under_way.pop(event.run))
                bars.advance(over)
                bars.console.print(
                    f"{event.run}: {event.stage} {event.note}".rstrip(), markup=False, highlight=False
                )
                return
            bars.update(
                under_way[event.run], completed=event.done, total=event.total or None, stage=event.stage
            )

        yield tell
