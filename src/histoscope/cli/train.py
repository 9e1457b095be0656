"""``histoscope train``: one experiment from a YAML file."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    config: Annotated[Path, typer.Argument(help="YAML file of the experiment; configs/ holds examples.")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Win over the file: --set train.lr=1e-3 --set model.arguments.width=16."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the test scores as JSON.")] = False,
) -> None:
    """Train a model on labelled images and test it on patients it never saw.

    Writes a run folder: the model, its card, a log (also for TensorBoard) and `per_image.csv` with the test
    scores.
    Run the same command again after a stop, and it goes on from the last checkpoint.
    For a classifier of patches it says what its weights began from.

    Examples: `histoscope train configs/train_unet.yaml --set data.root=data/monuseg`;
    `histoscope train configs/colon_transfer.yaml --set data.root=data/lc25000_colon`
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
