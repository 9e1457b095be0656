"""``histoscope measure``: slides in numbers, from their tables of cells."""

from pathlib import Path
from typing import Annotated

import typer

from histoscope.words import count


def measure(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN", help="`cells.parquet` files, or folders written by `histoscope predict`."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="CSV to write; without it, the table is printed.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Measure slides: densities, class mix, distances between classes, neighbourhoods.

    One row per slide, from `cells.parquet` alone:

    - `cells_per_mm2`, `per_mm2_CLASS`: per mm² of tissue, or of the region of interest; `n_CLASS`,
      `share_CLASS`;

    - `nearest_um`: mean distance from a cell to the nearest one. `clark_evans` divides it by that of a random
      pattern of the same density: below 1 cells cluster, above 1 they are spread out;

    - `nearest_um_A_to_B`: mean distance from a cell of A to the nearest of B. `nearest_ratio_A_to_B` divides
      it by that under random labelling (positions stay, classes are shuffled): below 1, the two classes lie
      close together. `nearest_p_A_to_B` is its two-sided p value from 99 permutations;

    - `neighbours_A_to_B`: share of B among the 10 cells around a cell of A. `neighbours_ratio_A_to_B` divides
      it by that under random labelling.

    Without cells, densities and shares are 0. Distances and neighbourhoods are empty (null with `--json`) if
    there are too few cells.

    - `histoscope measure out/`

    - `histoscope measure out/a/cells.parquet out/b/cells.parquet --out measures.csv`
    """
    import json

    import pandas as pd

    from histoscope.errors import DatasetNotFoundError
    from histoscope.export.cells_measure import measure_cells, plain
    from histoscope.tables import write_table

    paths = [path for source in sources for path in _tables(source)]
    if not paths:
        raise DatasetNotFoundError(
            f"no cells.parquet at {', '.join(map(str, sources))}; run `histoscope predict` on the slides "
            "to write one for each"
        )
    rows = [measure_cells(path) for path in paths]
    if out is not None:
        write_table(out, pd.DataFrame(rows))
    if as_json:
        typer.echo(json.dumps([plain(row) for row in rows], indent=2))
    elif out is None:
        typer.echo(pd.DataFrame(rows).T.to_string(header=False, na_rep=""))
    else:
        typer.echo(f"{count(len(rows), 'slide')} measured: {out}")


def _tables(source: Path) -> list[Path]:
    return sorted(source.rglob("cells.parquet")) if source.is_dir() else [source]
