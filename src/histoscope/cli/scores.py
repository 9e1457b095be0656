"""Progress of training and tables of scores, as the verbs show them."""

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

SHOWN = ("dice", "aji", "pq", "f1_50")


@contextmanager
def steps_bar(steps: int, what: str = "Training") -> Iterator[Callable[[int, dict[str, float]], None]]:
    """Show a progress bar on stderr; the callable that is given moves it to a step and shows the loss."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[loss]}"),
    )
    with Progress(*columns, console=Console(file=sys.stderr)) as progress:
        task = progress.add_task(what, total=steps, loss="")

        def on_step(step: int, losses: dict[str, float]) -> None:
            loss = f"loss {losses['loss']:.3f}" if "loss" in losses else ""
            progress.update(task, completed=step, loss=loss)

        yield on_step


def show(table: "pd.DataFrame", *, where: Path | None, as_json: bool) -> None:
    """Print the means over images with intervals by patient; JSON goes to stdout alone."""
    import numpy as np

    from histoscope.metrics import interval

    cluster = "patient" if table["patient"].fillna("").astype(bool).all() else "name"
    found = {name: interval(table, name, cluster=cluster, rng=np.random.default_rng(0)) for name in SHOWN}
    if as_json:
        values = {
            name: {key: None if math.isnan(v) else round(v, 4) for key, v in _parts(found[name])}
            for name in SHOWN
        }
        sys.stdout.write(json.dumps({"images": len(table), **values}) + "\n")
        return
    from rich.console import Console
    from rich.table import Table

    grid = Table("Score", "Mean", "95 % interval", title=f"{len(table)} images, interval by {cluster}")
    for name, value in found.items():
        grid.add_row(name, f"{value.estimate:.3f}", f"{value.low:.3f} to {value.high:.3f}")
    console = Console()
    console.print(grid)
    if where is not None:
        console.print(f"One row an image: {where}", highlight=False)


def _parts(found: object) -> list[tuple[str, float]]:
    return [(key, float(getattr(found, key))) for key in ("estimate", "low", "high")]
