"""Scores of a set of images with classes, each exactly as one publication computes it."""

from collections.abc import Iterable, Mapping, Sequence
from math import nan

import numpy as np
from numpy.typing import ArrayLike

from histoscope.errors import DataError, ShapeError
from histoscope.metrics.instance import Matches, pq_image_mean
from histoscope.metrics.keys import group_codes
from histoscope.metrics.semantic import mean_of_known

_EPSILON = 1e-6  # in the denominators of the published scripts


def pool_classes(per_image: Iterable[Mapping[int, Matches]]) -> dict[int, Matches]:
    """Sum of the matches of each class over images; a `DataError` if these differ in classes."""
    total: dict[int, Matches] = {}
    for k, image in enumerate(per_image):
        if k and image.keys() != total.keys():
            raise DataError(
                f"image {k} has the classes {sorted(image)}, those before it {sorted(total)}; expected the "
                "same: call match_by_class with the same n_classes for all images"
            )
        total = {each: total.get(each, Matches()) + found for each, found in image.items()}
    return total


def pq_by_class(per_image: Iterable[Mapping[int, Matches]]) -> dict[int, float]:
    """Panoptic quality of each class, pooled over images; NaN for a class that never occurs.

    Examples
    --------
    >>> images = [{1: Matches(tp=1, sum_iou=0.9), 2: Matches()}, {1: Matches(fp=2), 2: Matches()}]
    >>> pq_by_class(images)
    {1: 0.45, 2: nan}
    """
    return {k: found.pq for k, found in pool_classes(per_image).items()}


def mpq_plus(per_image: Iterable[Mapping[int, Matches]]) -> float:
    """Mean over classes of the panoptic quality of each, pooled over images.

    Parameters
    ----------
    per_image : iterable of dict
        `match_by_class` of each image.

    Returns
    -------
    float in [0, 1]
        Classes that neither occur nor are predicted are excluded; NaN if none is left.

    References
    ----------
    .. [1] Graham et al., Medical Image Analysis 92, 2024, doi:10.1016/j.media.2023.103047

    Examples
    --------
    >>> images = [{1: Matches(tp=1, sum_iou=0.9), 2: Matches(fn=1)}, {1: Matches(fp=2), 2: Matches()}]
    >>> mpq_plus(images)
    0.225
    """
    return mean_of_known(list(pq_by_class(per_image).values()))


def mpq_plus_conic(per_image: Iterable[Mapping[int, Matches]]) -> float:
    """Multi-class PQ (mPQ+) as the script of the CoNIC challenge prints it.

    It adds 1e-6 to the denominators of DQ and SQ, so a class that occurs nowhere scores 0 and counts;
    otherwise it equals `mpq_plus` to six digits.

    Examples
    --------
    >>> images = [{1: Matches(tp=9, sum_iou=9.0), 2: Matches()}]
    >>> mpq_plus(images), round(mpq_plus_conic(images), 6)
    (1.0, 0.5)
    """
    scores = [_pq(found, _EPSILON) for found in pool_classes(per_image).values()]
    return float(np.mean(scores)) if scores else nan


def bpq(matches: Iterable[Matches]) -> float:
    """Binary panoptic quality: classes ignored, mean over images; the same as `pq_image_mean`."""
    return pq_image_mean(matches)


def bpq_conic(matches: Iterable[Matches]) -> float:
    """Binary PQ as the script of the CoNIC challenge prints it: an image without nuclei scores 0.

    Examples
    --------
    >>> images = [Matches(tp=9, sum_iou=9.0), Matches()]
    >>> bpq(images), round(bpq_conic(images), 6)
    (1.0, 0.5)
    """
    scores = [_pq(found, _EPSILON) for found in matches]
    return float(np.mean(scores)) if scores else nan


