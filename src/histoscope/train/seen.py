"""Which images of a data set a model has seen."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from histoscope import data
from histoscope.data import Dataset, Datasheet
from histoscope.data.base import Progress
from histoscope.data.leaks.audit import landmarks_of
from histoscope.data.leaks.copies import find_copies
from histoscope.errors import HistoscopeError
from histoscope.files import read_image
from histoscope.images.digest import digest_of
from histoscope.train.provenance import GENERATOR, REFERENCE, UNKNOWN, digests_of
from histoscope.types import Record, Sample
from histoscope.words import count

TRAIN, VALIDATION, PATIENT, COPY, UNSEEN = "train", "validation", "patient", "copy", ""
_OF_PARTS = {"val": VALIDATION, GENERATOR: GENERATOR, REFERENCE: REFERENCE}
_ORDER = (TRAIN, VALIDATION, GENERATOR, REFERENCE)
"""If an image is in several parts of the list, the first of these is reported."""
MIN_SIMILARITY = 0.8
"""Correlation of aligned pictures from which one counts as a copy, as in `histoscope.data.leaks.audit`."""

DRAWN = "synth"
"""Name of the data sets that `histoscope synth` writes."""

_FOLDERS = {"root", "initial_weights", "begin_from", "weights"}  # `begin_from` in files of 0.1


@dataclass(frozen=True, slots=True)
class Seen:
    """Which images of a data set a model has seen.

    Parameters
    ----------
    status : tuple of str
        One a record: ``train`` or ``validation`` (these pixels were learned from, or validated on),
        ``generator`` (synthetic images that were learned from are fitted to it), ``reference`` (stains are
        normalised to it), ``copy`` (a turned, rescaled or recompressed copy was learned from), ``patient``
        (other images of the patient were), or "".
    renamed : tuple of str
        Names that were learned from, of images with other pixels: they count as unseen.
    not_compared : int
        Training images that are no longer where they were, so copies of them are not found.
    unknown : tuple of str
        Models that training started from and whose training data are not known.
    """

    status: tuple[str, ...]
    renamed: tuple[str, ...] = ()
    not_compared: int = 0
    unknown: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        """Images of each status."""
        found = Counter(self.status)
        return {status or "unseen": found[status] for status in (*_ORDER, COPY, PATIENT, UNSEEN)}

    def __str__(self) -> str:
        """Summary in words."""
        n = self.counts()
        words = {
            TRAIN: "trained on",
            VALIDATION: "validated on",
            GENERATOR: "that synthetic training images are fitted to",
            REFERENCE: "that stains are normalised to",
            COPY: "copied from one of these",
            PATIENT: "of a patient (or slide) that was trained on",
        }
        parts = [f"{n[status]} {what}" for status, what in words.items() if n[status]]
        total = len(self.status)
        if not parts:
            return f"the model has seen none of {count(total, 'image')}"
        return f"the model has seen {total - n['unseen']} of {count(total, 'image')}: {', '.join(parts)}"

    def notes(self) -> list[str]:
        """Notes to show beside the counts."""
        said = []
        if self.renamed:
            said.append(
                f"same name, different pixels: {count(len(self.renamed), 'image')}, such as "
                f"{self.renamed[0]!r}; "
                "not counted as seen"
            )
        if self.not_compared:
            said.append(
                f"cannot look for copies of {count(self.not_compared, 'training image')}: their files are "
                "not here"
            )
        if self.unknown:
            began = ", ".join(self.unknown)
            said.append(f"it is not known which images are behind {began}, which training used")
        return said


def roots_of(model: str | Path) -> tuple[Path, ...]:
    """Folders of the data sets that a model learned from, as far as they are here.

    The settings beside it name them; those of what training began from are looked at too.
    """
    found, todo, done = list[Path](), [Path(model)], set[Path]()
    while todo:
        folder = todo.pop()
        if folder.resolve() in done:
            continue
        done.add(folder.resolve())
        for path in (folder / "config.yaml", folder.parent / "config.yaml"):
            for key, place in _places(path):
                (found if key == "root" else todo).append(place)
    return tuple(dict.fromkeys(found))


def _places(path: Path) -> Iterator[tuple[str, Path]]:
    """Folders that settings name as data sets, or as weights to begin from."""
    try:
        todo: list[Any] = [yaml.safe_load(path.read_text(encoding="utf-8"))]
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return
    while todo:
        value = todo.pop()
        pairs = value.items() if isinstance(value, dict) else ()
        todo += [*value] if isinstance(value, list) else [inner for _, inner in pairs]
        for key, inner in pairs:
            if key in _FOLDERS and isinstance(inner, str) and Path(inner).is_dir():
                yield key, Path(inner)


def seen_in(
    learned: pd.DataFrame,
    dataset: Dataset,
    *,
    audit: bool = False,
    roots: Iterable[Path] = (),
    progress: Progress | None = None,
) -> Seen:
    """Find the images of a data set that a model has seen.

    Parameters
    ----------
    learned : DataFrame
        From `read`.
    dataset : Dataset
        Neither normalised nor resampled.
    audit : bool
        Look for copies too, by their landmarks (`histoscope.data.leaks.copies`); it takes the files that were
        learned from.
    roots : iterable of Path
        Folders where these files may lie, at any depth; they are known by their names and pixels.
    progress : callable, optional
        Called with (pictures read, all pictures) while copies are looked for.
    """
    unknown = tuple(learned.loc[learned["part"] == UNKNOWN, "data"])
    learned = learned[learned["part"] != UNKNOWN]
    pairs = zip(learned["pixels"], (_OF_PARTS.get(part, TRAIN) for part in learned["part"]), strict=True)
    in_order = sorted(pairs, key=lambda pair: _ORDER.index(pair[1]), reverse=True)
    by_pixels = {pixels: status for pixels, status in in_order if pixels}
    digests = digests_of(dataset)
    status = [by_pixels.get(pixels, UNSEEN) for pixels in digests]
    # Drawn patients are called alike in each set; a person of such a name is somebody else.
    named = learned if dataset.info.name == DRAWN else learned[learned["data"] != DRAWN]
    names, known = set(named["name"]), _patients(named)
    renamed = tuple(
        record.name
        for record, pixels, found in zip(dataset.records, digests, status, strict=True)
        if found == UNSEEN and pixels and record.name in names
    )
    lacking = 0
    if audit:
        others = [place for place, found in enumerate(status) if found == UNSEEN]
        copies, lacking = _copies(learned, data.subset(dataset, others), roots, progress)
        for place in copies:
            status[others[place]] = COPY
    status = [found or known(record) for found, record in zip(status, dataset.records, strict=True)]
    return Seen(tuple(status), renamed, lacking, unknown)


def _patients(learned: pd.DataFrame) -> Callable[[Record], str]:
    """Whether a record is of a patient that was learned from; where no patient is known, of a source."""
    patients = set(learned["patient"]) - {""}
    sources = set(learned["source"]) - {""}
    alone = set(learned.loc[learned["patient"] == "", "source"]) - {""}

    def status(record: Record) -> str:
        slides = alone if record.patient else sources
        return PATIENT if record.patient in patients or record.source in slides else UNSEEN

    return status


def _copies(
    learned: pd.DataFrame, dataset: Dataset, roots: Iterable[Path], progress: Progress | None
) -> tuple[list[int], int]:
    """Places of images that copy one that was learned from, and how many of those are not here."""
    files = _found(learned, roots)
    lacking = int((~learned["pixels"].isin(list(files))).sum())
    if not files or not len(dataset):
        return [], lacking
    known = _Files(list(files.values()))
    pictures, _ = landmarks_of({"learned": known, "given": dataset}, progress)
    part = np.repeat([0, 1], [len(known), len(dataset)])
    found = find_copies(pictures, part, MIN_SIMILARITY)
    return sorted({copy.right - len(known) for copy in found}), lacking


def _found(learned: pd.DataFrame, roots: Iterable[Path]) -> dict[str, Path]:
    """Files that were learned from, by the digests of their pixels."""
    names = {file.replace("\\", "/").rsplit("/", 1)[-1] for file in learned["file"]} - {""}
    places = {Path(file) for file in learned["file"] if Path(file).is_absolute()}  # lists of before
    for folder, _, files in (place for root in dict.fromkeys(roots) for place in os.walk(root)):
        places |= {Path(folder, file) for file in names.intersection(files)}

    def digest(path: Path) -> str:
        try:
            return digest_of(read_image(path))
        except (HistoscopeError, OSError):
            return ""

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pairs = zip(pool.map(digest, ordered := sorted(places)), ordered, strict=True)
        found = dict(pairs)
    wanted = set(learned["pixels"]) - {""}
    return {pixels: path for pixels, path in found.items() if pixels in wanted}


class _Files(Dataset):
    """Image files without labels."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files

    @property
    def info(self) -> Datasheet:
        return Datasheet("files")

    @property
    def records(self) -> tuple[Record, ...]:
        return tuple(Record(str(file)) for file in self._files)

    def __getitem__(self, index: int) -> Sample:
        return Sample(read_image(self._files[index]), mpp=1.0)

    def image_path(self, index: int) -> Path | None:
        return self._files[index]
