"""Scores of nuclei, one row per image; classes are matched by name."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from histoscope import metrics
from histoscope.classify.batches import OnSkip
from histoscope.data.classes import HOW, ClassMatch, listed, match_classes
from histoscope.errors import DataError, HistoscopeError
from histoscope.memory import is_out_of_memory
from histoscope.metrics import Metric
from histoscope.models.base import Segmenter
from histoscope.models.inference import predict
from histoscope.types import Nuclei, Sample

SHOWN = ("dice", "aji", "pq", "f1_50")
OnImage = Callable[[Sample, Nuclei], None]


def scores_of_nuclei(
    model: Segmenter,
    samples: Iterable[Sample],
    *,
    on_image: OnImage | None = None,
    on_skip: OnSkip | None = None,
    tta: bool = False,
    more: Mapping[str, Metric] = MappingProxyType({}),
) -> pd.DataFrame:
    """Find the nuclei of every image and compare with its ground truth, as `evaluate` says."""
    shared = _shared_classes(model, samples)
    rows: list[dict[str, Any]] = []
    skipped: list[str] = []

    def skip(name: str, why: str) -> None:
        skipped.append(why)
        (on_skip or _nobody)(name, why)

    for sample in _readable(samples, on_skip and skip):
        try:
            nuclei, row = _scored(model, sample, shared, tta=tta)
            maps = sample.instances, nuclei.instances
            row |= {name: float(metric(*maps)) for name, metric in more.items() if name not in row}
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
    """No-op callback."""


def _nothing(skipped: list[str]) -> str:
    if skipped:
        return f"none of {len(skipped)} images could be scored: {skipped[0]}"
    return "there are no images to evaluate on; check the split and the data set's folder"


def _why(error: Exception, what: str) -> str:
    """Reason why an image is skipped; errors that are not of the image are raised again."""
    if isinstance(error, HistoscopeError | OSError):
        return str(error)
    if is_out_of_memory(error):
        return f"{what}: out of memory; cut the image into tiles"
    raise error


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
    """Match classes by name if `samples` has names; warn of classes that only one side has."""
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
    """Warn of classes that only the data set or only the model has."""
    told = []
    if match.number and match.foreign:
        alone = f"the model does not know {listed(match.foreign)}"
        told.append(f"{alone}: these nuclei count as nuclei, but for no class")
    if match.number and match.lacking:
        told.append(f"the data set has no {listed(match.lacking)}: no score for that class")
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