def mpq_pannuke(per_image: Iterable[Mapping[int, Matches]], tissues: Sequence[str] | None = None) -> float:
    """Multi-class PQ (mPQ) as the script of PanNuke prints it.

    The score of an image is the mean over the classes in **its ground truth**; images are averaged per
    tissue, then tissues. So false positives of a class cost nothing in an image without true nuclei of it,
    and an image without nuclei is excluded.

    Parameters
    ----------
    per_image : iterable of dict
        `match_by_class` of each image. From PanNuke's own arrays, whose channels may overlap, it is
        ``{k + 1: match(true[..., k], pred[..., k]) for k in range(5)}``.
    tissues : sequence of str, optional
        Tissue of each image; by default all are of one.

    Returns
    -------
    float in [0, 1], NaN if there are no true nuclei

    Notes
    -----
    The scores of classes that the script saves to ``class_stats.csv`` are `pq_by_class_pannuke`, but with the
    value of *connective* in the row of *inflammatory*. What it prints, and mPQ, are not affected.

    References
    ----------
    .. [1] Gamper et al., 2020, arXiv:2003.10778

    Examples
    --------
    >>> images = [{1: Matches(tp=1, sum_iou=0.9), 2: Matches(fp=5)}, {1: Matches(fn=1), 2: Matches(fn=1)}]
    >>> round(mpq_pannuke(images), 3), round(mpq_plus(images), 3)
    (0.45, 0.3)
    """
    return _by_tissue(
        [mean_of_known([_pq_pannuke(found) for found in each.values()]) for each in per_image], tissues
    )


def bpq_pannuke(matches: Iterable[Matches], tissues: Sequence[str] | None = None) -> float:
    """Binary PQ as the script of PanNuke prints it, of the `match` of each image; `tissues` as `mpq_pannuke`.

    Images without true nuclei are excluded, whatever was predicted; images are averaged per tissue, then
    tissues. In its arrays a pixel may be of two nuclei; the script assigns it to the later class.

    Examples
    --------
    >>> images = [Matches(tp=1, sum_iou=0.9), Matches(fp=5)]
    >>> round(bpq_pannuke(images), 3), bpq(images)
    (0.9, 0.45)
    """
    return _by_tissue([_pq_pannuke(found) for found in matches], tissues)


def pq_by_class_pannuke(per_image: Iterable[Mapping[int, Matches]]) -> dict[int, float]:
    """Mean over images of the PQ of each class, without images whose ground truth lacks the class."""
    images = list(per_image)
    classes = pool_classes(images)
    return {k: mean_of_known([_pq_pannuke(image[k]) for image in images]) for k in classes}


def r2_conic(true_counts: ArrayLike, pred_counts: ArrayLike) -> float:
    """Coefficient of determination of the counts of nuclei, averaged over classes.

    Parameters
    ----------
    true_counts, pred_counts : (N, C) numbers
        Nuclei of each class in each image: ``count_by_class(..., crop_px=224)`` for CoNIC.

    Returns
    -------
    float up to 1
        0 is as good as the mean count; NaN for fewer than two images. A class with a constant true count
        scores 1 if all predictions equal it, else 0, as in scikit-learn, which the challenge uses.

    Raises
    ------
    ShapeError
        If the counts are not two tables of one shape.

    References
    ----------
    .. [1] Graham et al., Medical Image Analysis 92, 2024, doi:10.1016/j.media.2023.103047

    Examples
    --------
    >>> r2_conic([[1, 0], [3, 0]], [[1, 0], [2, 0]])
    0.75
    """
    true, pred = np.asarray(true_counts, np.float64), np.asarray(pred_counts, np.float64)
    if true.ndim != 2 or true.shape != pred.shape:
        raise ShapeError(f"counts are {true.shape} and {pred.shape}; expected (images, classes) for both")
    if len(true) < 2 or true.shape[1] == 0:
        return nan
    from sklearn.metrics import r2_score

    return float(r2_score(true, pred))


def _pq(found: Matches, epsilon: float) -> float:
    dq = found.tp / (found.tp + found.fp / 2 + found.fn / 2 + epsilon)
    return dq * found.sum_iou / (found.tp + epsilon)


def _pq_pannuke(found: Matches) -> float:
    """PQ of one image, NaN if its ground truth is empty; the script adds epsilon to SQ only."""
    if found.tp + found.fn == 0:
        return nan
    return found.dq * found.sum_iou / (found.tp + _EPSILON)


def _by_tissue(scores: list[float], tissues: Sequence[str] | None) -> float:
    if tissues is None:
        return mean_of_known(scores)
    if len(tissues) != len(scores):
        raise ShapeError(f"got {len(tissues)} tissues for {len(scores)} images; expected one for each")
    codes, values = group_codes(tissues, "tissue"), np.asarray(scores, np.float64)
    return mean_of_known([mean_of_known(values[codes == code].tolist()) for code in np.unique(codes)])
