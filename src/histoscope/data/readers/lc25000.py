"""LC25000 as distributed: lung and colon patches in a folder per class."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from histoscope.data.base import Datasheet
from histoscope.data.checks import Problem, Progress
from histoscope.data.readers.index import composed
from histoscope.data.readers.patch_files import groups_of_two_classes, patches_in, read_groups
from histoscope.data.readers.reader import Entry, Reader
from histoscope.errors import ConfigError, DataError
from histoscope.types import Record

_CLASSES = {"colon": ("colon_aca", "colon_n"), "lung": ("lung_aca", "lung_n", "lung_scc")}


class LC25000(Reader):
    """LC25000: 25,000 patches of colon and lung, five classes.

    The 25,000 were made from some 1,250 photographs by rotating and flipping, and their origin is not
    published: a random split puts copies of one photograph on both sides. Give a list of groups, or make one
    with ``histoscope data audit lc25000 ROOT --groups groups.csv``.

    Parameters
    ----------
    root, mpp
        As for `Reader`.
    organ : {"both", "colon", "lung"}
        Which classes.
    groups : str or Path, optional
        CSV with the columns ``path`` and ``group``; the group becomes the source.

    References
    ----------
    Borkowski et al., "Lung and Colon Cancer Histopathological Image Dataset (LC25000)", 2019,
    arXiv:1912.12142
    """

    sheet = Datasheet(
        name="lc25000",
        title="LC25000, lung and colon",
        url="https://github.com/tampapath/lung_colon_image_set",
        citation="Borkowski et al., 2019, arXiv:1912.12142",
    )
    layout = "lung_colon_image_set/{colon,lung}_image_sets/CLASS/*.jpeg"
    images_are = "patches"

    def __init__(
        self,
        root: str | Path,
        *,
        mpp: float | None = None,
        organ: str = "both",
        groups: str | Path | None = None,
    ) -> None:
        if organ not in {"both", *_CLASSES}:
            raise ConfigError(f"organ is {organ!r}, expected 'both', 'colon' or 'lung'")
        classes = [kind for name in _CLASSES if organ in {"both", name} for kind in _CLASSES[name]]
        self.sheet, self._groups = replace(self.sheet, classes=dict(enumerate(classes))), groups
        super().__init__(root, mpp=mpp)

    def find(self) -> Iterator[Entry]:
        """List the patches, class by class."""
        found = patches_in(self.root, tuple(self.sheet.classes.values()), ".jpeg", ".jpg")
        known = read_groups(self._groups)
        lacking = [path.stem for path, _ in found if composed(path.stem) not in known] if known else []
        if lacking:
            raise DataError(
                f"{self._groups} has no group for {len(lacking)} of {len(found)} patches (first: "
                f"{lacking[0]!r}); add them, or make a new list with histoscope data audit --groups"
            )
        for path, label in found:
            kind, source = self.sheet.classes[label], known.get(composed(path.stem), "")
            tags = {"class": kind, "organ": kind.split("_")[0]}
            yield Entry(Record(f"{kind}__{path.stem}", source=source, label=label, tags=tags), path)

    def verify(self, *, progress: Progress | None = None) -> list[Problem]:
        """Read everything and list what is wrong; never raises for a bad file."""
        return super().verify(progress=progress) + groups_of_two_classes(self.records)
