"""Nuclei as geometry and a table."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import ShapeError
from histoscope.labels import centroids, relabel
from histoscope.nuclei.outlines import Outlines, trace
from histoscope.types import MAX_ID, Labels

KEPT_PX = 1 << 24
"""A label map of more pixels (64 MiB) is not cached, but drawn at each access."""


class _LabelMap:
    """The field `instances`: given as a map or as outlines, read as a map."""

    def __get__(self, nuclei: "Nuclei | None", owner: type) -> Labels:
        if nuclei is None:
            raise AttributeError("instances")  # a field without a default
        held = nuclei.__dict__
        labels: Labels | None = held.get("_labels")
        if labels is None:
            labels = nuclei.to_labels()
            if labels.size <= KEPT_PX:
                held["_labels"] = labels
        return labels

    def __set__(self, nuclei: "Nuclei", value: Labels | Outlines) -> None:
        nuclei.__dict__["outlines" if isinstance(value, Outlines) else "_labels"] = value


@dataclass(frozen=True, eq=False, repr=False)
class Nuclei:
    """Detected nuclei: outlines that encode their pixels exactly, and arrays with one row per nucleus.

    Created from a label map or from outlines; the other is made when it is first used.

    Parameters
    ----------
    centroid_px : (N, 2) float32
        x, y in pixels of the input image.
    class_id : (N,) uint8
        Class of each, from 1; 0 where the model has no classes, or is not sure enough of one.
    probability : (N,) float32
        In [0, 1].
    instances : (H, W) int32, or Outlines
        Pixels or outlines; row k of the table is id k + 1. The attribute is the label map.
    mpp : float
        Micrometres per pixel of the input image.
    class_probability : (N, C) float32 or None
        Of class 1, 2, ...; rows sum to one. None where the model has no classes.
    shape : (int, int)
        Height and width of the image; not needed with a label map.

    Raises
    ------
    ShapeError
        If outlines are given without a shape, or a label map with another one.

    Examples
    --------
    >>> labels = np.array([[0, 1, 1], [2, 0, 1]], np.int32)
    >>> nuclei = Nuclei.from_labels(labels, mpp=0.5, classes=[0, 3, 1])
    >>> nuclei
    Nuclei(2 in 3 x 2 pixels of 0.5 um)
    >>> nuclei.class_id.tolist(), nuclei.area_px.tolist()
    ([3, 1], [3, 1])
    >>> nuclei.to_labels(corner=(0, 1), shape=(2, 2)).tolist()
    [[1, 1], [0, 1]]
    """

    centroid_px: NDArray[np.float32]
    class_id: NDArray[np.uint8]
    probability: NDArray[np.float32]
    instances: _LabelMap = _LabelMap()
    mpp: float  # type: ignore[misc]  # the descriptor before it is no default
    class_probability: NDArray[np.float32] | None = None
    shape: tuple[int, int] = (-1, -1)

    def __post_init__(self) -> None:
        labels = self.__dict__.get("_labels")
        known = None if labels is None else labels.shape
        if known is None and self.shape == (-1, -1):
            raise ShapeError("outlines do not say how large their image is; give shape=(height, width)")
        if known is not None and self.shape not in {(-1, -1), known}:
            raise ShapeError(f"label map has shape {known}, but shape is {self.shape}; leave shape out")
        if known is not None:
            object.__setattr__(self, "shape", known)

    def __len__(self) -> int:
        return len(self.centroid_px)

    def __repr__(self) -> str:
        height, width = self.shape
        return f"Nuclei({len(self)} in {width} x {height} pixels of {self.mpp:g} um)"

    @property
    def may_be_unsure(self) -> bool:
        """Whether class 0 says that a model, which gave its classes probabilities, was not sure of one."""
        return self.class_probability is not None

    @classmethod
    def from_labels(
        cls,
        labels: Labels,
        *,
        mpp: float,
        classes: NDArray[np.uint8] | Sequence[int] | None = None,
        probability: NDArray[np.float32] | None = None,
    ) -> "Nuclei":
        """Nuclei of a label map, such as the ground truth of a `Sample`.

        Parameters
        ----------
        labels : (H, W) integers
            0 is background. Ids stay as they are: the table has a row for each up to the largest.
        mpp : float
            Micrometres per pixel.
        classes : (n_ids + 1,) uint8, optional
            Class of each id, as a `Sample` has it; 0 is background or unknown.
        probability : (N,) float32, optional
            Of each nucleus; 1 by default.

        Raises
        ------
        ShapeError
            If the map is not (H, W) of whole numbers of 0 and above, or holds ids too large for a table, or
            if `classes` or `probability` do not fit.
        """
        if labels.ndim != 2 or labels.dtype.kind not in "iu":
            raise ShapeError(f"label map is {labels.shape} {labels.dtype}, expected (H, W) whole numbers")
        n = int(labels.max(initial=0))
        if n > max(MAX_ID, labels.size):
            raise ShapeError(
                f"label map holds the id {n}; number nuclei 1, 2, 3 with histoscope.labels.relabel"
            )
        _, centroid_px = centroids(labels, n)
        class_id = np.zeros(n, np.uint8) if classes is None else np.asarray(classes, np.uint8)[1 : n + 1]
        sure = np.ones(n, np.float32) if probability is None else probability
        if len(class_id) != n or len(sure) != n:
            raise ShapeError(
                f"got classes of {len(class_id)} and probabilities of {len(sure)} nuclei for ids up to {n}; "
                "expected one for each id, and in classes a first entry for background"
            )
        return cls(centroid_px.astype(np.float32), class_id, sure, np.asarray(labels, np.int32), mpp)

    @cached_property
    def outlines(self) -> Outlines:
        """Outlines of all nuclei, exact to the pixel."""
        return trace(self.__dict__["_labels"])

    @property
    def area_px(self) -> NDArray[np.int64]:
        """Pixels of each nucleus, (N,)."""
        if "_labels" in self.__dict__:
            return centroids(self.__dict__["_labels"], len(self))[0]
        return self.outlines.areas_px(len(self))

    def to_labels(self, shape: tuple[int, int] | None = None, *, corner: tuple[int, int] = (0, 0)) -> Labels:
        """Draw a label map, or a window of it; ids are 1, 2, ... in the order of the table.

        Parameters
        ----------
        shape : (int, int), optional
            Height and width; by default those of the image.
        corner : (int, int)
            Row and column of the first pixel.
        """
        return self.outlines.to_labels(self.shape if shape is None else shape, corner=corner)

    def without_map(self) -> "Nuclei":
        """The same nuclei as outlines only, whose memory does not depend on the size of the image."""
        return replace(self, instances=self.outlines)

    def taken(self, keep: NDArray[np.bool_]) -> "Nuclei":
        """The nuclei to keep, (N,) bool, renumbered without gaps."""
        if keep.all():
            return self
        held, classes = self.__dict__, self.class_probability
        known = "_labels" in held
        return Nuclei(
            self.centroid_px[keep],
            self.class_id[keep],
            self.probability[keep],
            relabel(held["_labels"], keep)[0] if known else self.outlines.taken(keep),
            self.mpp,
            None if classes is None else classes[keep],
            self.shape,
        )
