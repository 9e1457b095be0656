"""Synthetic training data: configuration, opening, and their licence on a model's card."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from histoscope import config, data
from histoscope.data import Dataset, Datasheet
from histoscope.train.parts import open_data


class SyntheticConfig(config.Config):
    """A synthetic data set, used only for training; it is never validated or tested on.

    Parameters
    ----------
    root : Path
        Folder of the data set, such as one written by ``histoscope synth``.
    share : float in (0, 1]
        Share of the patches that come from it, however many tiles each side has; 1 leaves real tiles out.
    tiles : int, optional
        Number of its tiles to use; all if left out.
    name : str
        A key of ``data.DATASETS``, or the name of a plug-in (docs/plugins.md).
    mpp : float, optional
        Micrometres per pixel, if the files do not contain it.
    licence : str, optional
        Licence, if the data set does not name one.
    """

    root: Path
    share: float = Field(default=0.5, gt=0, le=1)
    tiles: int | None = Field(default=None, ge=1)
    name: str = "folder"
    mpp: float | None = Field(default=None, gt=0)
    licence: str = ""


def open_synthetic(chosen: SyntheticConfig, classes: Sequence[str] = (), *, seed: int = 0) -> Dataset:
    """Open a synthetic data set, and choose its tiles; no pixel is read.

    Its own parts, if it has any, count for nothing: all of it may be learned from. Given the model's
    `classes`, its own are numbered like them.

    Raises
    ------
    DataError
        If the synthetic nuclei have classes that the model does not know.
    """
    dataset = open_data(chosen)
    if classes:
        dataset = data.renumbered(dataset, dict(enumerate(classes, start=1)))
    return data.tile_subset(dataset, chosen.tiles, seed=seed)


def learned_from(sheets: Sequence[Datasheet]) -> dict[str, Any]:
    """Training data and licence for a model's card; of several data sets, those of all.

    Examples
    --------
    >>> card = learned_from([Datasheet("lab", licence="CC BY 4.0"), Datasheet("drawn", licence="CC0")])
    >>> card["weights licence"], card["training data"]["name"]
    ('CC BY 4.0; CC0', 'lab; drawn')
    """
    known = {
        key: "; ".join(dict.fromkeys(text for sheet in sheets if (text := getattr(sheet, key))))
        for key in ("name", "licence", "citation", "url")
    }
    return {"training data": known, "weights licence": known["licence"] or "as the training data"}
