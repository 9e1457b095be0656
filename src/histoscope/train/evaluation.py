"""Scores of a model, one row an image."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from histoscope import metrics
from histoscope.classify import classification
from histoscope.classify.batches import OnSkip
from histoscope.data import Dataset
from histoscope.data.classes import HOW, ClassMatch, listed, match_classes
from histoscope.errors import ConfigError, DataError, HistoscopeError
from histoscope.memory import is_out_of_memory
from histoscope.models.base import Model, Segmenter
from histoscope.models.inference import predict
from histoscope.models.patches.classifier import Classifier
from histoscope.renamed import renamed
from histoscope.types import Nuclei, Sample

SHOWN = ("dice", "aji", "pq", "f1_50")
OnImage = Callable[[Sample, Nuclei], None]


@renamed(turned="tta")
def evaluate(
    model: Model,
    samples: Iterable[Sample],
    *,
    on_image: OnImage | None = None,
    on_skip: OnSkip | None = None,
    tta: bool = False,
) -> pd.DataFrame:
    """Predict every image and compare with its truth.

    The classes of a data set are matched with the model's by name (`histoscope.data.match_classes`). Nuclei
    of classes that only the data set has count as nuclei and for no class; classes that only the model has
    get no scores. A warning says which these are.

    Parameters
    ----------
    model : Model
    samples : Dataset, or iterable of Sample
        With instance maps; of any resolution: truth and prediction are compared on the image's own grid. For
        a classifier, patches with classes. Without a datasheet, class numbers must be the model's.
    on_image : callable, optional
        Called with each sample and its nuclei, to save or show them; not for classifiers.
    on_skip : callable, optional
        Called with the name of an image that cannot be read or scored, and why; it is left out. Without it,
        that is an error.
    tta : bool
        Test-time augmentation: all eight rotations and flips of each image.

    Returns
    -------
    DataFrame
        One row an image: ``name``, ``patient``, ``source`` and every score of `histoscope.metrics.per_image`;
        for classes that both model and sample know, those of `histoscope.metrics.class_scores` too. For a
        classifier, what `histoscope.classify.classification.predict_classes` gives.

    Raises
    ------
    DataError
        If a sample has no instance map, or there are no samples that can be scored.
    ConfigError
        If the model neither finds nuclei nor classifies.
    """
    if isinstance(model, Classifier):
        if _classes_of(samples) is not None:
            samples = classification.in_words_of(model.spec.classes, cast("Dataset", samples))
        return classification.predict_classes(model, samples, on_skip=on_skip)
    if not isinstance(model, Segmenter):
        raise ConfigError(f"model {model.name!r} neither finds nuclei nor classifies: nothing to score")
    shared = _shared_classes(model, samples)
    rows: list[dict[str, Any]] = []
    skipped: list[str] = []

    def skip(name: str, why: str) -> None:
        skipped.append(why)
        (on_skip or _nobody)(name, why)

    for sample in _readable(samples, on_skip and skip):
        try:
            nuclei, row = _scored(model, sample, shared, tta=tta)
        except Exception as error:
            if on_skip is None:
                raise
            skip(sample.name, _why(error, f"sample {sample.name!r}"))
            continue
        rows.append(row)
        if on_image is not None:
            on_image(sample, nuclei)
    if not rows:
        raise DataError(_nothing(skipped))
    return pd.DataFrame(rows)


def _scored(
    model: Segmenter, sample: Sample, shared: "_Shared", *, tta: bool
) -> tuple[Nuclei, dict[str, Any]]:
    """Nuclei of an image, and its row."""
    if sample.instances is None:
        raise DataError(
            f"sample {sample.name!r} has no instance map to compare with; evaluate on labelled images"
        )
    nuclei = predict(sample.image, model, sample.mpp, tta=tta)
    about = {"name": sample.name, "patient": sample.patient, "source": sample.source}
    of_classes = shared.scores(sample, nuclei)
    return nuclei, about | metrics.per_image(sample.instances, nuclei.instances) | of_classes


def _nobody(name: str, why: str) -> None:
    """Nobody wants to know."""


def _nothing(skipped: list[str]) -> str:
    if skipped:
        return f"none of {len(skipped)} images could be scored: {skipped[0]}"
    return "there are no images to evaluate on; check the split and the data set's folder"


def _why(error: Exception, what: str) -> str:
    """Why one image is left out; an error that is not of the image is raised again."""
    if isinstance(error, HistoscopeError | OSError):
        return str(error)
    if is_out_of_memory(error):
        return f"{what}: out of memory; cut the image into tiles"
    raise error


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


@dataclass(frozen=True, slots=True, eq=False)
class _Shared:
    """The classes that model and data set share, numbered from 1 in the model's order.

    Parameters
    ----------
    names : tuple of str
    of_true, of_pred : (256,) uint8
        Shared number of each class of the data set, and of the model; 0 for those that are not shared.
    unnamed : bool
        The model has classes, and the data set names none.
    """

    names: tuple[str, ...]
    of_true: NDArray[np.uint8]
    of_pred: NDArray[np.uint8]
    unnamed: bool = False

    def scores(self, sample: Sample, nuclei: Nuclei) -> dict[str, float]:
        """Scores of each shared class; nothing if the sample has no classes."""
        if self.unnamed and sample.classes is not None and sample.classes.any():
            told = "the data set has class maps and does not name its classes"
            warnings.warn(f"{told}: no class is scored; name them in classes.json", stacklevel=3)
        if not self.names or sample.instances is None or sample.classes is None:
            return {}
        maps = sample.instances, nuclei.instances
        of_true, of_pred = self.of_true[sample.classes], self.of_pred[np.append(0, nuclei.class_id)]
        of_pred = metrics.without_unknown(*maps, of_true, of_pred, n_classes=len(self.names))
        return metrics.class_scores(*maps, of_true, of_pred, self.names, mpp=sample.mpp)


def _shared_classes(model: Segmenter, samples: Iterable[Sample]) -> _Shared:
    """Match classes by name if `samples` name theirs; say which are in one of both alone."""
    wanted = dict(enumerate(model.spec.classes, start=1))
    theirs = _classes_of(samples)
    if theirs is None or not wanted:
        own = np.zeros(256, np.uint8)
        own[list(wanted)] = list(wanted)
        return _Shared(tuple(wanted.values()), own, own)
    match = match_classes(theirs, wanted)
    shared = [number for number in wanted if number not in match.lacking]
    place = {number: k for k, number in enumerate(shared, start=1)}
    of_true, of_pred = np.zeros(256, np.uint8), np.zeros(256, np.uint8)
    of_pred[shared] = list(place.values())
    of_true[list(match.number)] = [place[number] for number in match.number.values()]
    if theirs:
        _tell(theirs, wanted, match)
    return _Shared(tuple(wanted[number] for number in shared), of_true, of_pred, unnamed=not theirs)


def _tell(theirs: Mapping[int, str], wanted: Mapping[int, str], match: ClassMatch) -> None:
    """Say which classes are in one of data set and model alone."""
    told = []
    if match.number and match.foreign:
        alone = f"the model does not know {listed(match.foreign)}"
        told.append(f"{alone}: these nuclei count as nuclei and for no class")
    if match.number and match.lacking:
        told.append(f"the data set has no {listed(match.lacking)}: no score of that class")
    if not match.number:
        both = f"data set: {listed(theirs)}; model: {listed(wanted)}"
        told.append(f"no class is scored, since none is in both ({both}); {HOW}")
    if told:
        warnings.warn("; ".join(told), stacklevel=4)


def _classes_of(samples: object) -> Mapping[int, str] | None:
    """Classes of a data set; None of samples without a datasheet."""
    info = getattr(samples, "info", None)
    return None if info is None else info.classes


def _readable(samples: Any, on_skip: OnSkip | None) -> Iterator[Sample]:
    """Iterate over samples; of those that cannot be read, only the name is known."""
    if not hasattr(samples, "__len__"):
        yield from samples
        return
    records = getattr(samples, "records", None)
    for index in range(len(samples)):
        try:
            sample = samples[index]
        except Exception as error:
            if on_skip is None:
                raise
            name = str(index) if records is None else records[index].name
            on_skip(name, _why(error, f"sample {name!r}"))
            continue
        yield sample
