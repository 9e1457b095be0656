"""Predicted classes of patches, one row per patch; their scores; and matching of class names."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from histoscope import data, metrics
from histoscope.classify.batches import BATCH, OnSkip, Patches, through
from histoscope.classify.features import Features
from histoscope.data import Dataset
from histoscope.data.classes import HOW, listed, numbered
from histoscope.errors import ConfigError, DataError, HistoscopeError
from histoscope.models.patches.classifier import Classifier
from histoscope.models.patches.hub import foundation
from histoscope.types import Record, Sample

OnPatch = Callable[[Sample], None]


def predict_classes(
    model: Classifier,
    samples: Patches | Iterable[Sample],
    *,
    batch_size: int = BATCH,
    on_patch: OnPatch | None = None,
    on_skip: OnSkip | None = None,
) -> pd.DataFrame:
    """Class and probabilities of every patch.

    Parameters
    ----------
    model : Classifier
    samples : sequence of Sample, or Dataset
        Of any size and resolution; each is read when it is needed.
    batch_size : int
        Patches a batch.
    on_patch : callable, optional
        Called with each patch when it is done, for progress bars.
    on_skip : callable, optional
        Called with the name of a patch that cannot be read, and why; it is left out. Without it, that is an
        error.

    Returns
    -------
    DataFrame
        One row per patch: ``name``, ``patient``, ``source``, ``group`` (patient if known, else the source,
        else the patch itself: what is independent of all others), ``true`` (-1 if unknown), ``predicted`` and
        ``p_CLASS`` for each class, as `histoscope.metrics.patch_scores` takes it.

    Raises
    ------
    DataError
        If there are no patches.
    """
    known = cast("Patches", samples) if hasattr(samples, "__len__") else list(samples)
    rows: list[dict[str, Any]] = []

    for seen in through(model, known, _probabilities, batch_size=batch_size, on_skip=on_skip):
        rows += [
            _row(model, sample, values) for sample, values in zip(seen.samples, seen.values, strict=True)
        ]
        for sample in seen.samples if on_patch is not None else []:
            on_patch(sample)  # type: ignore[misc]
    if not rows:
        raise DataError("there are no patches to classify; check the split and the data set's folder")
    return pd.DataFrame(rows)


def _probabilities(model: Classifier, x: Tensor) -> Tensor:
    return model.probabilities(model.heads(x))


@torch.inference_mode()
def classify_features(model: Classifier, features: Features, dataset: Dataset) -> pd.DataFrame:
    """Class and probabilities of every patch, as `predict_classes`, from its features: no pixel is read.

    Parameters
    ----------
    model : Classifier
    features : Features
        From `histoscope.classify.features.extract` with this model, of `dataset`.
    dataset : Dataset
    """
    if model.head is None:
        raise ConfigError("a backbone without classes cannot classify; give it classes")
    logits = model.head(torch.from_numpy(features.values).to(model.mean.device))
    probabilities = model.probabilities({"logits": logits}).cpu().numpy()
    pairs = zip(features.indices, probabilities, strict=True)
    return pd.DataFrame([_row(model, dataset.records[index], values) for index, values in pairs])


def _row(model: Classifier, known: Sample | Record, probabilities: NDArray[np.float32]) -> dict[str, Any]:
    named = {f"p_{name}": float(p) for name, p in zip(model.spec.classes, probabilities, strict=True)}
    return {**about(known), "predicted": int(probabilities.argmax()), **named}


def about(known: Sample | Record) -> dict[str, Any]:
    """First columns of a patch's row: name, patient, source, group, and the true class (-1 if unknown)."""
    return {
        "name": known.name,
        "patient": known.patient,
        "source": known.source,
        "group": known.patient or known.source or known.name,
        "true": -1 if known.label is None else known.label,
    }


def scores(table: pd.DataFrame) -> dict[str, float]:
    """Every score of `histoscope.metrics.PATCH_METRICS`, of the patches whose class is known.

    Raises
    ------
    DataError
        If no class is known.
    """
    known = table[table["true"] >= 0]
    if not len(known):
        raise DataError("no patch has a class to compare with; score a data set with classes")
    found = metrics.patch_scores(known)
    return {name: float(found[name]) for name in metrics.PATCH_METRICS}


def in_words_of(classes: Sequence[str], dataset: Dataset) -> Dataset:
    """A data set with labels that number the classes as a model does, matched by their names.

    Patches of classes that the model never learned are left out with a warning.

    Parameters
    ----------
    classes : sequence of str
        Of the model.
    dataset : Dataset
        With classes.

    Raises
    ------
    DataError
        If no class of the data set is one of the model's.
    """
    theirs, wanted = dataset.info.classes, dict(enumerate(classes))
    number = data.match_classes(theirs, wanted).number
    if not number:
        raise DataError(
            f"data set {dataset.info.name!r} has the classes {listed(theirs)}, the model knows "
            f"{listed(wanted)}: none is the same; {HOW}"
        )
    foreign = Counter(
        theirs.get(record.label, str(record.label))
        for record in dataset.records
        if record.label is not None and record.label not in number
    )
    if foreign:
        counts = ", ".join(f"{count} of {name!r}" for name, count in sorted(foreign.items()))
        warnings.warn(
            f"the model never learned some classes of {dataset.info.name!r}; left out: {counts}", stacklevel=2
        )
        kept = [
            i for i, record in enumerate(dataset.records) if record.label is None or record.label in number
        ]
        dataset = data.subset(dataset, kept)
    return numbered(dataset, number, wanted)


def set_input_mpp(model: Classifier, train: Dataset, *, mpp_given: bool) -> None:
    """Set the input resolution of a classifier: what is given, what its backbone knows, or whole patches.

    Without either of the first two, the resolution is chosen so that the first training patch, all of it, has
    the size that the backbone wants.
    """
    if mpp_given or foundation(str(model.arguments.get("backbone"))) is not None:
        return
    for index in range(len(train)):
        try:
            sample = train[index]
        except (HistoscopeError, OSError):
            continue
        model.show_at(sample.mpp * min(sample.image.shape[:2]) / model.spec.patch_px)
        return


def in_memory(model: Classifier, dataset: Dataset, on_skip: OnSkip) -> list[Sample]:
    """All patches that can be read, at a model's resolution and size."""
    samples = []
    for index, record in enumerate(dataset.records):
        try:
            sample = dataset[index]
        except (HistoscopeError, OSError) as error:
            on_skip(record.name, str(error))
            continue
        samples.append(replace(sample, image=model.patch(sample.image, sample.mpp), mpp=model.spec.mpp))
    return samples


def check_seen(train: Dataset, *others: Dataset) -> None:
    """Refuse splits in which a class of validation or test has no training patch.

    Raises
    ------
    DataError
        With the names of the classes.
    """
    unseen = data.unseen_classes(train, *others)
    if unseen:
        raise DataError(
            f"no training patch is of class {', '.join(map(repr, unseen))}, but validation or test patches "
            "are: split differently (by another group, or with another share), or leave the class out"
        )
