"""``histoscope study``: list, plan, run, report."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from histoscope.cli.progress import Board
from histoscope.cli.terminal import show
from histoscope.words import count, duration

if TYPE_CHECKING:
    from histoscope.jobs.on_ray import Ray
    from histoscope.studies.events import Event
    from histoscope.studies.plan import Plan
    from histoscope.studies.runner import Summary

app = typer.Typer(
    no_args_is_help=True, help="Ablation studies: one factor changed at a time, several seeds, one report."
)

Config = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="YAML file of the study, such as configs/study_stain.yaml.")
]
Jobs = Annotated[int, typer.Option(help="Runs at a time; they share the cores evenly.", min=1)]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting: train.steps=100. Repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


@app.command("list")
def list_studies(as_json: Json = False) -> None:
    """List the studies, and the question of each."""
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
        if study.reference:
            typer.echo(f"  extends   {study.reference}")


@app.command("plan")
def plan(
    config: Config,
    jobs: Jobs = 1,
    timed: Annotated[bool, typer.Option("--time/--no-time", help="Measure real training steps.")] = True,
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """Show all runs, which are finished, and how long the rest would take on this machine; nothing is run."""
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
def run(
    config: Config,
    jobs: Jobs = 1,
    workers: Annotated[
        str,
        typer.Option(help="ray or ray://HOST: distribute the runs over a Ray cluster, instead of --jobs."),
    ] = "",
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """Train and test every unfinished run; if interrupted, the same command resumes.

    Exit code 1 if runs failed or images could not be read (the summary names them), 130 after Ctrl-C.
    """
    import dataclasses
    import json

    from histoscope.cli.workers import reached
    from histoscope.studies import read_config, run_study

    chosen = read_config(config, overrides or ())
    sets = "".join(f" --set {shlex.quote(line)}" for line in overrides or ())
    how = f"--workers {shlex.quote(workers)}" if workers else f"--jobs {jobs}"
    command = f"histoscope study run {shlex.quote(config.as_posix())} {how}{sets}"
    cluster = _cluster(workers, jobs) if workers else None
    with reached(workers), Screen(len(chosen.runs())) as screen:
        summary = run_study(chosen, jobs=jobs, cluster=cluster, tell=screen.tell, command=command)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(summary), indent=2, default=str))
    else:
        say(summary)
    if summary.failed or summary.left_out:
        raise typer.Exit(1)


def _cluster(workers: str, jobs: int) -> "Ray":
    """The Ray cluster of an option.

    Raises
    ------
    ConfigError
    """
    from histoscope.cli.workers import is_ray
    from histoscope.errors import ConfigError
    from histoscope.jobs.on_ray import Ray

    if not is_ray(workers) or jobs > 1:
        raise ConfigError(f"--workers {workers}, expected ray or ray://HOST and no --jobs")
    return Ray(workers)


@app.command("report")
def report(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of a study, such as runs/stain.")],
) -> None:
    """Write report.html, report.md and their figures from the run folders, also for unfinished studies."""
    from histoscope.report.write import write_report

    typer.echo(f"report: {write_report(folder)}")


def show_plan(planned: "Plan") -> None:
    """Print a plan: a table of runs, pace and total time."""
    from collections import Counter

    typer.echo(f"runs in {planned.folder}:")
    show([{"run": name, "state": state} for name, state in planned.states.items()])
    states = Counter(planned.states.values())
    images = ", ".join(f"{n} {part}" for part, n in planned.images.items())
    typer.echo(f"images: {images}; tested under {planned.conditions} conditions")
    for name, pace in planned.pace.items():
        typer.echo(
            f"{name}: {pace.parameters / 1e6:.2f} million weights, {pace.step_seconds:.2f} s a step, "
            f"{pace.image_seconds:.2f} s a test image"
        )
    left = len(planned.states) - states["finished"]
    time = (
        "" if planned.seconds is None else f"about {duration(planned.seconds)} with --jobs {planned.jobs}, "
    )
    typer.echo(
        f"{left} of {len(planned.states)} runs to do: {time}{planned.bytes_needed / 1e6:.0f} MB on disk"
    )


def say(summary: "Summary") -> None:
    """Print the outcome of a study."""
    done, failed = count(len(summary.done), "run"), len(summary.failed)
    typer.echo(f"{done} done, {len(summary.kept)} done earlier, {failed} failed; in {summary.folder}")
    for name, note in summary.failed.items():
        typer.secho(f"  {name}: {note} (traceback: {summary.folder / name / 'error.txt'})", err=True)
    for name, why in summary.left_out.items():
        typer.secho(f"  left out of every run, since it cannot be read: {name} ({why})", err=True)
    if summary.done or summary.kept:
        typer.echo(f"next: histoscope study report {shlex.quote(str(summary.folder))}")


class Screen(Board):
    """Progress of a study on stderr: overall, and of each current run.

    Parameters
    ----------
    runs : int
        How many the study has.
    """

    def __init__(self, runs: int) -> None:
        super().__init__()
        self._runs = runs
        self._ended = 0
        self._kept = 0
        self._stages: dict[str, Event] = {}

    def tell(self, event: "Event") -> None:
        """Show the event of a run."""
        before = self._stages.pop(event.run, None)
        if before is not None and before.stage != event.stage:
            self.end(_work(before))
        if event.is_over:
            self._ended += not event.is_before
            self._kept += event.stage == "kept"
            if event.stage != "kept":
                self.say(f"{event.run}: {event.stage} {event.note}".rstrip())
        else:
            self._stages[event.run] = event
            self.move(_work(event), event.done, event.total or None)
        under_way = sum(each.share for each in self._stages.values() if not each.is_before)
        done = self._ended + under_way
        todo = (
            self._runs - self._kept
        )  # finished runs of an earlier call say nothing about how long the others take
        self.move("runs", done, self._runs, share=(done - self._kept) / todo if todo else 1.0)


def _work(event: "Event") -> str:
    return f"{event.run}, {event.stage}"
