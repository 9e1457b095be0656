"""Scores of a model, one row an image."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from histoscope import metrics
from histoscope.errors import DataError
from histoscope.models.base import Segmenter
from histoscope.models.inference import predict
from histoscope.types import Nuclei, Sample

OnImage = Callable[[Sample, Nuclei], None]


def evaluate(
    model: Segmenter,
    samples: Iterable[Sample],
    *,
    on_image: OnImage | None = None,
    turned: bool = False,
) -> pd.DataFrame:
    """Predict every image and compare with its truth.

    Parameters
    ----------
    model : Segmenter
    samples : iterable of Sample
        With instance maps; of any resolution: truth and prediction are compared on the image's own grid.
    on_image : callable, optional
        Called with each sample and its nuclei, to save or show them.
    turned : bool
        Look at each image in eight turns and flips.

    Returns
    -------
    DataFrame
        One row an image: ``name``, ``patient``, ``source`` and every score of `histoscope.metrics.per_image`;
        where the model tells classes apart and the sample knows them, those of
        `histoscope.metrics.class_scores` too.

    Raises
    ------
    DataError
        If a sample has no instance map, or there are no samples.
    """
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
