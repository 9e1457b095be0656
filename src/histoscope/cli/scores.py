"""Progress of training and tables of scores, as the verbs show them."""

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from histoscope.cli.progress import progress

if TYPE_CHECKING:
    import pandas as pd

SHOWN = ("dice", "aji", "pq", "f1_50")
SHOWN_OF_PATCHES = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "nll", "ece")


@contextmanager
def steps_bar(steps: int, what: str = "Training") -> Iterator[Callable[[int, dict[str, float]], None]]:
    """Show how far steps are; the callable that is given takes a step and its losses."""
    with progress(what, steps) as advance:
        yield lambda step, losses: advance(step, note=_loss(losses))


def _loss(losses: dict[str, float]) -> str:
    return f"loss {losses['loss']:.3f}" if "loss" in losses else ""


def note(line: str) -> None:
    """Say something on stderr, above a progress bar if there is one."""
    sys.stderr.write(line + "\n")


def show(table: "pd.DataFrame", *, where: Path | None, as_json: bool) -> None:
    """Print scores with intervals, of nuclei by patient or of patches by group; JSON goes to stdout alone."""
    import numpy as np

    from histoscope.metrics import interval, patch_interval

    rng = np.random.default_rng(0)
    if "predicted" in table:
        what, cluster = "patches", "group"
        known = table[table["true"] >= 0]
        found = {name: patch_interval(known, name, cluster=cluster, rng=rng) for name in SHOWN_OF_PATCHES}
    else:
        what = "images"
        cluster = "patient" if table["patient"].fillna("").astype(bool).all() else "name"
        found = {name: interval(table, name, cluster=cluster, rng=np.random.default_rng(0)) for name in SHOWN}
    if as_json:
        values = {
            name: {key: None if math.isnan(v) else round(v, 4) for key, v in _parts(value)}
            for name, value in found.items()
        }
        sys.stdout.write(json.dumps({what: len(table), **values}) + "\n")
        return
    from rich.console import Console
    from rich.table import Table

    grid = Table("Score", "Mean", "95 % interval", title=f"{len(table)} {what}, interval by {cluster}")
    for name, value in found.items():
        span = "" if math.isnan(value.low) else f"{value.low:.3f} to {value.high:.3f}"
        grid.add_row(name, f"{value.estimate:.3f}", span)
    console = Console()
    console.print(grid)
    if table[cluster].nunique() < 2:
        console.print(f"No interval: it takes images of at least two {cluster}s.", highlight=False)
    if where is not None:
        console.print(f"One row {'a patch' if what == 'patches' else 'an image'}: {where}", highlight=False)


def _parts(found: object) -> list[tuple[str, float]]:
    return [(key, float(getattr(found, key))) for key in ("estimate", "low", "high")]
