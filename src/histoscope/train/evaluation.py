"""Scores of a model, one row an image."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from histoscope import metrics
from histoscope.errors import ConfigError, DataError
from histoscope.models.base import Model, Segmenter
from histoscope.models.classifier import Classifier
from histoscope.models.inference import predict
from histoscope.train import classification
from histoscope.types import Nuclei, Sample

SHOWN = ("dice", "aji", "pq", "f1_50")
OnImage = Callable[[Sample, Nuclei], None]


def evaluate(
    model: Model,
    samples: Iterable[Sample],
    *,
    on_image: OnImage | None = None,
    turned: bool = False,
) -> pd.DataFrame:
    """Predict every image and compare with its truth.

    Parameters
    ----------
    model : Model
    samples : iterable of Sample
        With instance maps; of any resolution: truth and prediction are compared on the image's own grid. For
        a classifier, patches with classes.
    on_image : callable, optional
        Called with each sample and its nuclei, to save or show them; not for classifiers.
    turned : bool
        Look at each image in eight turns and flips.

    Returns
    -------
    DataFrame
        One row an image: ``name``, ``patient``, ``source`` and every score of `histoscope.metrics.per_image`;
        where the model tells classes apart and the sample knows them, those of
        `histoscope.metrics.class_scores` too. For a classifier, what
        `histoscope.train.classification.predict_classes` gives.

    Raises
    ------
    DataError
        If a sample has no instance map, or there are no samples.
    ConfigError
        If the model neither finds nuclei nor classifies.
    """
    if isinstance(model, Classifier):
        return classification.predict_classes(model, samples)
    if not isinstance(model, Segmenter):
        raise ConfigError(f"model {model.name!r} neither finds nuclei nor classifies: nothing to score")
    rows: list[dict[str, Any]] = []
    for sample in _indexed(samples):
        if sample.instances is None:
            raise DataError(
                f"sample {sample.name!r} has no instance map to compare with; evaluate on labelled images"
            )
        nuclei = predict(model, sample.image, sample.mpp, turned=turned)
        about = {"name": sample.name, "patient": sample.patient, "source": sample.source}
        rows.append(
            about | metrics.per_image(sample.instances, nuclei.instances) | _of_classes(model, sample, nuclei)
        )
        if on_image is not None:
            on_image(sample, nuclei)
    if not rows:
        raise DataError("there are no images to evaluate on; check the split and the data set's folder")
    return pd.DataFrame(rows)


def summary(table: pd.DataFrame, *more: str) -> dict[str, float]:
    """Scores of a whole table: means over images, or those of all patches.

    Parameters
    ----------
    table : DataFrame
        From `evaluate`.
    *more : str
        Further columns to average, beside the usual ones; for images only.
    """
    if "predicted" in table:
        return classification.scores(table)
    return {name: float(table[name].mean()) for name in (*SHOWN, *more)}


def _of_classes(model: Segmenter, sample: Sample, nuclei: Nuclei) -> dict[str, float]:
    """Scores of each class, if both sides know classes."""
    names = model.spec.classes
    if not names or sample.instances is None or sample.classes is None:
        return {}
    found = np.append(np.uint8(0), nuclei.class_id)
    return metrics.class_scores(
        sample.instances, nuclei.instances, sample.classes, found, names, mpp=sample.mpp
    )


def _indexed(samples: Any) -> Iterable[Sample]:
    """Iterate over anything with a length and items, as data sets are."""
    return (samples[i] for i in range(len(samples))) if hasattr(samples, "__len__") else iter(samples)
