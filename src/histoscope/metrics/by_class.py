"""Scores per class of nuclei: matching restricted to one class at a time."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from histoscope.errors import ConfigError, ShapeError
from histoscope.metrics.contingency import Overlap, as_overlap, classes_of_ids
from histoscope.metrics.detection import detections
from histoscope.metrics.instance import Matches, match
from histoscope.metrics.pooling import CLASS_FORMULAS, FORMULAS
from histoscope.types import Labels


def match_by_class(
    true: Overlap | ArrayLike,
    pred: ArrayLike | None,
    true_classes: ArrayLike,
    pred_classes: ArrayLike,
    *,
    n_classes: int,
    iou_threshold: float = 0.5,
) -> dict[int, Matches]:
    """Match true and predicted nuclei class by class, as if both maps held only that class.

    So a nucleus with the right outline and the wrong class is a false negative of its own class and a false
    positive of the other, and so is a prediction on a true nucleus without class (0).

    Parameters
    ----------
    true, pred : (H, W) integers
        Instance maps; or one `Overlap`, and None.
    true_classes, pred_classes : (n_ids + 1,) integers
        Class of each id, as `histoscope.types.Sample.classes`; 0 is no class.
    n_classes : int
        Classes are 1 to `n_classes`.
    iou_threshold : float in [0, 1)
        As in `match`.

    Returns
    -------
    dict of int to Matches
        Every class from 1 to `n_classes`, also those without nuclei.

    Raises
    ------
    ShapeError
        If an id has no class entry, or a class is not in 0 to `n_classes`.

    References
    ----------
    .. [1] Graham et al., Medical Image Analysis 92, 2024, doi:10.1016/j.media.2023.103047

    Examples
    --------
    >>> true, pred = [[1, 1, 0, 2, 2]], [[3, 3, 0, 0, 4]]
    >>> match_by_class(true, pred, [0, 1, 2], [0, 0, 0, 1, 1], n_classes=2)
    {1: Matches(tp=1, fp=1, fn=0, sum_iou=1.0), 2: Matches(tp=0, fp=0, fn=1, sum_iou=0.0)}
    """
    table = as_overlap(true, pred)
    of_true = classes_of_ids(table.true_ids, true_classes, n_classes, "true")
    of_pred = classes_of_ids(table.pred_ids, pred_classes, n_classes, "pred")
    return {
        k: match(table.only(of_true == k, of_pred == k), iou_threshold=iou_threshold)
        for k in range(1, n_classes + 1)
    }


def count_by_class(
    labels: ArrayLike | Labels, classes: ArrayLike, *, n_classes: int, crop_px: int | None = None
) -> NDArray[np.int64]:
    """Count the nuclei of each class.

    Parameters
    ----------
    labels : (H, W) integers
        Instance map.
    classes : (n_ids + 1,) integers
        Class of each id; 0 is no class and is not counted.
    n_classes : int
        Classes are 1 to `n_classes`.
    crop_px : int, optional
        Count only nuclei with a pixel in the central square of this side; CoNIC counts in the central 224 of
        256 pixels, because its images overlap.

    Returns
    -------
    (n_classes,) int64
        The first entry is of class 1.

    Examples
    --------
    >>> count_by_class([[1, 0, 0, 0], [0, 2, 2, 0], [0, 2, 3, 3], [0, 0, 0, 0]], [0, 1, 2, 2], n_classes=2)
    array([1, 2])
    >>> count_by_class([[1, 0, 0, 0], [0, 2, 2, 0], [0, 2, 3, 3], [0, 0, 0, 0]], [0, 1, 2, 2], n_classes=2,
    ...                crop_px=2)
    array([0, 2])
    """
    array = np.asarray(labels)
    if crop_px is not None:
        top, left = ((length - crop_px) // 2 for length in array.shape[:2])
        if crop_px < 1 or min(top, left) < 0:
            raise ShapeError(
                f"a crop of {crop_px} px does not fit in labels of shape {array.shape}; expected a smaller "
                "side"
            )
        array = array[top : top + crop_px, left : left + crop_px]
    table = as_overlap(array, array)
    of_nuclei = classes_of_ids(table.true_ids, classes, n_classes, "given")
    return np.bincount(of_nuclei, minlength=n_classes + 1)[1:].astype(np.int64)


def without_unknown(
    true: Overlap | ArrayLike,
    pred: ArrayLike | None,
    true_classes: ArrayLike,
    pred_classes: ArrayLike,
    *,
    n_classes: int,
) -> NDArray[np.integer]:
    """Classes of the predicted nuclei, with 0 for those on true nuclei of unknown class.

    With the result, `match_by_class`, `detections` and `class_scores` ignore the class of such predictions,
    as HoVer-Net's evaluation does for partially labelled data sets.

    Parameters
    ----------
    true, pred, true_classes, pred_classes, n_classes
        As in `match_by_class`.

    Returns
    -------
    (n_ids + 1,) integers
        `pred_classes`, with 0 where more than half of the nucleus lies on true nuclei of class 0.

    Raises
    ------
    ShapeError
        As in `match_by_class`.

    References
    ----------
    .. [1] Graham et al., Medical Image Analysis 58, 2019, doi:10.1016/j.media.2019.101563

    Examples
    --------
    >>> without_unknown([[1, 1, 0, 2, 2]], [[1, 1, 0, 2, 2]], [0, 1, 0], [0, 1, 1], n_classes=1)
    array([0, 1, 0])
    """
    table = as_overlap(true, pred)
    of_true = classes_of_ids(table.true_ids, true_classes, n_classes, "true")
    classes_of_ids(table.pred_ids, pred_classes, n_classes, "pred")
    of_none = of_true[table.true_index] == 0
    unknown_px = np.bincount(
        table.pred_index[of_none], weights=table.pixels[of_none], minlength=len(table.pred_ids)
    )
    classes = np.array(pred_classes)
    classes[table.pred_ids[2 * unknown_px > table.pred_areas]] = 0
    return classes


def check_class_names(names: Sequence[str]) -> None:
    """Refuse class names that `class_scores` cannot make columns of; before a training, too.

    Raises
    ------
    ConfigError
        If they are not unique, not text, or clash with a score of all nuclei.
    """
    if not all(isinstance(name, str) for name in names):
        raise ConfigError(
            f"class names are {list(names)}; expected strings, class 1 first: tuple(info.classes.values()) "
            "of "
            "a datasheet"
        )
    if len(set(names)) != len(names):
        raise ConfigError(f"classes are called {', '.join(names)}; expected a different name for each")
    taken = [f"{score}_{name}" for name in names for score in CLASS_FORMULAS if f"{score}_{name}" in FORMULAS]
    if taken:
        raise ConfigError(
            f"classes are called {', '.join(names)}, and {taken[0]} is also the name of a score of all "
            "nuclei; rename that class"
        )


def class_scores(
    true: ArrayLike | Labels,
    pred: ArrayLike | Labels,
    true_classes: ArrayLike,
    pred_classes: ArrayLike,
    names: Sequence[str],
    *,
    mpp: float | None = None,
) -> dict[str, float]:
    """Scores and counts of each class of one image, as a row of a table.

    Parameters
    ----------
    true, pred : (H, W) integers
        Instance maps.
    true_classes, pred_classes : (n_ids + 1,) integers
        Class of each id; class k is ``names[k - 1]``, 0 is no class.
    names : sequence of str
        Names of the classes.
    mpp : float, optional
        Micrometres per pixel; adds detection scores by centroids (`histoscope.metrics.detections`, 3
        micrometres).

    Returns
    -------
    dict of str to float
        For a class ``misc``: ``pq_misc, f1_misc`` (NaN if there are no nuclei of it), and the counts of the
        matching at IoU > 0.5, which add up over images, ``tp_misc, fp_misc, fn_misc, sum_iou_misc``. With
        `mpp` also ``detection_f1_misc`` and its counts ``found_misc`` (paired, right class),
        ``confused_misc`` (paired, wrong class on one side) and ``unpaired_misc``.

    Raises
    ------
    ConfigError
        If class names are not unique, not text, or clash with a score of all nuclei.
    ShapeError
        As in `match_by_class`.

    Examples
    --------
    >>> row = class_scores([[1, 1, 0, 2]], [[3, 3, 0, 4]], [0, 1, 2], [0, 0, 0, 1, 1], ["round", "long"])
    >>> round(row["pq_round"], 3), row["pq_long"], row["fp_round"], row["fn_long"]
    (0.667, 0.0, 1, 1)
    """
    check_class_names(names)
    matches = match_by_class(true, pred, true_classes, pred_classes, n_classes=len(names))
    row: dict[str, float] = {}
    for k, name in enumerate(names, start=1):
        found = matches[k]
        row |= {
            f"pq_{name}": found.pq,
            f"f1_{name}": found.f1,
            f"tp_{name}": found.tp,
            f"fp_{name}": found.fp,
            f"fn_{name}": found.fn,
            f"sum_iou_{name}": found.sum_iou,
        }
    if mpp is not None:
        found_by_centroid = detections(true, pred, true_classes, pred_classes, n_classes=len(names), mpp=mpp)
        for k, name in enumerate(names, start=1):
            row[f"detection_f1_{name}"] = found_by_centroid.f1_of(k)
            counts = zip(("found", "confused", "unpaired"), found_by_centroid.counts_of(k), strict=True)
            row |= {f"{count}_{name}": value for count, value in counts}
    return row
