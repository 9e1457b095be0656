"""Finding leaks: the same patient, source or picture on both sides of a split."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.data.base import Dataset, Progress
from histoscope.errors import ConfigError, HistoscopeError
from histoscope.files import read_image

THUMBNAIL_PX = 32
_COARSE_PX = 8
_COARSE_SLACK = 0.15
"""A copy may correlate this much less on 8 x 8 pixels than on 32 x 32 and still be looked at."""
_BLOCK = 2048
_SHOWN = 12

MOVES = (
    "same",
    "rotated 90",
    "rotated 180",
    "rotated 270",
    "flipped",
    "flipped, rotated 90",
    "flipped, rotated 180",
    "flipped, rotated 270",
)


@dataclass(frozen=True, slots=True)
class Leak:
    """Something that two parts share.

    Parameters
    ----------
    kind : {"patient", "source", "name", "image"}
        What is shared; ``image`` is a near-duplicate picture.
    left, right : str
        The two parts.
    left_name, right_name : str
        A sample in each (the first, where a patient or source has several).
    what : str
        The shared patient, source or name; for pictures, how the right one is turned.
    count : int
        Samples of the shared group in both parts together; 2 for pictures and names.
    similarity : float
        Correlation of the thumbnails of near-duplicates; 1 otherwise.
    """

    kind: str
    left: str
    right: str
    left_name: str
    right_name: str
    what: str
    count: int = 2
    similarity: float = 1.0


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What `audit` found; printing it gives a table."""

    leaks: tuple[Leak, ...]
    sizes: Mapping[str, int]
    unreadable: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing is shared."""
        return not self.leaks

    def counts(self) -> dict[str, int]:
        """Leaks of each kind."""
        return dict(Counter(leak.kind for leak in self.leaks))

    def rows(self) -> list[dict[str, Any]]:
        """Give the leaks as plain dictionaries, for a table or JSON."""
        return [asdict(leak) for leak in self.leaks]

    def __str__(self) -> str:
        sizes = ", ".join(f"{name} {size}" for name, size in self.sizes.items())
        found = ", ".join(f"{count} shared {kind}s" for kind, count in self.counts().items())
        lines = [f"audit of {sizes}: {found or 'clean'}"]
        for kind in self.counts():
            leaks = [leak for leak in self.leaks if leak.kind == kind]
            lines += [
                f"  {kind:8} {leak.left}/{leak.left_name} = {leak.right}/{leak.right_name}  {leak.what}"
                + (f"  (r = {leak.similarity:.3f})" if kind == "image" else f"  ({leak.count} samples)")
                for leak in leaks[:_SHOWN]
            ]
            if len(leaks) > _SHOWN:
                lines.append(f"  {kind:8} ... and {len(leaks) - _SHOWN} more")
        if self.unreadable:
            lines.append(
                f"  {len(self.unreadable)} images could not be read and were not compared: "
                + ", ".join(self.unreadable[:3])
            )
        return "\n".join(lines)


def audit(
    parts: Mapping[str, Dataset], *, min_similarity: float = 0.9, progress: Progress | None = None
) -> AuditReport:
    """Compare every part with every other.

    Patients, sources and names are compared as they are written. Pictures are compared as grey thumbnails
    with brightness and contrast taken out, turned and flipped in all eight ways: first all pairs on 8 x 8
    pixels, then what is left on 32 x 32. That finds copies that were rotated by quarter turns, flipped, saved
    again, rescaled, made brighter or paler. It does not find crops, overlapping tiles or copies rotated by
    other angles, against which only knowing the source helps.

    Parameters
    ----------
    parts : mapping of str to Dataset
        Such as ``split.parts()``, or the data sets of a training and a test cohort.
    min_similarity : float
        Correlation of two 32 x 32 thumbnails from which they count as one picture, in (0, 1].
    progress : callable, optional
        Called with (images read, all images).

    Returns
    -------
    AuditReport

    Raises
    ------
    ConfigError
        If there are fewer than two parts or `min_similarity` is out of range.
    """
    if len(parts) < 2:
        raise ConfigError(
            f"an audit compares parts, and {len(parts)} came; give at least two, such as train and test"
        )
    if not 0 < min_similarity <= 1:
        raise ConfigError(f"min_similarity is {min_similarity}, expected a correlation above 0 and up to 1")
    total, done = sum(map(len, parts.values())), 0
    thumbnails: dict[str, NDArray[np.float32]] = {}
    unreadable: list[str] = []
    for name, part in parts.items():
        images = np.zeros((len(part), THUMBNAIL_PX, THUMBNAIL_PX), np.float32)  # blank: matches nothing
        for index, image in enumerate(_thumbnails(part)):
            if image is None:
                unreadable.append(f"{name}/{part.records[index].name}")
            else:
                images[index] = image
            done += 1
            if progress is not None:
                progress(done, total)
        thumbnails[name] = images
    leaks = _shared_groups(parts)
    for left, right in combinations(parts, 2):
        for i, j, move, similarity in near_duplicates(thumbnails[left], thumbnails[right], min_similarity):
            names = parts[left].records[i].name, parts[right].records[j].name
            leaks.append(Leak("image", left, right, *names, MOVES[move], similarity=round(similarity, 4)))
    return AuditReport(tuple(leaks), {name: len(part) for name, part in parts.items()}, tuple(unreadable))


def near_duplicates(
    left: NDArray[np.float32], right: NDArray[np.float32], min_similarity: float
) -> list[tuple[int, int, int, float]]:
    """Pairs of thumbnails that correlate under one of eight moves.

    Parameters
    ----------
    left, right : (N, 32, 32), (M, 32, 32) float32
        Grey thumbnails; blank ones match nothing.
    min_similarity : float
        Least correlation.

    Returns
    -------
    list of (index in left, index in right, index in `MOVES`, correlation)
        One for each pair, with its best move, in the order of the indices.
    """
    found: dict[tuple[int, int], tuple[int, float]] = {}
    fine_left, coarse_left = _unit(left), _unit(_shrink(left))
    for move in range(len(MOVES)):
        turned = _moved(right, move)
        fine_right, coarse_right = _unit(turned), _unit(_shrink(turned))
        for start in range(0, len(left), _BLOCK):
            coarse = coarse_left[start : start + _BLOCK] @ coarse_right.T
            rows, columns = np.nonzero(coarse >= min_similarity - _COARSE_SLACK)
            rows += start
            for block in range(0, len(rows), _BLOCK):
                i, j = rows[block : block + _BLOCK], columns[block : block + _BLOCK]
                fine = np.einsum("nk,nk->n", fine_left[i], fine_right[j])
                for row, column, value in zip(i, j, fine, strict=True):
                    pair = (int(row), int(column))
                    if value >= min_similarity and value > found.get(pair, (0, 0.0))[1]:
                        found[pair] = (move, float(value))
    return [(i, j, *found[i, j]) for i, j in sorted(found)]


def thumbnail(path: str | Path) -> NDArray[np.float32]:
    """Read an image file as 32 x 32 grey; JPEG files are decoded small.

    Raises
    ------
    CorruptDataError
        If it cannot be decoded.
    """
    from PIL import Image as Pillow

    try:
        with Pillow.open(path) as picture:
            picture.draft("RGB", (2 * THUMBNAIL_PX, 2 * THUMBNAIL_PX))
            if picture.mode in {"RGB", "L"}:
                return _small(picture)
    except OSError:
        pass  # a TIFF that Pillow does not know, or a broken file: the full reader decides
    return _small(Pillow.fromarray(read_image(path)))


def _small(picture: Any) -> NDArray[np.float32]:
    from PIL import Image as Pillow

    grey = picture.convert("L").resize((THUMBNAIL_PX, THUMBNAIL_PX), Pillow.Resampling.BOX)
    return np.asarray(grey, np.float32)


def _thumbnails(dataset: Dataset) -> Iterator[NDArray[np.float32] | None]:
    from PIL import Image as Pillow

    def read(index: int) -> NDArray[np.float32] | None:
        try:
            path = dataset.image_path(index)
            return thumbnail(path) if path is not None else _small(Pillow.fromarray(dataset[index].image))
        except (HistoscopeError, OSError):
            return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoders let go of the interpreter
        yield from pool.map(read, range(len(dataset)))


def _moved(images: NDArray[np.float32], move: int) -> NDArray[np.float32]:
    if move >= 4:
        images = images[:, :, ::-1]
    return np.rot90(images, move % 4, axes=(1, 2))


def _shrink(images: NDArray[np.float32]) -> NDArray[np.float32]:
    step = THUMBNAIL_PX // _COARSE_PX
    small: NDArray[np.float32] = images.reshape(-1, _COARSE_PX, step, _COARSE_PX, step).mean(axis=(2, 4))
    return small


def _unit(images: NDArray[np.float32]) -> NDArray[np.float32]:
    flat = images.reshape(len(images), images.shape[1] * images.shape[2])
    flat = flat - flat.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    # Below half a grey level of spread there is no picture, only noise.
    blank = norm < 0.5 * np.sqrt(flat.shape[1])
    unit: NDArray[np.float32] = np.where(blank, 0, flat / np.where(blank, 1, norm)).astype(np.float32)
    return unit


def _shared_groups(parts: Mapping[str, Dataset]) -> list[Leak]:
    leaks = []
    for kind in ("patient", "source", "name"):
        members: dict[str, dict[str, list[str]]] = {name: defaultdict(list) for name in parts}
        for name, part in parts.items():
            for record in part.records:
                members[name][record.group(kind)].append(record.name)
            members[name].pop("", None)
        for left, right in combinations(parts, 2):
            for group in sorted(set(members[left]) & set(members[right])):
                a, b = members[left][group], members[right][group]
                leaks.append(Leak(kind, left, right, a[0], b[0], group, len(a) + len(b)))
    return leaks
