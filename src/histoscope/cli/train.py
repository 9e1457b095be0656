"""``histoscope train``: one experiment from a YAML file."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = {
    "data": {"root": "data/mine"},
    "model": {"name": "unet", "arguments": {"width": 16, "depth": 5, "mpp": 0.5}},
}
"""What must be set, as an example; everything else has a default."""


def _example(wanted: bool) -> None:
    if wanted:
        from histoscope.explained import example
        from histoscope.train.experiment import Experiment

        typer.echo("# Settings of histoscope train. A key that is left out has the value that stands here.")
        typer.echo(example(Experiment.model_validate(EXAMPLE)), nl=False)
        raise typer.Exit


def train(
    config: Annotated[Path, typer.Argument(help="YAML file of the experiment; --example prints one.")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Win over the file: --set train.lr=1e-3 --set model.arguments.width=16."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the test scores as JSON.")] = False,
    example: Annotated[  # it has done its work when it is read
        bool,
        typer.Option(
            "--example",
            callback=_example,
            is_eager=True,
            help="Print a file with every key explained, and leave.",
        ),
    ] = False,
) -> None:
    """Train a model on labelled images and test it on patients it never saw.

    Writes a run folder: the model, its card, a log (also for TensorBoard) and `per_image.csv` with the test
    scores.
    Run the same command again after a stop, and it goes on from the last checkpoint. With more `train.steps`
    a finished run goes on too.
    For a classifier of patches it says what its weights began from.

    Examples: `histoscope train --example > my.yaml`, then
    `histoscope train my.yaml --set data.root=data/mine --set out=runs/first`
    """
    from histoscope.cli import scores
    from histoscope.cli.progress import progress
    from histoscope.config import load
    from histoscope.train import experiment

    chosen = load(experiment.Experiment, config, changes or [])
    if chosen.probe is None:
        with scores.steps_bar(chosen.train.steps) as on_step:
            table = experiment.run(chosen, on_step=on_step, on_note=scores.note)
    else:
        with progress("Features") as advance:
            table = experiment.run(chosen, progress=advance, on_note=scores.note)
    scores.show(table, where=chosen.out / "per_image.csv", as_json=json)
