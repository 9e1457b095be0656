"""The protocol of data sets: datasheet, records, samples, verification."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from histoscope.brief import brief
from histoscope.data.checks import Problem, Progress, check_samples
from histoscope.data.origins import Row
from histoscope.errors import DataError
from histoscope.images.resolution import check_mpp
from histoscope.types import Labels, Record, Sample
from histoscope.words import count

__all__ = (
    "Dataset",
    "Datasheet",
    "Problem",
    "Progress",
    "check_samples",
    "classes_of",
    "count_records",
    "require_mpp",
)


@brief
@dataclass(frozen=True, slots=True)
class Datasheet:
    """Datasheet of a data set: name, licence, citation, classes, pixel size and counts.

    Parameters
    ----------
    name, title : str
        Short and full name.
    url, licence, citation : str
        Where it comes from, its licence, and the paper to cite.
    classes : mapping of int to str
        Name of each class: of nuclei (ids from 1; 0 is background or unknown) or of whole patches (from 0).
    mpp : float
        Micrometres per pixel; 0 in the datasheet of a reader that has no default.
    counts : mapping of str to int
        ``images``, ``patients``, ``sources``, ``nuclei``, and images in each published part, where known.
    origins : tuple of rows
        For synthetic images, the real ones that they were fitted to, as in `histoscope.data.origins`.
    """

    name: str
    title: str = ""
    url: str = ""
    licence: str = ""
    citation: str = ""
    classes: Mapping[int, str] = field(default_factory=dict)
    mpp: float = 0.0
    counts: Mapping[str, int] = field(default_factory=dict)
    origins: tuple[Row, ...] = ()


class Dataset(Protocol):
    """Data set: images with their ground truth.

    A reader defines `info`, `records` and ``__getitem__``; the rest follows from them. Subclassing is not
    needed: anything with these members is a data set.
    """

    @property
    def info(self) -> Datasheet:
        """The datasheet."""
        ...

    @property
    def records(self) -> tuple[Record, ...]:
        """What is known about each sample without decoding pixels."""
        ...

    def __getitem__(self, index: int) -> Sample: ...

    def __repr__(self) -> str:
        info = self.info
        patients = info.counts.get("patients", 0)
        of = f" of {count(patients, 'patient')}" if patients else ""
        scale = f", {info.mpp:g} um a pixel" if info.mpp else ""
        return f"{type(self).__name__.lstrip('_')}({info.name!r}, {count(len(self), 'image')}{of}{scale})"

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def image_path(self, index: int) -> Path | None:
        """Find the file whose pixels are the image of sample `index`, if there is one."""
        return None

    def data_name(self, index: int) -> str:
        """Name of the data set that sample `index` comes from, also if several are joined."""
        return self.info.name

    def verify(self, *, progress: Progress | None = None) -> list[Problem]:
        """Read everything and list what is wrong; never raises for a bad file."""
        return check_samples(self, progress)


def count_records(records: Sequence[Record]) -> dict[str, int]:
    """Number of images, patients, sources, nuclei and images of each part, as far as records give them."""
    counts = {"images": len(records)}
    for key in ("patient", "source"):
        values = {record.group(key) for record in records} - {""}
        if values:
            counts[f"{key}s"] = len(values)
    nuclei = [record.tags.get("n_nuclei", "") for record in records]
    if nuclei and all(text.isdecimal() for text in nuclei):
        counts["nuclei"] = sum(map(int, nuclei))
    parts = Counter(record.split for record in records if record.split)
    return counts | {part: parts[part] for part in sorted(parts)}


def require_mpp(mpp: float | None, name: str) -> float:
    """Return `mpp`, or say how to give it.

    Raises
    ------
    DataError
        If it is missing.
    ConfigError
        If no microscope has such a pixel size.
    """
    if mpp is None:
        raise DataError(
            f"the pixel size of data set {name!r} is unknown; give it in micrometres per pixel as "
            "mpp=0.25 (command line: --mpp 0.25; for the data set of --like, --like-mpp 0.25), or as a "
            "line 'mpp: 0.25' in dataset.yaml"
        )
    return check_mpp(float(mpp), f"mpp of data set {name!r}")


def classes_of(instances: Labels, class_map: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Class of each instance (n_ids + 1,): the most common in its pixels (the smaller class id wins a tie).

    Background (0) in the class map counts only where an instance has nothing else. The ids of `instances`
    should have no large gaps, see `histoscope.data.compact`.

    Examples
    --------
    >>> classes_of(np.array([[1, 1, 1, 0, 3]], np.int32), np.array([[2, 2, 1, 0, 4]])).tolist()
    [0, 2, 0, 4]
    """
    n_ids, n_classes = int(instances.max(initial=0)) + 1, int(class_map.max(initial=0)) + 1
    votes = np.bincount(
        (instances.astype(np.int64) * n_classes + class_map).ravel(), minlength=n_ids * n_classes
    ).reshape(n_ids, n_classes)
    votes[:, 0] = 0
    votes[0] = 0
    classes: NDArray[np.uint8] = votes.argmax(axis=1).astype(np.uint8)
    return classes
