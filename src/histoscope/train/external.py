"""A trained model on a test set: scores of each image, and which images the model has seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from histoscope import models
from histoscope.data import Dataset
from histoscope.data.base import Progress
from histoscope.errors import ConfigError
from histoscope.train import provenance, seen
from histoscope.train.evaluation import evaluate
from histoscope.train.parts import normalised
from histoscope.train.tasks import OnSample, task_of


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of a model on a test set.

    Parameters
    ----------
    table : DataFrame
        One row per image or patch, from `histoscope.train.evaluate`; with a column ``seen`` if the training
        data are known.
    skipped : dict of str to str
        Images that could not be read or scored, and why.
    seen : Seen, optional
        Which images the model has seen; None if the training data are not known.
    """

    table: pd.DataFrame
    skipped: dict[str, str]
    seen: seen.Seen | None

    def parts(self) -> dict[str, pd.DataFrame]:
        """Rows of unseen and of seen images, if there are both and they have ground truth."""
        if self.seen is None:
            return {}
        is_seen = self.table["seen"] != ""
        if is_seen.all() or not is_seen.any():
            return {}
        parts = {"unseen": self.table[~is_seen], "seen": self.table[is_seen]}
        return {name: rows for name, rows in parts.items() if "true" not in rows or (rows["true"] >= 0).any()}


def score(
    model: str | Path,
    dataset: Dataset,
    *,
    tta: bool = False,
    backend: str = "torch",
    more: Sequence[str] = (),
    copies_in: Path | None = None,
    on_image: OnSample | None = None,
    progress: Progress | None = None,
) -> Scored:
    """Score a model on labelled images, normalised as in its training.

    Parameters
    ----------
    model : str or Path
        A model that ships with Histoscope, or a model or run folder.
    dataset : Dataset
    backend : str
        What predicts, see `histoscope.models.open_model`.
    tta, more, on_image
        As in `histoscope.train.evaluate`.
    copies_in : Path, optional
        Also look for copies of training images, which lie in this folder or where they were in training.
    progress : callable, optional
        Called with (images compared, all images) while copies are looked for.

    Raises
    ------
    ConfigError
        If test-time augmentation is asked for and the model finds no nuclei.
    """
    opened = models.open_model(model, backend=backend)
    task = task_of(opened.network)
    if tta and not task.takes_tta:
        raise ConfigError("--tta is for models that find nuclei; this one classifies patches")
    watched = provenance.Watched(dataset)
    shown = normalised(task.in_classes_of(opened.network, watched), opened.normalizer)
    skipped: dict[str, str] = {}
    table = evaluate(
        opened.network, shown, on_image=on_image, on_skip=skipped.__setitem__, tta=tta, more=more
    )
    learned = provenance.read(model)
    if learned is None:
        return Scored(table, skipped, None)
    roots = () if copies_in is None else (*seen.roots_of(model), copies_in)
    found = seen.seen_in(learned, watched, audit=bool(roots), roots=roots, progress=progress)
    names = (record.name for record in watched.records)
    table["seen"] = table["name"].map(dict(zip(names, found.status, strict=True)))
    return Scored(table, skipped, found)
