"""LC25000 as distributed: lung and colon patches in a folder per class."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from histoscope.data.base import Datasheet, Problem, Progress, require_mpp
from histoscope.data.readers.index import composed, require_folder
from histoscope.data.readers.patch_files import PatchFiles, groups_of_two_classes, patches_in, read_groups
from histoscope.errors import ConfigError, DataError
from histoscope.types import Record

_CLASSES = {"colon": ("colon_aca", "colon_n"), "lung": ("lung_aca", "lung_n", "lung_scc")}


class LC25000(PatchFiles):
    """LC25000: 25,000 patches of colon and lung, five classes.

    The 25,000 were made from some 1,250 photographs by turning and flipping, and which came from which is not
    published: a random split puts copies of one photograph on both sides. Give a list of groups, or make one
    with ``histoscope data audit lc25000 ROOT --groups groups.csv``.

    Parameters
    ----------
    root : str or Path
        ``lung_colon_image_set``, or the folder above it.
    mpp : float
        Micrometres per pixel; none is published, so it must be given.
    organ : {"both", "colon", "lung"}
        Which classes.
    groups : str or Path, optional
        CSV with the columns ``path`` and ``group``; the group becomes the source.

    Raises
    ------
    DatasetNotFoundError
        If there is no patch.
    DataError
        If `mpp` is missing, or `groups` names none of some patches.
    ConfigError
        If `organ` is another.

    References
    ----------
    Borkowski et al., "Lung and Colon Cancer Histopathological Image Dataset (LC25000)", 2019,
    arXiv:1912.12142
    """

    sheet: ClassVar[Datasheet] = Datasheet(
        name="lc25000",
        title="LC25000, lung and colon",
        url="https://github.com/tampapath/lung_colon_image_set",
        citation="Borkowski et al., 2019, arXiv:1912.12142",
    )
    layout: ClassVar[str] = "lung_colon_image_set/{colon,lung}_image_sets/CLASS/*.jpeg"

    def __init__(
        self,
        root: str | Path,
        *,
        mpp: float | None = None,
        organ: str = "both",
        groups: str | Path | None = None,
    ) -> None:
        self.root = require_folder(root, name="lc25000", layout=self.layout, url=self.sheet.url)
        if organ not in {"both", *_CLASSES}:
            raise ConfigError(f"organ is {organ!r}, expected 'both', 'colon' or 'lung'")
        organs = _CLASSES if organ == "both" else [organ]
        classes = [kind for name in organs for kind in _CLASSES[name]]
        sheet = replace(self.sheet, mpp=require_mpp(mpp, "lc25000"))
        found = patches_in(
            self.root, classes, suffixes=(".jpeg", ".jpg"), name="lc25000", layout=self.layout, url=sheet.url
        )
        known = read_groups(groups)
        lacking = [path.stem for path, _ in found if composed(path.stem) not in known] if known else []
        if lacking:
            raise DataError(
                f"{groups} has no group for {len(lacking)} of {len(found)} patches (first: {lacking[0]!r}); "
                "add them, or make the list anew with data audit --groups"
            )
        files = [
            (
                path,
                Record(
                    f"{classes[label]}__{path.stem}",
                    source=known.get(composed(path.stem), ""),
                    label=label,
                    tags={"class": classes[label], "organ": classes[label].split("_")[0]},
                ),
            )
            for path, label in found
        ]
        super().__init__(sheet, classes, files)

    def verify(self, *, progress: Progress | None = None) -> list[Problem]:
        """Read everything and list what is wrong; never raises for a bad file."""
        return super().verify(progress=progress) + groups_of_two_classes(self.records)
