"""``histoscope study``: list, plan, run, report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer

if TYPE_CHECKING:
    from rich.progress import TaskID

    from histoscope.studies.events import Event
    from histoscope.studies.plan import Plan
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


@app.command("plan")
def plan(
    config: Config,
    jobs: Jobs = 1,
    timed: Annotated[bool, typer.Option("--time/--no-time", help="Measure real training steps.")] = True,
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """Say what would run, what is finished, and how long the rest takes on this machine; runs nothing."""
    import json

    from histoscope.studies import read_config
    from histoscope.studies.plan import plan_study

    chosen = read_config(config, overrides or ())
    if timed:
        typer.echo("measuring a few training steps of each network ...", err=True)
    planned = plan_study(chosen, jobs=jobs, timed=timed)
    if as_json:
        typer.echo(json.dumps(planned.to_dict(), indent=2))
    else:
        show_plan(planned)


@app.command("run")
def run(config: Config, jobs: Jobs = 1, overrides: Set = None, as_json: Json = False) -> None:
    """Train and test every run that is not finished; the same command again goes on after a stop.

    Ends with 1 if some runs failed (the summary names them), with 130 after Ctrl-C.
    """
    import dataclasses
    import json
    import shlex

    from histoscope.studies import read_config, run_study

    chosen = read_config(config, overrides or ())
    sets = "".join(f" --set {shlex.quote(line)}" for line in overrides or ())
    command = f"histoscope study run {config.as_posix()} --jobs {jobs}{sets}"
    with Screen(len(chosen.runs())) as screen:
        summary = run_study(chosen, jobs=jobs, tell=screen.tell, command=command)
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


def show_plan(planned: "Plan") -> None:
    """Print a plan as a table, and its sum in a sentence."""
    from collections import Counter

    from rich.console import Console
    from rich.table import Table

    from histoscope.studies.summary import duration

    table = Table("run", "state", title=f"Runs in {planned.folder}", title_justify="left")
    for name, state in planned.states.items():
        table.add_row(name, state)
    console = Console()
    console.print(table)
    count = Counter(planned.states.values())
    images = ", ".join(f"{n} {part}" for part, n in planned.images.items())
    typer.echo(f"images: {images}; tested under {planned.conditions} conditions")
    for name, pace in planned.pace.items():
        typer.echo(
            f"{name}: {pace.parameters / 1e6:.2f} million weights, {pace.step_seconds:.2f} s a step, "
            f"{pace.image_seconds:.2f} s a test image"
        )
    left = len(planned.states) - count["finished"]
    time = (
        "" if planned.seconds is None else f"about {duration(planned.seconds)} with --jobs {planned.jobs}, "
    )
    typer.echo(
        f"{left} of {len(planned.states)} runs to do: {time}{planned.bytes_needed / 1e6:.0f} MB on disk"
    )


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


class Screen:
    """Shows on stderr where a study stands: a bar over its runs, one for each that is under way.

    Parameters
    ----------
    runs : int
        How many the study has.
    """

    def __init__(self, runs: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[stage]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._runs = runs
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self._bars.console.print(line, markup=False, highlight=False)

    def tell(self, event: "Event") -> None:
        """Show an event of a run."""
        over = self._task("runs", self._runs)
        task = self._task(event.run, None)
        if event.stage in {"done", "failed"}:
            self._bars.remove_task(self._tasks.pop(event.run))
            self._bars.advance(over, 0 if event.is_before else 1)
            self.say(f"{event.run}: {event.stage} {event.note}".rstrip())
        else:
            self._bars.update(task, completed=event.done, total=event.total or None, stage=event.stage)

    def _task(self, name: str, total: int | None) -> "TaskID":
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=total, stage="")
        return self._tasks[name]
