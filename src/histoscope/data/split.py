"""Splits that keep a patient's (or source's, or hospital's) images together."""

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Literal

import numpy as np

from histoscope.data.assignment import assign
from histoscope.data.base import Dataset
from histoscope.data.views import subset
from histoscope.errors import ConfigError, DataError, LeakError
from histoscope.types import Record

PART_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_HOW_TO_GROUP = (
    "; if it is not known which patches belong together, histoscope data audit --groups groups.csv "
    "proposes groups from the images, and data.index: groups.csv (on the command line --option "
    "index=groups.csv) uses them"
)


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Three data sets that share no group; a part that was not requested is empty."""

    train: Dataset
    val: Dataset
    test: Dataset

    def __repr__(self) -> str:
        return f"Split({', '.join(f'{name} {len(part)}' for name, part in self)} images)"

    def parts(self) -> dict[str, Dataset]:
        """The non-empty parts by name, as `audit` takes them."""
        return {name: part for name, part in self if len(part)}

    def __iter__(self) -> Iterator[tuple[str, Dataset]]:
        return iter((("train", self.train), ("val", self.val), ("test", self.test)))


def split_by(
    dataset: Dataset,
    by: str = "patient",
    *,
    train: float = 0.7,
    val: float = 0.15,
    test: float = 0.15,
    stratify: str | None = None,
    seed: int = 0,
) -> Split:
    """Split a data set into parts so that no group is in two of them.

    Groups are assigned in random order to the part that lacks most; of several assignments, the one closest
    to the requested shares is kept. With `stratify`, it is the one with the most even strata among those
    within 0.05 of that, so that a rare class does not distort the sizes of the parts.

    The result depends on the records and the seed, not on the order of the files.

    Parameters
    ----------
    dataset : Dataset
        The data set to split.
    by : str
        What to keep together: ``patient``, ``source``, ``name``, or a tag such as ``tcga_site``.
    train, val, test : float
        Requested shares of the images; scaled to sum to 1. A share of 0 gives an empty part.
    stratify : str, optional
        A tag, or ``label``, whose values should be spread over the parts in the same proportions.
    seed : int
        Another seed gives another split.

    Raises
    ------
    ConfigError
        If the shares are not numbers of 0 or more with a sum above 0.
    DataError
        If records lack the group, a name occurs twice, or there are fewer groups than parts.
    """
    shares = {"train": float(train), "val": float(val), "test": float(test)}
    if any(not 0 <= share < np.inf for share in shares.values()) or not sum(shares.values()):
        raise ConfigError(
            f"shares {shares}: expected numbers of 0 or more, at least one above 0, such as 0.7 0.15 0.15"
        )
    _require_unique(dataset)
    wanted = {name: share for name, share in shares.items() if share}
    members = _groups(dataset.records, by, dataset.info.name)
    if len(members) < len(wanted):
        raise DataError(
            f"{dataset.info.name!r} has {len(members)} group(s) by {by!r}, too few for {len(wanted)} parts; "
            "ask for fewer parts or split by something finer"
        )
    strata = _strata(dataset.records, stratify, dataset.info.name)
    counts = np.zeros((len(members), max(strata) + 1), np.float64)
    for row, indices in enumerate(members.values()):
        np.add.at(counts[row], [strata[index] for index in indices], 1)
    owner = assign(counts, np.array(list(wanted.values())), seed)
    chosen: dict[str, list[int]] = {name: [] for name in shares}
    names = list(wanted)
    for part, indices in zip(owner, members.values(), strict=True):
        chosen[names[part]] += indices
    return Split(**{name: subset(dataset, sorted(indices)) for name, indices in chosen.items()})


def part_of(record: Record) -> str:
    """Published part of a record, ``train``, ``val`` or ``test``, in any spelling; "" for any other.

    Examples
    --------
    >>> part_of(Record("a", split="Training")), part_of(Record("a", split="fold 1"))
    ('train', '')
    """
    return PART_NAMES.get(record.split.strip().lower(), "")


def split_published(
    dataset: Dataset,
    *,
    val: float = 0.0,
    by: str = "patient",
    stratify: str | None = None,
    seed: int = 0,
    on_leak: Literal["raise", "warn"] = "raise",
) -> Split:
    """Use the published parts; optionally split a validation part off the training part.

    Parameters
    ----------
    dataset : Dataset
        Its records must have a ``split``: train, val or test.
    val : float
        Share of the training images to move into validation, in [0, 1); only if no validation part is
        published.
    by, stratify, seed
        How to split it off, see `split_by`.
    on_leak : {"raise", "warn"}
        What to do if published parts share a patient or a source.

    Raises
    ------
    DataError
        If a record has no or an unknown split, a name occurs twice, or validation is requested but already
        published.
    LeakError
        If published parts share a patient or a source.
    """
    if not 0 <= val < 1:
        raise ConfigError(
            f"val is {val}, expected a share of the training images from 0 to below 1, such as 0.15"
        )
    if on_leak not in {"raise", "warn"}:
        raise ConfigError(f"on_leak is {on_leak!r}, expected 'raise' or 'warn'")
    _require_unique(dataset)
    chosen: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for index, record in enumerate(dataset.records):
        part = part_of(record)
        if not part:
            raise DataError(
                f"record {record.name!r} of {dataset.info.name!r} has the published part "
                f"{record.split!r}, expected train, val or test; split it by patient instead: "
                "split_by(dataset, 'patient'), on the command line data split --by patient, in a "
                "training's file data: {split_by: patient}"
            )
        chosen[part].append(index)
    parts = {name: subset(dataset, indices) for name, indices in chosen.items()}
    leak = [
        f"{key} {group!r} is in {' and '.join(compress(parts, members))}"
        for key in ("patient", "source")
        for group, members in shared_groups(parts, key)
    ]
    if leak and on_leak == "raise":
        raise LeakError(
            f"published parts of {dataset.info.name!r} leak: {leak[0]}; on_leak='warn' continues anyway"
        )
    if leak:
        warnings.warn(
            f"published parts of {dataset.info.name!r} leak: {'; '.join(leak)}", UserWarning, stacklevel=2
        )
    if val and chosen["val"]:
        raise DataError(f"{dataset.info.name!r} has a published validation part; leave val at 0")
    if val:
        cut = split_by(parts["train"], by, train=1 - val, val=val, test=0, stratify=stratify, seed=seed)
        parts |= {"train": cut.train, "val": cut.val}
    return Split(**parts)


def shared_groups(parts: Mapping[str, Dataset], key: str) -> Iterator[tuple[str, list[list[str]]]]:
    """Groups in more than one part, and the names of their samples in each part."""
    members: dict[str, list[list[str]]] = defaultdict(lambda: [[] for _ in parts])
    for place, part in enumerate(parts.values()):
        for record in part.records:
            members[record.group(key)][place].append(record.name)
    members.pop("", None)
    for group, names in sorted(members.items()):
        if sum(map(bool, names)) > 1:
            yield group, names


def group_subset(dataset: Dataset, n_groups: int | None, by: str = "source", *, seed: int = 0) -> Dataset:
    """Keep `n_groups` groups of each class, with all their patches.

    Subsets with the same seed are nested: the 16 groups are among the 64. A group with several classes counts
    for its most common one (the smaller label wins a tie). The result depends on the records and the seed,
    not on the order of the files.

    Parameters
    ----------
    dataset : Dataset
        With a label for each patch; split off the test part first.
    n_groups : int or None
        Groups of each class; None keeps all.
    by : str
        What defines a group: ``source``, ``patient``, or a tag.
    seed : int
        Another seed gives other groups.

    Raises
    ------
    ConfigError
        If a class has fewer groups than requested.
    DataError
        If a record has no label or no group.
    """
    if n_groups is None:
        return dataset
    members = _groups(dataset.records, by, dataset.info.name)
    groups: dict[int, list[str]] = defaultdict(list)
    for group, indices in members.items():
        groups[_commonest_label([dataset.records[index] for index in indices])].append(group)
    chosen: list[int] = []
    for label, names in sorted(groups.items()):
        kind = dataset.info.classes.get(label, str(label))
        if not 1 <= n_groups <= len(names):
            raise ConfigError(
                f"{n_groups} groups of class {kind!r} were asked for, but {dataset.info.name!r} has "
                f"{len(names)} by {by!r}; ask for 1 to {len(names)}, or None for all"
            )
        order = np.random.default_rng([seed, label]).permutation(len(names))
        chosen += [index for place in order[:n_groups] for index in members[names[place]]]
    return subset(dataset, sorted(chosen))


def tile_order(records: Sequence[Record], *, seed: int = 0) -> list[int]:
    """Order in which tiles are taken if only some may be used: patient after patient, at random.

    The first 2 are among the first 8: subsets with the same seed are nested, and at most the last patient of
    a subset is divided. If the patient is unknown, the source is used, or else the tile. The order depends on
    the records and the seed, not on the order of the files.

    Parameters
    ----------
    records : sequence of Record
    seed : int
        Another seed gives another order.

    Returns
    -------
    list of int
        Every index of `records` once.

    Examples
    --------
    >>> records = [Record(name, patient=name[0]) for name in ("a1", "b1", "a2", "c1")]
    >>> [records[index].name for index in tile_order(records, seed=1)]
    ['a1', 'a2', 'b1', 'c1']
    """
    groups: dict[tuple[int, str], list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        known = (record.patient, record.source, record.name)
        kind = next((kind for kind, name in enumerate(known) if name), len(known) - 1)
        groups[kind, known[kind]].append(index)
    rng = np.random.default_rng(seed)
    members = [sorted(groups[key], key=lambda index: records[index].name) for key in sorted(groups)]
    return [
        index for place in rng.permutation(len(members)) for index in rng.permutation(members[place]).tolist()
    ]


def tile_subset(dataset: Dataset, tiles: int | None, *, seed: int = 0) -> Dataset:
    """Keep some of the tiles, chosen by `tile_order`, in the order of the data set.

    Parameters
    ----------
    dataset : Dataset
        Split off the test part first.
    tiles : int or None
        How many; None keeps all.
    seed : int
        Another seed gives other tiles.

    Raises
    ------
    ConfigError
        If there are fewer.
    """
    if tiles is None:
        return dataset
    if not 1 <= tiles <= len(dataset):
        raise ConfigError(
            f"{tiles} tiles were asked for, but the training part of {dataset.info.name!r} has "
            f"{len(dataset)}; ask for 1 to {len(dataset)}, or leave it out for all"
        )
    return subset(dataset, sorted(tile_order(dataset.records, seed=seed)[:tiles]))


def unseen_classes(train: Dataset, *others: Dataset) -> list[str]:
    """Names of classes that are in other parts but not in the training part."""
    seen = {record.label for record in train.records}
    found = {record.label for other in others for record in other.records}
    unseen = sorted(label for label in found - seen if label is not None)
    return [train.info.classes.get(label, str(label)) for label in unseen]


def _commonest_label(records: Sequence[Record]) -> int:
    labels = Counter(record.label for record in records if record.label is not None)
    if labels.total() < len(records):
        name = next(record.name for record in records if record.label is None)
        raise DataError(f"record {name!r} has no label; expected a class for each patch")
    return min(labels, key=lambda label: (-labels[label], label))


def _require_unique(dataset: Dataset) -> None:
    """Refuse duplicate names: an image would count twice, or end up in two parts."""
    names = Counter(record.name for record in dataset.records)
    twice = [name for name, times in names.items() if times > 1]
    if twice:
        raise DataError(
            f"{len(twice)} name(s) of {dataset.info.name!r} occur more than once, such as {twice[0]!r}; "
            "keep one row (or file) of each"
        )


def _groups(records: Sequence[Record], by: str, name: str) -> dict[str, list[int]]:
    members: dict[str, list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        members[record.group(by)].append(index)
    lacking = members.pop("", [])
    if lacking:
        known = sorted({key for record in records for key in record.tags})
        of_patches = by in {"source", "patient"} and records[lacking[0]].label is not None
        raise DataError(
            f"{len(lacking)} of {len(records)} records of {name!r} have no {by!r} (first: "
            f"{records[lacking[0]].name!r}); split by patient, source, "
            f"name{''.join(', ' + key for key in known)}, whichever is filled in"
            + (_HOW_TO_GROUP if of_patches else "")
        )
    return dict(sorted(members.items()))


def _strata(records: Sequence[Record], stratify: str | None, name: str) -> list[int]:
    if stratify is None:
        return [0] * len(records)
    values = [
        ("" if record.label is None else str(record.label)) if stratify == "label" else record.group(stratify)
        for record in records
    ]
    if not any(values):
        raise DataError(
            f"no record of {name!r} has {stratify!r} to stratify by; leave stratify out or choose another tag"
        )
    numbers = {value: number for number, value in enumerate(sorted(Counter(values)))}
    return [numbers[value] for value in values]
