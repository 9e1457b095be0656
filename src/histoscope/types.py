"""Samples, records, and type aliases of arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import ShapeError
from histoscope.lazy import attach
from histoscope.words import count

if TYPE_CHECKING:
    from histoscope.nuclei import Nuclei

__all__ = ["MAX_ID", "Floats", "Image", "Labels", "Mask", "Nuclei", "Record", "Sample", "class_key"]

__getattr__, __dir__ = attach(__name__, {"Nuclei": "histoscope.nuclei"})

Image: TypeAlias = NDArray[np.uint8]
"""(H, W, 3) uint8 RGB."""
Labels: TypeAlias = NDArray[np.int32]
"""(H, W) int32 instance map: 0 is background, each positive integer one nucleus."""
Mask: TypeAlias = NDArray[np.bool_]
"""(H, W) bool."""
Floats: TypeAlias = NDArray[np.floating]

MAX_ID = 20_000_000
"""Samples hold ids up to this, or up to their number of pixels, so that tables indexed by id fit in
memory."""

_NO_TAGS: Mapping[str, str] = MappingProxyType({})


def class_key(name: str) -> str:
    """Class name for comparison: case and extra spaces are ignored.

    Examples
    --------
    >>> class_key(" Tumour  cell ") == class_key("tumour cell")
    True
    """
    return " ".join(name.casefold().split())


@dataclass(frozen=True, slots=True)
class Record:
    """Metadata of a sample, without pixels.

    Splits and audits work on records, so they cost no decoding.

    Parameters
    ----------
    name : str
        Unique in its data set.
    patient, source : str
        Patient and source image or slide; neither may be on both sides of a split.
    split : str
        The published part ("train", "test") or "".
    label : int or None
        Class of a whole patch; None for images with instance maps.
    tags : mapping of str to str
        Further columns of the index, such as ``site`` or ``organ``.
    """

    name: str
    patient: str = ""
    source: str = ""
    split: str = ""
    label: int | None = None
    tags: Mapping[str, str] = field(default_factory=lambda: _NO_TAGS)

    def group(self, key: str) -> str:
        """Value of ``patient``, ``source``, ``name``, ``split``, or of the tag `key` ("" if absent)."""
        if key in {"name", "patient", "source", "split"}:
            return str(getattr(self, key))
        return self.tags.get(key, "")


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """An image with its ground truth; immutable.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB.
    mpp : float
        Micrometres per pixel.
    instances : (H, W) int32, optional
        Instance map; 0 is background.
    classes : (n_ids + 1,) uint8, optional
        Class of each instance id; 0 is background or unknown.
    label : int, optional
        Class of the whole patch, from 0.
    name, source, patient : str
        Where it comes from.

    Raises
    ------
    ShapeError
        If an array has a type or shape other than stated, if they do not fit together, or if a number is
        impossible: later code need not check again.

    Examples
    --------
    >>> Sample(np.zeros((4, 6, 3), np.uint8), 0.5, np.eye(4, 6, dtype=np.int32), name="a")
    Sample('a', 6 x 4 pixels of 0.5 um, 1 nucleus)
    """

    image: Image
    mpp: float
    instances: Labels | None = None
    classes: NDArray[np.uint8] | None = None
    label: int | None = None
    name: str = ""
    source: str = ""
    patient: str = ""

    def __repr__(self) -> str:
        parts = [] if not self.name else [repr(self.name)]
        parts.append(f"{self.image.shape[1]} x {self.image.shape[0]} pixels of {self.mpp:g} um")
        if self.instances is not None:
            ids = np.flatnonzero(np.bincount(self.instances.ravel())[1:]) + 1
            classes = set() if self.classes is None else set(self.classes[ids].tolist()) - {0}
            parts.append(count(len(ids), "nucleus") + f" in {count(len(classes), 'class')}" * bool(classes))
        if self.label is not None:
            parts.append(f"label {self.label}")
        return f"Sample({', '.join(parts)})"

    def __post_init__(self) -> None:
        image = self.image
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape[2:] != (3,):
            raise self._wrong(f"image is {_form(image)}, expected (H, W, 3) uint8 RGB")
        if not _is_number(self.mpp) or not 0 < self.mpp < np.inf:
            raise self._wrong(f"mpp is {self.mpp}, expected micrometres per pixel above 0")
        if self.label is not None and (not isinstance(self.label, int | np.integer) or self.label < 0):
            raise self._wrong(f"label is {self.label!r}, expected a class number, 0 or above")
        if self.instances is not None:
            self._check_instances(self.instances)
        if self.classes is not None:
            self._check_classes(self.classes)

    @property
    def has_classes(self) -> bool:
        """Whether the class of a nucleus is known."""
        return self.classes is not None and bool(self.classes[1:].any())

    def _check_instances(self, instances: Labels) -> None:
        if not isinstance(instances, np.ndarray) or instances.dtype != np.int32:
            raise self._wrong(
                f"label map is {_form(instances)}, expected (H, W) int32; "
                "where it holds whole numbers, convert it with astype(np.int32)"
            )
        if instances.shape != self.image.shape[:2]:
            raise self._wrong(
                f"label map is {instances.shape}, its image {self.image.shape[:2]}; "
                "they must have the same height and width"
            )
        low, high = int(instances.min(initial=0)), int(instances.max(initial=0))
        if low < 0:
            raise self._wrong(
                f"label map holds the negative id {low}, expected 0 for background, ids above 0"
            )
        if high > max(MAX_ID, instances.size):
            raise self._wrong(
                f"label map holds the id {high}, expected ids up to {max(MAX_ID, instances.size)}; "
                "number them 1, 2, 3 with histoscope.data.compact"
            )

    def _check_classes(self, classes: NDArray[np.uint8]) -> None:
        if not isinstance(classes, np.ndarray) or classes.dtype != np.uint8 or classes.ndim != 1:
            raise self._wrong(f"classes are {_form(classes)}, expected (ids + 1,) uint8")
        top = 0 if self.instances is None else int(self.instances.max(initial=0))
        if len(classes) <= top:
            raise self._wrong(
                f"{len(classes)} class entries for instance ids up to {top}; "
                "expected one for each id and one for background"
            )

    def _wrong(self, what: str) -> ShapeError:
        return ShapeError(f"sample {self.name!r}: {what}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _form(array: object) -> str:
    """Shape and dtype of an array; for anything else, its type."""
    return f"{array.shape} {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
