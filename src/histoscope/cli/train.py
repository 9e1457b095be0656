"""``histoscope train``: one experiment from a YAML file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from histoscope.errors import ConfigError

if TYPE_CHECKING:
    from histoscope.train.experiment import Experiment

EXAMPLE = {
    "data": {"root": "data/mine"},
    "model": {"name": "unet", "arguments": {"width": 16, "depth": 5, "mpp": 0.5}},
}
"""Required settings, as an example; all others have defaults."""


def _example(wanted: bool) -> None:
    if wanted:
        from histoscope.explained import example
        from histoscope.train.experiment import Experiment

        typer.echo("# Settings of histoscope train. A key that is left out has this value.")
        typer.echo(example(Experiment.model_validate(EXAMPLE)), nl=False)
        raise typer.Exit


def _chosen(config: Path | None, folder: Path | None, start: str, changes: list[str]) -> "Experiment":
    """Experiment from a file, or the one proposed for a folder."""
    from histoscope.config import load, overridden
    from histoscope.train.experiment import Experiment

    if (config is None) == (folder is None):
        got = "neither" if config is None else "both"
        raise ConfigError(
            f"expected a YAML file or --data FOLDER, got {got}: histoscope train my.yaml, or "
            "histoscope train --data data/mine"
        )
    if config is not None and start:
        raise ConfigError(
            f"--from works with --data FOLDER; in {config}, set initial_weights: {start}, with the same "
            "network"
        )
    if config is not None:
        return load(Experiment, config, changes)
    from histoscope.cli.init import proposed

    given = overridden(Experiment, {}, changes).get("data") or {}
    proposal = proposed(folder or Path(), given=given, start=start)
    typer.echo(proposal.text)
    return proposal.experiment(changes)


def train(
    config: Annotated[
        Path | None,
        typer.Argument(
            metavar="CONFIG", help="YAML file of the experiment; histoscope init and --example write one."
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Instead of CONFIG: a folder of labelled images; settings are proposed for it."
        ),
    ] = None,
    start: Annotated[
        str,
        typer.Option(
            "--from",
            help="With --data: fine-tune this model of nuclei, a name or a folder, at a low rate.",
        ),
    ] = "",
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a setting: train.lr=1e-3. Repeatable."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the test scores as JSON.")] = False,
    example: Annotated[  # its callback prints and exits
        bool,
        typer.Option(
            "--example",
            callback=_example,
            is_eager=True,
            help="Print a configuration with every key explained, and exit.",
        ),
    ] = False,
) -> None:
    """Train a model on labelled images, and test it on other patients.

    Writes a run folder: the model, its card, a log (also for TensorBoard) and `per_image.csv` with the test
    scores.
    If interrupted, the same command resumes from the last checkpoint. With more `train.steps`, it continues a
    finished run. With --data it proposes settings as `histoscope init` does, prints them, and trains.

    Examples: `histoscope init data/mine`, then `histoscope train mine.yaml --set train.steps=5000`. Both at
    once: `histoscope train --data data/mine --set data.mpp=0.25`. Fine-tune a model: `histoscope train --from
    nuclei --data data/mine`. By hand: `histoscope train --example > my.yaml`
    """
    from histoscope.cli import scores
    from histoscope.cli.progress import progress
    from histoscope.train import experiment

    chosen = _chosen(config, folder, start, changes or [])
    if chosen.probe is None:
        with scores.steps_bar(chosen.train.steps) as on_step:
            table = experiment.run(chosen, on_step=on_step, on_note=scores.note)
    else:
        with progress("Features") as advance:
            table = experiment.run(chosen, progress=advance, on_note=scores.note)
    scores.show(table, where=chosen.out / "per_image.csv", as_json=json)
