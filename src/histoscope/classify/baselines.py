"""Trivial baselines: the majority class, and logistic regression on mean colours.

A network that does not beat the second has learned the stain, not the disease.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from histoscope.brief import brief
from histoscope.classify.classification import about
from histoscope.errors import DataError, ShapeError, UnknownNameError
from histoscope.renamed import renamed
from histoscope.stain import optical_density
from histoscope.types import Floats, Image, Sample

_L2 = 1.0  # on features of unit variance; as scikit-learn's default


def colour_features(image: Image) -> Floats:
    """Mean and spread of red, green and blue in [0, 1], then of their optical densities.

    Parameters
    ----------
    image : (H, W, 3) uint8

    Returns
    -------
    (12,) float64

    Examples
    --------
    >>> colour_features(np.full((8, 8, 3), 255, np.uint8))[:6]
    array([1., 1., 1., 0., 0., 0.])
    """
    # Everything follows from how often each level occurs: thrice as fast as looking at all pixels again.
    levels = np.arange(256, dtype=np.uint8)
    both = np.stack((levels / 255.0, optical_density(levels).astype(np.float64)))
    counts = np.stack([np.bincount(image[:, :, k].ravel(), minlength=256) for k in range(3)], axis=1)
    shares = counts / (image.shape[0] * image.shape[1])
    mean = both @ shares
    spread = np.sqrt(np.stack([((both[k][:, None] - mean[k]) ** 2 * shares).sum(axis=0) for k in range(2)]))
    return np.concatenate((mean[0], spread[0], mean[1], spread[1]))


@brief
@dataclass(frozen=True, slots=True, eq=False)
class LogisticRegression:
    """Multinomial logistic regression on standardised features; made by `fit`.

    Parameters
    ----------
    mean, spread : (D,) float64
        Of the training part's features.
    weights : (D + 1, C) float64
        The last row is the bias.
    """

    mean: Floats
    spread: Floats
    weights: Floats

    @classmethod
    @renamed(pull="l2")
    def fit(cls, features: ArrayLike, labels: ArrayLike, n_classes: int, *, l2: float = _L2) -> Self:
        """Find the weights with the least sum of log losses and of ``l2 / 2`` times their squares.

        Parameters
        ----------
        features : (N, D) float
        labels : (N,) int
            From 0 to ``n_classes - 1``; a class that does not occur gets probability 0.
        n_classes : int
        l2 : float > 0
            L2 penalty, scikit-learn's ``1 / C``; the bias has none.

        Raises
        ------
        ShapeError
            If features and labels do not fit together.
        """
        from sklearn import linear_model
        from sklearn.preprocessing import StandardScaler

        raw, true = np.asarray(features, np.float64), np.asarray(labels)
        if raw.ndim != 2 or true.shape != raw.shape[:1] or len(true) == 0:
            raise ShapeError(
                f"features are {raw.shape} and labels {true.shape}; "
                "expected (N, D) and (N,) with at least one patch"
            )
        scaler, present = StandardScaler().fit(raw), np.unique(true)
        weights = np.zeros((raw.shape[1] + 1, n_classes))
        weights[-1] = np.where(np.isin(np.arange(n_classes), present), 0.0, -np.inf)
        if len(present) > 1:
            # Of two classes it fits one column of weights, the difference of two that are each half as large.
            c = 2.0 / l2 if len(present) == 2 else 1.0 / l2
            solver = linear_model.LogisticRegression(C=c, tol=1e-6, max_iter=10_000)
            solver.fit(scaler.transform(raw), true)
            found = np.column_stack((solver.coef_, solver.intercept_)).T
            weights[:, present] = np.hstack((-found, found)) / 2 if len(present) == 2 else found
        return cls(scaler.mean_, scaler.scale_, weights)

    def __call__(self, features: ArrayLike) -> NDArray[np.float64]:
        """Probabilities (N, C) of features (N, D)."""
        from scipy.special import softmax

        x = (np.asarray(features, np.float64) - self.mean) / self.spread
        probability: NDArray[np.float64] = softmax(x @ self.weights[:-1] + self.weights[-1], axis=1)
        return probability


def by_majority(train: Iterable[Sample], test: Iterable[Sample], n_classes: int) -> NDArray[np.float64]:
    """Shares of the classes in the training part, (N, C): the same for every patch."""
    counts = np.bincount([label_of(sample) for sample in train], minlength=n_classes)
    n_test = sum(1 for _ in test)
    return np.tile(counts / max(counts.sum(), 1), (n_test, 1))


def by_colour(train: Iterable[Sample], test: Iterable[Sample], n_classes: int) -> NDArray[np.float64]:
    """Probabilities (N, C) by a logistic regression on `colour_features`."""
    known = [(colour_features(sample.image), label_of(sample)) for sample in train]
    features = [feature for feature, _ in known]
    fitted = LogisticRegression.fit(np.reshape(features, (-1, 12)), [label for _, label in known], n_classes)
    return fitted(np.reshape([colour_features(sample.image) for sample in test], (-1, 12)))


BASELINES: Mapping[str, Callable[[Iterable[Sample], Iterable[Sample], int], NDArray[np.float64]]] = (
    MappingProxyType({"majority": by_majority, "colour": by_colour})
)
"""Name -> from training and test patches, and the number of classes, to probabilities of the test patches."""


def predict_baseline(
    name: str, train: Iterable[Sample], test: Sequence[Sample], classes: Sequence[str]
) -> pd.DataFrame:
    """Classify patches by a baseline.

    Parameters
    ----------
    name : str
        A key of `BASELINES`.
    train : iterable of Sample
        Labelled patches to learn from.
    test : sequence of Sample
        Labelled patches to classify.
    classes : sequence of str
        Names of class 0, 1, ...

    Returns
    -------
    DataFrame
        A row for each test patch, as `histoscope.metrics.patch_scores` takes it.

    Raises
    ------
    UnknownNameError
        If there is no such baseline.
    DataError
        If a patch has no label.
    """
    if name not in BASELINES:
        raise UnknownNameError("baseline", name, BASELINES)
    probability = BASELINES[name](_indexed(train), _indexed(test), len(classes))
    rows = [about(sample) for sample in _indexed(test)]
    predicted = probability.argmax(axis=1)
    columns = {f"p_{kind}": probability[:, place] for place, kind in enumerate(classes)}
    return pd.DataFrame(rows).assign(predicted=predicted, **columns)


def label_of(sample: Sample) -> int:
    """Label of a patch.

    Raises
    ------
    DataError
        If it has none.
    """
    if sample.label is None:
        raise DataError(f"sample {sample.name!r} has no label; expected a class for each patch")
    return sample.label


def _indexed(samples: Any) -> Iterable[Sample]:
    """Iterate over anything with a length and items, as data sets are."""
    return (samples[i] for i in range(len(samples))) if hasattr(samples, "__len__") else samples
