"""Kather 2016: 5,000 textures of colorectal cancer, a folder per class."""

import re
from collections.abc import Iterator

from histoscope.data.base import Datasheet
from histoscope.data.readers.patch_files import patches_in
from histoscope.data.readers.reader import Entry, Reader
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
_CLASSES = {label: folder.partition("_")[2] for label, folder in enumerate(_FOLDERS)}
_SLIDE = re.compile(r"(CRC-Prim-HE-\d+)([^.]*)\.")


class Kather2016(Reader):
    """Kather_texture_2016_image_tiles_5000: eight tissues, 150 px at 0.495 um/px.

    File names contain the slide: ``1A11_CRC-Prim-HE-07_022.tif_Row_601_Col_151.tif`` is of slide
    ``CRC-Prim-HE-07`` and region ``CRC-Prim-HE-07_022``. There are ten slides, so a split by slide
    (`source`) is coarse; by the tag ``region``, patches of one slide would still be on both sides.

    References
    ----------
    Kather et al., "Multi-class texture analysis in colorectal cancer histology", Scientific Reports 6 (2016),
    doi:10.1038/srep27988
    """

    sheet = Datasheet(
        name="kather2016",
        title="Collection of textures in colorectal cancer histology",
        url="https://doi.org/10.5281/zenodo.53169",
        licence="CC BY 4.0",
        citation="Kather et al., Scientific Reports 6 (2016), doi:10.1038/srep27988",
        classes=_CLASSES,
        mpp=0.495,
    )
    layout = "Kather_texture_2016_image_tiles_5000/{01_TUMOR,...,08_EMPTY}/*.tif"
    images_are = "patches"

    def find(self) -> Iterator[Entry]:
        """List the patches, class by class."""
        for path, label in patches_in(self.root, _FOLDERS, ".tif", ".tiff"):
            named = _SLIDE.search(path.name)
            slide, region = (named[1], named[1] + named[2]) if named else ("", "")
            tags = {"class": _CLASSES[label], "region": region}
            yield Entry(Record(path.stem, source=slide, label=label, tags=tags), path)
