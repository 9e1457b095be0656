"""Cells of a slide as AnnData, for scanpy, squidpy and SpatialData."""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from histoscope.errors import MissingDependencyError
from histoscope.export.cells import FEATURES
from histoscope.files import whole

if TYPE_CHECKING:
    import pyarrow as pa

REGION = "cells"


def require_anndata() -> Any:
    """The package anndata.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    try:
        import anndata
    except ImportError as error:
        raise MissingDependencyError(
            "writing AnnData needs anndata: pip install 'histoscope[anndata]' (or pip install anndata)"
        ) from error
    return anndata


def write_anndata(path: str | Path, cells: "pa.Table") -> None:
    """Write features of cells with their positions; needs ``pip install "histoscope[anndata]"``.

    ``X`` has the measurements, ``obs`` class, probability and the slide's part, ``obsm["spatial"]`` x and y
    in pixels of level 0, and ``uns["spatialdata_attrs"]`` the key by which SpatialData joins the polygons of
    ``cells.parquet``: ``obs["cell_id"]``.

    Parameters
    ----------
    path : str or Path
        ``.h5ad``; written atomically.
    cells : pyarrow.Table
        Rows of ``cells.parquet``.

    Raises
    ------
    MissingDependencyError
        If anndata is not installed.
    """
    anndata = require_anndata()
    names = cells["id"].to_pylist()
    obs = pd.DataFrame(
        {
            "class": pd.Categorical(cells["class"].to_pylist()),
            "probability": cells["probability"].to_numpy(),
            "part": pd.Categorical(cells["part"].to_pylist()),
            "region": pd.Categorical([REGION] * len(names), categories=[REGION]),
            "cell_id": np.array(names, dtype=object),
        },
        index=pd.Index(names, dtype=object),
    )
    table = anndata.AnnData(
        np.stack([cells[name].to_numpy().astype(np.float32) for name in FEATURES], axis=1),
        obs=obs,
        var=pd.DataFrame(index=pd.Index(FEATURES, dtype=object)),
        obsm={"spatial": np.stack([cells["x_px"].to_numpy(), cells["y_px"].to_numpy()], axis=1)},
        uns={"spatialdata_attrs": {"region": REGION, "region_key": "region", "instance_key": "cell_id"}},
    )
    with whole(path) as temporary:
        temporary.write_bytes(_h5ad(table))


def _h5ad(table: Any) -> bytes:
    """The output of ``write_h5ad``, in memory: HDF5 crashes on a full disk."""
    import h5py
    from anndata.io import write_elem

    buffer = BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        for name in ("X", "obs", "var"):
            write_elem(file, name, getattr(table, name))
        for name in ("obsm", "varm", "obsp", "varp", "layers", "uns"):
            write_elem(file, name, dict(getattr(table, name)))
    return buffer.getvalue()
