"""Digests of all that the results of a study depend on: images with labels, classes, initial weights.

Names and patients say which images were meant; only pixels and labels say which were there. Every sample is
read once before anything is trained, so files that cannot be read are found here as well.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from histoscope import data
from histoscope.config import flat
from histoscope.data import Dataset
from histoscope.errors import ConfigError, DataError, HistoscopeError
from histoscope.images.digest import digest_of_parts, digest_of_sample
from histoscope.studies.events import Event, Tell
from histoscope.studies.folder import CONTENT, GIVEN, left_out, read_content
from histoscope.tables import write_table
from histoscope.types import Record

WEIGHTS = "model.safetensors"
CLASSES = "its classes"
"""Name of the row that holds the class names of a set instead of an image."""
TELL_AS = "data/images"


def read(
    sets: Mapping[str, Dataset],
    folder: Path,
    tell: Tell,
    *,
    keys: Sequence[str] = (),
    weights: Mapping[str, Path] | None = None,
) -> pd.DataFrame:
    """Digest every sample of the data sets, and every file of weights.

    Parameters
    ----------
    sets : mapping
        Name -> data set.
    folder : Path
        Of the study; patches whose digests are known there are not decoded again.
    tell : callable
        Given an `Event` for each sample.
    keys : sequence of str
        Columns of the index that the study splits or chooses its images by.
    weights : mapping, optional
        Setting -> file of weights that it names.

    Returns
    -------
    DataFrame
        Columns set, name, digest and problem: what was wrong with a sample that could not be read, else "".
    """
    before = read_content(folder)
    known = dict(zip(before["digest"], before["problem"], strict=True))
    rows, done, total = list[tuple[str, str, str, str]](), 0, sum(map(len, sets.values()))
    for name, dataset in sets.items():
        rows.append((name, CLASSES, digest_of_parts(repr(sorted(dataset.info.classes.items()))), ""))
        for record, digest, problem in _samples(dataset, keys, known):
            rows.append((name, record.name, digest, problem))
            done += 1
            tell(Event(TELL_AS, "read", done, total))
    tell(Event(TELL_AS, "done"))
    rows += [(GIVEN, key, digest_of_parts(path.read_bytes()), "") for key, path in (weights or {}).items()]
    return pd.DataFrame(rows, columns=["set", "name", "digest", "problem"])


def check(folder: Path, found: pd.DataFrame) -> None:
    """Refuse to go on with other images, labels, classes or weights than those that are known in a folder.

    Sets that are new are welcome, and so is a folder without runs, which knows none.

    Raises
    ------
    ConfigError
        With the number of what has changed, and the first of it.
    """
    before = read_content(folder)
    for name in found["set"].unique():
        old, new = (
            part[part["set"] == name].set_index("name")["digest"].to_dict() for part in (before, found)
        )
        changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        if old and changed:
            images = len(new.keys() - {CLASSES})
            raise ConfigError(
                f"{folder} was run on other images, labels or weights: {len(changed)} of {images} in "
                f"{name!r} have changed since (first: {changed[0]}); choose another 'out', or restore the "
                "old ones"
            )


def write(folder: Path, found: pd.DataFrame) -> None:
    """Write the digests, and keep those of sets that were not read now."""
    before = read_content(folder)
    found = pd.concat([found, before[~before["set"].isin(found["set"])]], ignore_index=True)
    write_table(folder / CONTENT, found)


def readable(dataset: Dataset, folder: Path) -> Dataset:
    """Leave out what could not be read when the study in `folder` began; a new study leaves out nothing."""
    lacking = left_out(folder)
    kept = [index for index, record in enumerate(dataset.records) if record.name not in lacking]
    return dataset if len(kept) == len(dataset) else data.subset(dataset, kept)


def require_readable(found: pd.DataFrame, learned: Collection[tuple[str, str]]) -> None:
    """Refuse to train where something to learn from cannot be read.

    Parameters
    ----------
    found : DataFrame
        From `read`.
    learned : collection of (str, str)
        Set and name of each image that is learned from.

    Raises
    ------
    DataError
        With the first of them, and how many there are.
    """
    broken = found[found["problem"] != ""]
    lacking = [row for row in broken.itertuples() if (row.set, row.name) in learned]
    if lacking:
        raise DataError(
            f"{len(lacking)} of {len(learned)} training images cannot be read (first: "
            f"{lacking[0].name!r}: {lacking[0].problem}); replace them, or remove them from the index"
        )


def _samples(
    dataset: Dataset, keys: Sequence[str], known: Mapping[str, str]
) -> Iterator[tuple[Record, str, str]]:
    """Record, digest and problem of each sample."""
    places = [dataset.image_path(index) for index in range(len(dataset))]
    times = Counter(places)  # many patches of one file have one digest
    for index, (record, path) in enumerate(zip(dataset.records, places, strict=True)):
        about = repr((dataset.info.mpp, record.label, [record.group(key) for key in keys]))
        # A patch is its file and its class: what is known already need not be decoded.
        is_file = record.label is not None and path is not None and times[path] == 1 and path.is_file()
        digest = digest_of_parts(about, path.read_bytes()) if path is not None and is_file else ""
        if digest in known:
            yield record, digest, known[digest]
            continue
        try:
            sample = dataset[index]
        except (HistoscopeError, OSError) as error:
            yield record, digest or digest_of_parts(about, "not readable"), str(error)
        else:
            yield record, digest or digest_of_sample(sample, about), ""


def weight_files(settings: Mapping[str, Any], root: Path) -> dict[str, Path]:
    """Files of weights that settings name, by their keys; a path starts here, or else from `root`."""
    found: dict[str, Path] = {}
    for key, value in flat(dict(settings)).items():
        if isinstance(value, str | Path) and str(value):
            places = (place / WEIGHTS if place.is_dir() else place for place in (Path(value), root / value))
            file = next((place for place in places if place.is_file()), None)
            found |= {} if file is None else {key: file}
    return found
