"""Scores of a model on samples with ground truth: one row per image or patch."""

from collections.abc import Iterable, Sequence

import pandas as pd

from histoscope import metrics
from histoscope.metrics import Metric
from histoscope.models.base import Model
from histoscope.renamed import renamed
from histoscope.train.tasks import OnSample, OnSkip, task_named, task_of
from histoscope.types import Sample


@renamed(turned="tta")
def evaluate(
    model: Model,
    samples: Iterable[Sample],
    *,
    on_image: OnSample | None = None,
    on_skip: OnSkip | None = None,
    tta: bool = False,
    more: Sequence[str | Metric] = (),
) -> pd.DataFrame:
    """Predict every image and compare with its ground truth.

    The classes of a data set are matched with the model's by name (`histoscope.data.match_classes`). Nuclei
    of classes that only the data set has count as nuclei and for no class; classes that only the model has
    get no scores. A warning says which these are.

    Parameters
    ----------
    model : Model
    samples : Dataset, or iterable of Sample
        With instance maps; of any resolution: ground truth and prediction are compared on the image's own
        grid. For a classifier, patches with classes. Without a datasheet, class numbers must be the model's.
    on_image : callable, optional
        Called with each sample and its nuclei, to save or show them; not for classifiers.
    on_skip : callable, optional
        Called with the name of an image that cannot be read or scored, and why; it is left out. Without it,
        that is an error.
    tta : bool
        Test-time augmentation: all eight rotations and flips of each image.
    more : sequence of str or Metric
        Further scores of nuclei, a column each: `histoscope.metrics.Metric`, or names that `metrics.get`
        knows, such as ``package.module:function`` of the true and the predicted label map.

    Returns
    -------
    DataFrame
        One row per image: ``name``, ``patient``, ``source``, every score of `histoscope.metrics.per_image`;
        for classes that both model and sample know, those of `histoscope.metrics.class_scores` too. For a
        classifier, what `histoscope.classify.classification.predict_classes` gives.

    Raises
    ------
    DataError
        If a sample has no instance map, or there are no samples that can be scored.
    ConfigError
        If the model neither finds nuclei nor classifies, or `more` is given for a classifier.
    """
    named = {each.rpartition(":")[2]: metrics.get(each) for each in more if isinstance(each, str)}
    further = named | {each.label: each for each in more if isinstance(each, Metric)}
    task, given = task_of(model), {"more": further} if further else {}
    return task.evaluate(model, samples, on_sample=on_image, on_skip=on_skip, tta=tta, **given)


def summary(table: pd.DataFrame, *more: str) -> dict[str, float]:
    """Scores of a whole table: means over images, or those of all patches.

    Parameters
    ----------
    table : DataFrame
        From `evaluate`.
    *more : str
        Further columns to average, beside the usual ones; for images only.
    """
    task = "patches" if "predicted" in table else "nuclei"
    return task_named(task).summary(table, *more)
