"""Groups of patches that show the same place, proposed from the images themselves."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from histoscope.brief import brief
from histoscope.data.base import Dataset, Problem, Progress
from histoscope.data.leaks.audit import landmarks_of
from histoscope.data.leaks.copies import Copy, find_copies
from histoscope.data.readers.class_folder import images_folder
from histoscope.data.readers.patch_files import groups_of_two_classes
from histoscope.errors import ConfigError, DataError, ShapeError
from histoscope.tables import write_table
from histoscope.types import Record

_STRONG = 20
"""A link with this many matches joins groups by itself."""
_MIN_SUPPORT = 0.1
"""Weaker links join groups only if they connect this share of the pairs between them."""
_N_NEAR = 10
"""Nearest neighbours by features that are compared."""


@brief
@dataclass(frozen=True, slots=True)
class Groups:
    """Groups that `propose_groups` found.

    Parameters
    ----------
    records : tuple of Record
        The given records, with the proposed group as ``source``.
    links : tuple of Copy
        Pairs of images that show the same place; indices are those of the records.
    unreadable : tuple of str
        Names of images that could not be read; each is a group by itself.
    known : tuple of str
        The sources that the records had before.
    """

    records: tuple[Record, ...]
    links: tuple[Copy, ...]
    unreadable: tuple[str, ...]
    known: tuple[str, ...]

    def __len__(self) -> int:
        return len({record.source for record in self.records})

    @property
    def sizes(self) -> dict[int, int]:
        """Number of groups of each size."""
        members = Counter(record.source for record in self.records)
        return dict(sorted(Counter(members.values()).items()))

    @property
    def conflicts(self) -> list[Problem]:
        """Groups whose images have more than one class."""
        return groups_of_two_classes(self.records)

    @property
    def agreement(self) -> "Agreement | None":
        """Agreement with the known sources; None if they are not known for all."""
        if not all(self.known):
            return None
        return compare_groups(self.known, [record.source for record in self.records])

    def __str__(self) -> str:
        sizes = ", ".join(f"{count} of {size}" for size, count in self.sizes.items())
        lines = [f"{len(self.records)} patches, {len(self.links)} links, {len(self)} groups: {sizes}"]
        if (agreement := self.agreement) is not None:
            lines.append(
                f"  against the known sources: adjusted Rand {agreement.adjusted_rand:.3f}, pair recall "
                f"{agreement.pair_recall:.3f}, pair precision {agreement.pair_precision:.3f}"
            )
        lines += [f"  {problem.name}: {problem.message}" for problem in self.conflicts]
        if self.unreadable:
            lines.append(
                f"  {len(self.unreadable)} images could not be read and were not compared: "
                + ", ".join(self.unreadable[:3])
            )
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of two groupings.

    Parameters
    ----------
    adjusted_rand : float
        Adjusted Rand index: 1 for the same grouping, 0 expected by chance.
    pair_recall, pair_precision : float
        Share of the pairs together in the true grouping that are together in the other, and the reverse; NaN
        where there are no pairs.
    """

    adjusted_rand: float
    pair_recall: float
    pair_precision: float


def propose_groups(
    dataset: Dataset,
    *,
    min_similarity: float = 0.8,
    min_overlap: float = 0.0,
    features: NDArray[np.floating] | None = None,
    progress: Progress | None = None,
) -> Groups:
    """Find the patches that come from one photograph, or from overlapping ones.

    Images that show the same place (see `histoscope.data.leaks.copies.find_copies`) are linked, and linked
    images form a group. A weak link (below 20 matches) joins two groups only if at least a tenth of the pairs
    between them are linked, so that a chance link does not join them.

    Parameters
    ----------
    dataset : Dataset
        The patches.
    min_similarity : float
        Minimum correlation of two aligned images to be linked, in (0, 1].
    min_overlap : float
        Share of the smaller image that two must have in common. 0 also joins photographs that overlap at
        the edges, which a split must not divide either; 0.5 joins copies only.
    features : (N, D) floats, optional
        A row for each record, for example from a pretrained network: nearest neighbours are compared, too.
    progress : callable, optional
        Called with (images read, all images).

    Raises
    ------
    ConfigError
        If an option is out of range.
    ShapeError
        If `features` has another number of rows.

    References
    ----------
    Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 60 (2004),
    doi:10.1023/B:VISI.0000029664.99615.94
    """
    if not 0 < min_similarity <= 1 or not 0 <= min_overlap <= 1:
        raise ConfigError(
            f"min_similarity is {min_similarity} and min_overlap {min_overlap}; expected a correlation above "
            "0 and up to 1, and a share from 0 to 1"
        )
    if features is not None and (features.ndim != 2 or len(features) != len(dataset)):
        raise ShapeError(f"features are {features.shape}, expected a row for each of {len(dataset)} patches")
    images, unreadable = landmarks_of({dataset.info.name: dataset}, progress)
    pairs = None if features is None else near_pairs(features)
    links = find_copies(images, np.arange(len(images)), min_similarity, pairs=pairs)
    links = [link for link in links if link.overlap >= min_overlap]
    return Groups(
        _named(dataset.records, joined_by(links, len(images))),
        tuple(links),
        tuple(name.partition("/")[2] for name in unreadable),
        tuple(record.source for record in dataset.records),
    )


