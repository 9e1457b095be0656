"""The page of a comparison of real and synthetic tissue: one file, and its numbers as JSON."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

import histoscope
from histoscope.files import write_text
from histoscope.generate.realism import Comparison, Tissue
from histoscope.pages import templates
from histoscope.report.figures import PALETTE, STYLE, svg
from histoscope.types import Image

PAGE, NUMBERS = "realism.html", "realism.json"
SHEET_TILES = 24
NARROW_IN, WIDE_IN = (2.4, 1.3), (5.0, 1.8)
_MOST_SHOWN = 20_000


def write_page(out: str | Path, found: Comparison, *, real: str, synthetic: str, seed: int = 0) -> Path:
    """Write ``realism.html`` and ``realism.json``.

    Parameters
    ----------
    out : str or Path
        Folder; made if it is not there.
    found : Comparison
    real, synthetic : str
        What the two data sets are called on the page.
    seed : int
        Of the order of the tiles in the sheet.

    Returns
    -------
    Path
        The page: one file that needs no network.
    """
    out = Path(out)
    numbers = found.summary()
    write_text(out / NUMBERS, json.dumps(_finite(numbers), indent=1) + "\n")
    tiles, key = shuffled(found, np.random.default_rng(seed))
    view = {
        "version": histoscope.__version__,
        "real": real,
        "synthetic": synthetic,
        "found": found,
        "resolution": _resolution(found),
        "numbers": numbers,
        "number": _number,
        "rows": numbers["measures"],
        "classes": _by_class(found),
        "histograms": histograms(found),
        "distances": distances(found),
        "colours": PALETTE[:2],
        "sheet": list(zip(tiles, key, strict=True)),
    }
    write_text(out / PAGE, templates(html=True).get_template("realism.html.j2").render(view))
    return out / PAGE


def shuffled(found: Comparison, rng: np.random.Generator) -> tuple[list[Image], list[bool]]:
    """Equally many real and synthetic patches in random order, and which of them are real."""
    half = min(SHEET_TILES // 2, len(found.real.patches), len(found.synthetic.patches))
    tiles = [(image, True) for image in _spread(found.real, half, rng)]
    tiles += [(image, False) for image in _spread(found.synthetic, half, rng)]
    order = rng.permutation(len(tiles))
    return [tiles[k][0] for k in order], [tiles[k][1] for k in order]


def _spread(tissue: Tissue, n: int, rng: np.random.Generator) -> list[Image]:
    """Patches of different tiles first."""
    order = rng.permutation(len(tissue.patches))
    sources = pd.Series([tissue.patches[k].source for k in order])
    turn = sources.groupby(sources).cumcount()
    return [tissue.patches[order[k]].image for k in np.argsort(turn, kind="stable")[:n]]


def histograms(found: Comparison) -> list[tuple[str, str]]:
    """Distributions of every measure, real and synthetic: its label, and a figure as SVG."""
    figures = []
    for where, labels in found.labels.items():
        for key, label in labels.items():
            both = [getattr(part, where)[key].dropna().to_numpy() for part in (found.real, found.synthetic)]
            figures.append((label, _panel(both, NARROW_IN)))
    return figures


def distances(found: Comparison) -> list[tuple[str, str]]:
    """Kernel distances of halves, and nearest distances: a label, and a figure as SVG."""
    rows = {
        "Kernel distance of halves of the real patients": [found.distance.null, found.distance.against],
        "Distance to the nearest training patch": [found.nearest.reference, found.nearest.synthetic],
    }
    return [(label, _panel(both, WIDE_IN)) for label, both in rows.items()]


def _panel(both: Sequence[NDArray[np.float64]], size_in: tuple[float, float]) -> str:
    with rc_context(STYLE):
        figure = Figure(figsize=size_in, layout="constrained")
        axes = figure.add_subplot()
        _outline(axes, both)
        axes.set_yticks([])
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.tick_params(labelsize=9)
        axes.spines["left"].set_visible(False)
        return svg(figure)


def _outline(axes: Any, both: Sequence[NDArray[np.float64]]) -> None:
    """Two histograms as steps on common bins, each of area one."""
    all_ = np.concatenate(both)
    low, high = np.percentile(all_, (0.5, 99.5)) if len(all_) else (0.0, 1.0)
    # Few values in many bins would be a comb.
    bins = int(np.clip(3 * min(map(len, both)) ** (1 / 3), 8, 24))
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    for values, colour in zip(both, PALETTE, strict=False):
        kept = values[:: max(1, len(values) // _MOST_SHOWN)]
        shares = np.histogram(np.clip(kept, edges[0], edges[-1]), edges)[0] / max(len(kept), 1)
        axes.stairs(shares, edges, color=colour, linewidth=1.4)
        axes.stairs(shares, edges, color=colour, alpha=0.15, fill=True)


def _resolution(found: Comparison) -> str:
    """The pixel size of all measurements, and the tiles that were resampled to it."""
    finer = []
    for name, part in (("real", found.real), ("synthetic", found.synthetic)):
        sizes = part.tiles["mpp"][part.tiles["mpp"] < 0.999 * found.mpp]
        if len(sizes):
            some = "all" if len(sizes) == len(part.tiles) else f"{len(sizes)} of {len(part.tiles)}"
            low, high = f"{sizes.min():.3g}", f"{sizes.max():.3g}"
            finer.append(f"{some} {name} tiles from {low if low == high else f'{low} to {high}'}")
    text = f"Everything is measured at {found.mpp:.3g} µm per pixel"
    return (
        f"{text}, the pixel size of the coarsest tile; resampled: {', '.join(finer)}."
        if finer
        else f"{text}."
    )


def _by_class(found: Comparison) -> list[tuple[str, list[float], list[float]]]:
    """Of each class: nuclei per mm² and median area in µm², on both sides each."""
    sides = []
    for part in (found.real, found.synthetic):
        total, density = max(len(part.nuclei), 1), part.tiles["per_mm2"].mean()
        groups = part.nuclei.groupby("class")["area_um2"]
        sides.append({str(name): (len(areas) / total * density, areas.median()) for name, areas in groups})
    none = (0.0, math.nan)
    return [
        (name, [side.get(name, none)[0] for side in sides], [side.get(name, none)[1] for side in sides])
        for name in sorted({*sides[0], *sides[1]})
    ]


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return (f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}").replace("-", "−")


def _finite(value: Any) -> Any:
    """Numbers as JSON knows them: NaN becomes null."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
