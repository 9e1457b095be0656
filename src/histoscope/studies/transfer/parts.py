"""Training, validation and test part of each run: how patches are split, and how many groups there are."""

from collections import defaultdict

from histoscope import data
from histoscope.data import Dataset, Split
from histoscope.errors import DataError
from histoscope.studies.config import StudyConfig
from histoscope.studies.transfer.names import GROUPED, RANDOM, groups_of
from histoscope.train.parts import open_data


def open_everything(config: StudyConfig) -> Dataset:
    """Open the data set of a study of patches, with classes from 0 on; no pixel is read.

    Raises
    ------
    DataError
        If it is not a data set of patches with named classes.
    """
    chosen = config.data
    dataset = open_data(chosen)
    lacking = [record.name for record in dataset.records if record.label is None]
    if lacking:
        raise DataError(
            f"{len(lacking)} of {len(dataset)} records in {chosen.root} have no class "
            f"(first: {lacking[0]!r}); this study compares classifiers: give every patch a class"
        )
    theirs = dataset.info.classes
    return data.renumbered(dataset, dict(enumerate(theirs[label] for label in sorted(theirs))))


def split(dataset: Dataset, config: StudyConfig, kind: str, seed: int) -> Split:
    """Split all patches, by group or at random, in the same shares."""
    val, test = config.data.val, config.patches.test
    by = config.data.val_by if kind == GROUPED else "name"
    shares = {"train": 1.0 - val - test, "val": val, "test": test}
    return data.split_by(dataset, by, **shares, stratify="label", seed=seed)


def parts(dataset: Dataset, config: StudyConfig, kind: str, size: str, seed: int) -> Split:
    """Training, validation and test part of a network.

    A collection of n groups is taken from all, its validation and test part as much smaller as its training
    part. Split by group, the test part is that of the whole data set, since more test groups change nothing
    but the noise. Split at random, the collection's own patches are assigned at random, as if
    there were no others: a patch that is tested in one size is trained on in none.

    Parameters
    ----------
    dataset : Dataset
        From `open_everything`.
    config : StudyConfig
    kind : {"grouped", "random"}
        Whether all patches of a group stay together, or each patch is assigned at random, as often published.
    size : str
        ``groups_16``: so many groups of each class; or ``all``.
    seed : int
        Draws the split, and the groups.
    """
    by, val, test = config.data.val_by, config.data.val, config.patches.test
    grouped = split(dataset, config, GROUPED, seed)
    n = groups_of(size)
    if n is None:
        return grouped if kind == GROUPED else split(dataset, config, RANDOM, seed)
    ratio = {"train": 1.0, "val": val / (1 - val - test), "test": test / (1 - val - test)}
    few = {
        name: data.group_subset(part, _as_many(part, by, n, ratio[name]), by, seed=seed)
        for name, part in grouped
    }
    if kind == GROUPED:
        return Split(few["train"], few["val"], grouped.test)
    kept = {record.name for part in few.values() for record in part.records}
    return Split(
        *(
            data.subset(part, [i for i, record in enumerate(part.records) if record.name in kept])
            for _, part in split(dataset, config, RANDOM, seed)
        )
    )


def _as_many(part: Dataset, by: str, n: int, ratio: float) -> int:
    """Groups of each class to take of a part; of validation and test part not more than there are."""
    if ratio == 1.0:
        return n
    groups: dict[int | None, set[str]] = defaultdict(set)
    for record in part.records:
        groups[record.label].add(record.group(by))
    return max(1, min(round(n * ratio), *(len(found) for found in groups.values())))