def near_pairs(features: NDArray[np.floating]) -> NDArray[np.intp]:
    """Pairs (n, 3) of each row and its ten nearest by cosine, unflipped (0) and flipped (1)."""
    from sklearn.neighbors import NearestNeighbors

    n_near = min(_N_NEAR, len(features) - 1)
    if n_near < 1:
        return np.zeros((0, 3), np.intp)
    near = NearestNeighbors(n_neighbors=n_near, metric="cosine").fit(features).kneighbors()[1]
    pairs = np.sort(np.column_stack([np.repeat(np.arange(len(near)), n_near), near.ravel()]), axis=1)
    listed = np.unique(pairs, axis=0)
    return np.concatenate([np.column_stack([listed, np.full(len(listed), flip)]) for flip in (0, 1)])


def joined_by(links: Sequence[Copy], n: int) -> NDArray[np.intp]:
    """Group (n,) of each image: links merge groups, strongest first, weak ones only with support."""
    group = np.arange(n)
    members = {place: [place] for place in range(n)}
    seen: dict[int, Counter[int]] = defaultdict(Counter)  # links so far between a group and the others
    for link in sorted(links, key=lambda link: (-link.n_matches, link.left, link.right)):
        one, other = int(group[link.left]), int(group[link.right])
        if one == other:
            continue
        seen[one][other] += 1
        seen[other][one] += 1
        support = seen[one][other] / (len(members[one]) * len(members[other]))
        if link.n_matches < _STRONG and support < _MIN_SUPPORT:
            continue
        for third, count in seen.pop(other).items():
            del seen[third][other]
            if third != one:
                seen[one][third] += count
                seen[third][one] += count
        group[members[other]] = one
        members[one] += members.pop(other)
    return group


def compare_groups(true: Sequence[str], proposed: Sequence[str]) -> Agreement:
    """Score a grouping against the true one by its pairs.

    Examples
    --------
    >>> compare_groups(["a", "a", "b", "b"], ["1", "1", "2", "3"])
    Agreement(adjusted_rand=0.571..., pair_recall=0.5, pair_precision=1.0)

    References
    ----------
    Hubert and Arabie, "Comparing partitions", Journal of Classification 2 (1985), doi:10.1007/BF01908075
    """
    from sklearn.metrics import adjusted_rand_score
    from sklearn.metrics.cluster import pair_confusion_matrix

    if len(true) != len(proposed):
        raise DataError(
            f"{len(true)} true and {len(proposed)} proposed groups; expected the same number of each"
        )
    (_, only_proposed), (only_true, both) = pair_confusion_matrix(true, proposed).tolist()
    in_true, in_proposed = both + only_true, both + only_proposed
    return Agreement(
        float(adjusted_rand_score(true, proposed)),
        both / in_true if in_true else np.nan,
        both / in_proposed if in_proposed else np.nan,
    )


def write_groups(path: str | Path, dataset: Dataset, groups: Groups) -> None:
    """Write the groups as an index that the reader ``class_folder`` takes: ``path,class,group,...``.

    Paths start where those of ``index.csv`` would: copy the file there, or give it as ``index=``.

    Raises
    ------
    DataError
        If the patches have no classes or are not files below one folder.
    """
    import pandas as pd

    rows = [
        (*place, record.source, record.patient, record.split)
        for place, record in zip(places_in_index(dataset), groups.records, strict=True)
    ]
    write_table(path, pd.DataFrame(rows, columns=["path", "class", "group", "patient", "split"]))


def places_in_index(dataset: Dataset) -> list[tuple[str, str]]:
    """Path and class of each patch, as in an index of the reader ``class_folder``.

    Raises
    ------
    DataError
        If the patches have no classes or are not files below one folder.
    """
    root = getattr(dataset, "root", None)
    files = [dataset.image_path(place) for place in range(len(dataset))]
    if root is None or None in files:
        raise DataError(f"patches of {dataset.info.name!r} are not files in one folder; use groups.records")
    base, places = images_folder(Path(root)), []
    for file, record in zip(files, dataset.records, strict=True):
        if file is None or record.label is None or not file.is_relative_to(base):
            raise DataError(
                f"groups can be written only for patches with one class each, in files below {base}: "
                f"{record.name!r} has no class or lies elsewhere; to compare images of nuclei between "
                "parts, leave out --groups (for one folder, add --by name)"
            )
        places.append((file.relative_to(base).as_posix(), dataset.info.classes[record.label]))
    return places


def _named(records: Sequence[Record], group: NDArray[np.intp]) -> tuple[Record, ...]:
    numbers = {place: number for number, place in enumerate(dict.fromkeys(group.tolist()))}
    width = len(str(len(numbers)))
    return tuple(
        replace(record, source=f"group{numbers[place]:0{width}d}")
        for record, place in zip(records, group.tolist(), strict=True)
    )
