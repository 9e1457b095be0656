"""Kather 2016: 5,000 textures of colorectal cancer, a folder per class."""

import re
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from histoscope.data.base import Datasheet
from histoscope.data.readers.index import require_folder
from histoscope.data.readers.patch_files import PatchFiles, patches_in
from histoscope.types import Record

_FOLDERS = (
    "01_TUMOR",
    "02_STROMA",
    "03_COMPLEX",
    "04_LYMPHO",
    "05_DEBRIS",
    "06_MUCOSA",
    "07_ADIPOSE",
    "08_EMPTY",
)
_SLIDE = re.compile(r"(CRC-Prim-HE-\d+)([^.]*)\.")


class Kather2016(PatchFiles):
    """Kather_texture_2016_image_tiles_5000: eight tissues, 150 px at 0.495 um/px.

    The names of the files tell the slide: ``1A11_CRC-Prim-HE-07_022.tif_Row_601_Col_151.tif`` is of slide
    ``CRC-Prim-HE-07`` and region ``CRC-Prim-HE-07_022``. There are ten slides, so a split by slide
    (`source`) is coarse; by the tag ``region``, patches of one slide still stand on both sides.

    Parameters
    ----------
    root : str or Path
        ``Kather_texture_2016_image_tiles_5000``, or the folder above it.
    mpp : float
        Of other copies, such as resampled ones.

    Raises
    ------
    DatasetNotFoundError
        If there is no patch.

    References
    ----------
    Kather et al., "Multi-class texture analysis in colorectal cancer histology", Scientific Reports 6 (2016),
    doi:10.1038/srep27988
    """

    sheet: ClassVar[Datasheet] = Datasheet(
        name="kather2016",
        title="Collection of textures in colorectal cancer histology",
        url="https://doi.org/10.5281/zenodo.53169",
        licence="CC BY 4.0",
        citation="Kather et al., Scientific Reports 6 (2016), doi:10.1038/srep27988",
        mpp=0.495,
    )
    layout: ClassVar[str] = "Kather_texture_2016_image_tiles_5000/{01_TUMOR,...,08_EMPTY}/*.tif"

    def __init__(self, root: str | Path, *, mpp: float = 0.495) -> None:
        self.root = require_folder(root, name="kather2016", layout=self.layout, url=self.sheet.url)
        found = patches_in(
            self.root,
            _FOLDERS,
            suffixes=(".tif", ".tiff"),
            name="kather2016",
            layout=self.layout,
            url=self.sheet.url,
        )
        classes = [folder.partition("_")[2] for folder in _FOLDERS]
        files = [(path, _record(path, label, classes[label])) for path, label in found]
        super().__init__(replace(self.sheet, mpp=mpp), classes, files)


def _record(path: Path, label: int, kind: str) -> Record:
    named = _SLIDE.search(path.name)
    slide, region = (named.group(1), named.group(1) + named.group(2)) if named else ("", "")
    return Record(path.stem, source=slide, label=label, tags={"class": kind, "region": region})
