"""The nouns: sample, record, nuclei, and names for the arrays that functions take."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import ShapeError

Image: TypeAlias = NDArray[np.uint8]
"""(H, W, 3) uint8 RGB."""
Labels: TypeAlias = NDArray[np.int32]
"""(H, W) int32 instance map: 0 is background, each positive integer one nucleus."""
Mask: TypeAlias = NDArray[np.bool_]
"""(H, W) bool."""
Floats: TypeAlias = NDArray[np.floating]

_NO_TAGS: Mapping[str, str] = MappingProxyType({})


def class_key(name: str) -> str:
    """Name of a class as it is compared: capitals and spaces do not count.

    Examples
    --------
    >>> class_key(" Tumour  cell ") == class_key("tumour cell")
    True
    """
    return " ".join(name.casefold().split())


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a sample without reading its pixels.

    Splits and audits work on records, so they cost no decoding.

    Parameters
    ----------
    name : str
        Unique in its data set.
    patient, source : str
        Whom, and which image or slide, the sample comes from; these must never be on both sides of a split.
    split : str
        The part that its publisher put it in ("train", "test") or "".
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
    """An image with its truth. Never changed in place.

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
        Class of the whole patch.
    name, source, patient : str
        Where it comes from.

    Raises
    ------
    ShapeError
        If the arrays do not fit together.
    """

    image: Image
    mpp: float
    instances: Labels | None = None
    classes: NDArray[np.uint8] | None = None
    label: int | None = None
    name: str = ""
    source: str = ""
    patient: str = ""

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ShapeError(
                f"sample {self.name!r}: image is {self.image.shape} {self.image.dtype}, "
                "expected (H, W, 3) uint8 RGB"
            )
        if not self.mpp > 0:
            raise ShapeError(
                f"sample {self.name!r}: mpp is {self.mpp}, expected micrometres per pixel above 0"
            )
        if self.instances is not None and self.instances.shape != self.image.shape[:2]:
            raise ShapeError(
                f"sample {self.name!r}: label map is {self.instances.shape}, "
                f"its image {self.image.shape[:2]}; they must have the same height and width"
            )
        if self.instances is not None and self.classes is not None:
            top = int(self.instances.max(initial=0))
            if len(self.classes) <= top:
                raise ShapeError(
                    f"sample {self.name!r}: {len(self.classes)} class entries for instance ids up to {top}; "
                    "expected one for each id and one for background"
                )


@dataclass(frozen=True, slots=True, eq=False)
class Nuclei:
    """Detected nuclei, as arrays with one row a nucleus.

    Parameters
    ----------
    centroid_px : (N, 2) float32
        x, y in pixels of the image that was given.
    class_id : (N,) uint8
        Class of each; 0 where the model has no classes.
    probability : (N,) float32
        In [0, 1].
    instances : (H, W) int32
        The same nuclei as a map; row k of the table is id k + 1.
    mpp : float
        Micrometres per pixel of the image that was given.
    class_probability : (N, C) float32 or None
        Of class 1, 2, ...; rows sum to one. None where the model has no classes.
    """

    centroid_px: NDArray[np.float32]
    class_id: NDArray[np.uint8]
    probability: NDArray[np.float32]
    instances: Labels
    mpp: float
    class_probability: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.centroid_px)
