"""Measurements of a slide from its table of cells alone: densities, class mix, neighbourhoods.

References
----------
.. [1] Clark and Evans, Ecology 1954, doi:10.2307/1931034
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from histoscope.errors import CorruptDataError, DatasetNotFoundError
from histoscope.export.features import unclassed
from histoscope.metrics.spatial import spatial

ABOUT = b"histoscope"
"""Metadata key of ``cells.parquet`` for its slide."""


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row for JSON, which has no NaN.

    Examples
    --------
    >>> plain({"cells": 0, "nearest_um": float("nan")})
    {'cells': 0, 'nearest_um': None}
    """
    return {
        key: None if isinstance(value, float) and np.isnan(value) else value for key, value in row.items()
    }


def measure_cells(path: str | Path) -> dict[str, Any]:
    """Measure the cells of a slide.

    Parameters
    ----------
    path : str or Path
        ``cells.parquet``.

    Returns
    -------
    dict
        ``slide``; ``tissue_mm2``; for all cells and each class their number, share and density per mm2 of
        tissue; ``nearest_um``, the mean distance from a cell to the nearest one, and ``clark_evans``, that
        divided by the value for a random pattern of the same density [1]_: below 1 cells cluster, above 1
        they are spread out. With several classes, for each pair the mean distance to the nearest cell in um,
        its ratio to that under random labelling and the p-value; and the share of a class in the
        neighbourhood of another, with its ratio to random labelling. Without cells, numbers, shares and
        densities are 0; values that need more cells than there are are NaN.

    Raises
    ------
    DatasetNotFoundError
        If there is no such file.
    CorruptDataError
        If it is not a table of cells.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    if not path.is_file():
        raise DatasetNotFoundError(
            f"no table of cells at {path}; run `histoscope predict` to write one for each slide"
        )
    try:
        about = json.loads((pq.read_schema(path).metadata or {})[ABOUT])
        table = pq.read_table(path, columns=["class", "x_px", "y_px"])
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise CorruptDataError(
            f"{path} is not a table of cells of a slide ({error}); run `histoscope predict` to write one"
        ) from error
    points = np.stack([table["x_px"].to_numpy(), table["y_px"].to_numpy()], axis=1) * about["mpp"]
    names = table["class"].cast(pa.string()).combine_chunks().dictionary_encode()
    known = names.dictionary.to_pylist()
    named = about["classes"] or [unclassed(())]
    classes = [*named, *sorted(set(known) - set(named))]
    number = np.array([classes.index(name) for name in known], np.int64)
    kinds = number[names.indices.to_numpy(zero_copy_only=False)] if known else np.zeros(0, np.int64)
    area = float(about["tissue_mm2"])
    row: dict[str, Any] = {"slide": about["slide"], "tissue_mm2": area, "cells": len(kinds)}
    row["cells_per_mm2"] = len(kinds) / area if area else 0.0
    for k, name in enumerate(classes):
        n = int((kinds == k).sum())
        row |= {f"n_{name}": n, f"share_{name}": n / max(len(kinds), 1)}
        row[f"per_mm2_{name}"] = n / area if area else 0.0
    is_mixed = len(classes) > 1
    found = spatial(points, kinds, max(len(classes), 1), n_permutations=99 if is_mixed else 1)
    row["nearest_um"] = found.nearest_any_um
    row["clark_evans"] = 2.0 * found.nearest_any_um * np.sqrt(len(kinds) / (area * 1e6)) if area else np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = found.nearest_um / found.nearest_random_um
        enriched = found.neighbours / found.neighbours_random
    for a, first in enumerate(classes if is_mixed else []):
        for b, second in enumerate(classes):
            pair = f"{_in_a_pair(first)}_to_{_in_a_pair(second)}"
            row |= {f"nearest_um_{pair}": found.nearest_um[a, b], f"nearest_ratio_{pair}": ratio[a, b]}
            row |= {f"nearest_p_{pair}": found.p_value[a, b]}
            row |= {f"neighbours_{pair}": found.neighbours[a, b], f"neighbours_ratio_{pair}": enriched[a, b]}
    return {key: float(f"{value:.5g}") if isinstance(value, float) else value for key, value in row.items()}


def _in_a_pair(name: str) -> str:
    """Quote the name of a class that contains the word between the names of a pair."""
    return f'"{name}"' if "_to_" in name else name
