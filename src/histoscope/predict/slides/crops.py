"""Patches of a slide for a classifier, cut from larger blocks that are read once."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from histoscope.classify.batches import BATCH
from histoscope.predict.patch_classifier import PatchClassifier
from histoscope.slides import Box
from histoscope.slides.salvage import Broken
from histoscope.types import Image, Sample

BLOCK_PX = 1024
"""Side of the blocks that are read for overlapping patches."""
Read: TypeAlias = Callable[[Box], tuple[Image, list[Broken]]]


@dataclass(frozen=True, eq=False, slots=True)
class Crops(Sequence[Sample]):
    """Crops of an image from a slide.

    Parameters
    ----------
    image : (h, w, 3) uint8
    around : Box
        Position of the image, in pixels of its resolution.
    box_px : (N, 4) int64
        Left, top, right and bottom edge of each crop, in the same pixels.
    mpp : float
        Micrometres per pixel.

    Examples
    --------
    >>> image = np.eye(3, dtype=np.uint8)[..., None].repeat(3, axis=2)
    >>> crops = Crops(image, Box(5, 5, 3, 3), np.array([[6, 5, 8, 7]]), 0.5)
    >>> crops[0].image[..., 0].tolist()
    [[0, 0], [1, 0]]
    """

    image: Image
    around: Box
    box_px: NDArray[np.int64]
    mpp: float

    def __len__(self) -> int:
        return len(self.box_px)

    def __getitem__(self, index: Any) -> Any:
        left, top, right, bottom = (self.box_px[index] - (*self.around[:2], *self.around[:2])).tolist()
        return Sample(self.image[top:bottom, left:right], self.mpp)


def probabilities(classifier: PatchClassifier, patches: Sequence[Sample]) -> NDArray[np.float32]:
    """(N, C) probabilities of stain-normalised patches.

    All batches are full, since a network rounds differently in a smaller one; so results do not depend on how
    a slide is divided.
    """
    full = _Filled(patches, classifier.network.spec.patch_px, classifier.network.input_mpp)
    found = np.zeros((len(full), len(classifier.classes)), np.float32)
    for seen in classifier.through(full):
        found[seen.indices] = seen.values
    return found[: len(patches)]


@dataclass(frozen=True, eq=False, slots=True)
class _Filled(Sequence[Sample]):
    """Patches, padded with black ones to a multiple of the batch size."""

    patches: Sequence[Sample]
    side_px: int
    mpp: float

    def __len__(self) -> int:
        return -(-len(self.patches) // BATCH) * BATCH

    def __getitem__(self, index: Any) -> Any:
        if index < len(self.patches):
            return self.patches[index]
        return Sample(np.zeros((self.side_px, self.side_px, 3), np.uint8), self.mpp)


class Blocks(Sequence[Sample]):
    """Patches around positions on a slide, read block by block, so that neighbours share reads.

    A block is read while the previous one is processed, and kept until all its patches were requested, each
    once and roughly in order; several threads may request them.

    Parameters
    ----------
    read : callable
        Maps a box to its pixels, and the boxes in it that could not be read, with the reason.
    box_px : (N, 4) int64
        Left, top, right and bottom edge of each patch.
    mpp : float
        Micrometres per pixel.

    Attributes
    ----------
    order : (N,) int64
        Patch k is ``box_px[order[k]]``; patches of the same block are consecutive.
    broken : list of Broken
        Places that could not be read, in the requested blocks.
    """

    def __init__(self, read: Read, box_px: NDArray[np.int64], mpp: float) -> None:
        self.mpp = mpp
        self.broken: list[Broken] = []
        self._read_box = read
        block = box_px[:, :2] // BLOCK_PX
        self.order = np.lexsort((block[:, 0], block[:, 1]))
        self._box_px = box_px[self.order]
        _, first, self._block = np.unique(
            block[self.order][:, ::-1], axis=0, return_index=True, return_inverse=True
        )
        self._spans = list(zip(first.tolist(), [*first[1:].tolist(), len(box_px)], strict=True))
        self._left = {k: last - first for k, (first, last) in enumerate(self._spans)}
        self._ahead: dict[int, Future[Crops]] = {}
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(1, "blocks")

    def __len__(self) -> int:
        return len(self._box_px)

    def __getitem__(self, index: Any) -> Any:
        """One patch; raises the error of a place that could not be read."""
        k = int(self._block[index])
        with self._lock:
            for wanted in (k, k + 1):
                if wanted not in self._ahead and self._left.get(wanted, 0) > 0:
                    self._ahead[wanted] = self._pool.submit(self._read, wanted)
            block = self._ahead[k]
            self._left[k] -= 1
            if not self._left[k]:
                del self._ahead[k]
        return block.result()[index - self._spans[k][0]]

    def close(self) -> None:
        """Wait for reads in progress."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _read(self, k: int) -> Crops:
        box_px = self._box_px[slice(*self._spans[k])]
        around = box_around(box_px)
        image, broken = self._read_box(around)
        self.broken += broken
        return Crops(image, around, box_px, self.mpp)


def box_around(box_px: NDArray[np.int64]) -> Box:
    """Smallest box around some boxes, given by their left, top, right and bottom edges."""
    x0, y0 = box_px[:, :2].min(axis=0).tolist()
    x1, y1 = box_px[:, 2:].max(axis=0).tolist()
    return Box(x0, y0, x1 - x0, y1 - y0)


def touched_by(box_px: NDArray[np.int64], places: Sequence[Box]) -> NDArray[np.bool_]:
    """(N,) whether a box (left, top, right, bottom) overlaps one of the places."""
    left, top, right, bottom = box_px.T
    hit = np.zeros(len(box_px), bool)
    for place in places:
        beside = (right <= place.x) | (left >= place.x + place.width)
        hit |= ~(beside | (bottom <= place.y) | (top >= place.y + place.height))
    return hit
