"""``histoscope slurm``: a job script for a cohort of slides."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from histoscope.errors import ConfigError, DatasetNotFoundError


def slurm(
    context: typer.Context,
    call: Annotated[
        list[str],
        typer.Argument(
            metavar="predict MODEL IN... OUT", help="The command with all its options, as you would type it."
        ),
    ],
    tasks: Annotated[int, typer.Option(min=1, help="Tasks of the array.")] = 8,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs of each task; 0 on nodes without.")] = 1,
    cpus: Annotated[int, typer.Option(min=1, help="Cores of each task.")] = 8,
    time: Annotated[
        str,
        typer.Option(
            help="Time limit per task: 240 (minutes), 4:00:00 or 1-12 (days-hours); by default the "
            "partition's."
        ),
    ] = "",
    partition: Annotated[str, typer.Option(help="Partition; by default the cluster's.")] = "",
) -> None:
    """Print a SLURM job script that predicts slides as a job array; options of the array come first.

    - `histoscope slurm --tasks 8 --gpus 1 --time 4:00:00 predict nuclei slides/ out/ | sbatch`

    Any number of tasks share the slides; they may start and end at any time. Before its time limit, a task
    finishes its part, exits and is requeued, and so is a task whose node failed. Give other settings of the
    cluster (`--account`, `--mem`) to `sbatch`, or write them into the script. The command is checked now, but
    nothing is run.
    """
    from histoscope.jobs.slurm import Array

    array = Array(tasks, cpus, gpus, time, partition)
    given = _checked(context, call)
    root = context.find_root()
    used = [word for name in root.params.get("use") or () for word in ("--use", name)]
    words = [sys.executable, "-m", "histoscope", *used, *call, *([] if given["claim"] else ["--claim"])]
    typer.echo(array.script(words, Path.cwd()))


def _checked(context: typer.Context, call: list[str]) -> dict[str, Any]:
    """Parameters of the call; mistakes are reported now, not later by every task.

    Raises
    ------
    ConfigError, DatasetNotFoundError, UnknownNameError
    """
    from histoscope import weights
    from histoscope.cli.predict_slides import Start, places_of
    from histoscope.places import place

    verb, *words = call
    if verb != "predict":
        raise ConfigError(
            f"{verb!r}, expected a predict command, as in histoscope slurm predict MODEL IN OUT"
        )
    root = context.find_root()
    command: Any = root.command
    given: dict[str, Any] = command.get_command(root, verb).make_context(verb, words, parent=root).params
    Start(claim=True, overwrite=given["overwrite"], retry_failed=given["retry_failed"]).require_sense()
    weights.find(given["model"])
    places_of(given["out"], given["work"], given["stage"], given["stage_limit"])
    for source in given["sources"]:
        if "*" not in source and not place(source).exists():
            raise DatasetNotFoundError(f"{source} does not exist; give a slide, a folder, or a quoted glob")
    return given
