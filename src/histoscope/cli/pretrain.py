"""``histoscope pretrain``: a backbone from unlabelled tiles."""

from pathlib import Path
from typing import Annotated

import typer


def pretrain(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="YAML file; configs/colon_pretrain.yaml is an example.")
    ],
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Override a setting: train.steps=500. Repeatable.")
    ] = None,
) -> None:
    """Pretrain a backbone on images without labels (VICReg), as initial weights of a classifier.

    Two augmented views of a tile must have similar features. Only the training part of the data is used. The
    folder that is written is a classifier's `model.arguments.weights`.

    Example: `histoscope pretrain configs/colon_pretrain.yaml --set data.root=data/lc25000_colon`, then
    `histoscope train configs/colon_transfer.yaml --set model.arguments.weights=runs/colon_pretrained`
    """
    from histoscope.cli import scores
    from histoscope.config import load
    from histoscope.train import selfsup

    chosen = load(selfsup.Pretraining, config, changes or [])
    with scores.steps_bar(chosen.train.steps) as on_step:
        folder = selfsup.run(chosen, on_step=on_step)
    typer.echo(f"Backbone: {folder}")
