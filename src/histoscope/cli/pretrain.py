"""``histoscope pretrain``: a backbone from unlabelled tiles."""

from pathlib import Path
from typing import Annotated

import typer


def pretrain(
    config: Annotated[Path, typer.Argument(help="YAML file; configs/colon_pretrain.yaml is an example.")],
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Win over the file: --set train.steps=500.")
    ] = None,
) -> None:
    """Learn features from images without labels, for a classifier to begin from.

    Two views of a tile, cut, turned, warped and stained differently, must give like features. Only the
    training part of the data is looked at. The folder that is written is given to a classifier as `weights`.

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
