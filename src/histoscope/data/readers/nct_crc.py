"""NCT-CRC-HE-100K and CRC-VAL-HE-7K: nine tissues of colorectal cancer, a folder each."""

from collections.abc import Iterator
from pathlib import Path

from histoscope.data.base import Datasheet
from histoscope.data.readers.patch_files import patches_in
from histoscope.data.readers.reader import Entry, Reader
from histoscope.types import Record

_CLASSES = ("ADI", "BACK", "DEB", "LYM", "MUC", "MUS", "NORM", "STR", "TUM")


class NCTCRC(Reader):
    """NCT-CRC-HE-100K (training) and CRC-VAL-HE-7K (test, other patients), 224 px at 0.5 um/px.

    Patients are not published, so the training part cannot be split by patient. One folder with both archives
    gives both parts. ``NCT-CRC-HE-100K-NONORM`` holds the training patches without colour normalisation:
    if both are in the folder, `normalized` chooses.

    Parameters
    ----------
    root, mpp
        As for `Reader`.
    normalized : bool
        Read ``NCT-CRC-HE-100K`` (True) or ``NCT-CRC-HE-100K-NONORM``. CRC-VAL-HE-7K is always normalised.

    References
    ----------
    Kather et al., "Predicting survival from colorectal cancer histology slides using deep learning",
    PLoS Medicine 16 (2019), doi:10.1371/journal.pmed.1002730
    """

    sheet = Datasheet(
        name="nct_crc",
        title="NCT-CRC-HE-100K and CRC-VAL-HE-7K",
        url="https://doi.org/10.5281/zenodo.1214456",
        licence="CC BY 4.0",
        citation="Kather et al., PLoS Medicine 16 (2019), doi:10.1371/journal.pmed.1002730",
        classes=dict(enumerate(_CLASSES)),
        mpp=0.5,
    )
    layout = "{NCT-CRC-HE-100K,CRC-VAL-HE-7K}/{ADI,BACK,DEB,...,TUM}/*.tif"
    images_are = "patches"

    def __init__(self, root: str | Path, *, normalized: bool = True, mpp: float | None = None) -> None:
        self._normalized = normalized
        super().__init__(root, mpp=mpp)

    def find(self) -> Iterator[Entry]:
        """List the patches, class by class."""
        found = patches_in(self.root, _CLASSES, ".tif", ".tiff")
        both = {_raw(path) for path, _ in found if _part(path) == "train"} == {False, True}
        for path, label in found:
            part = _part(path)
            if not both or part != "train" or _raw(path) is not self._normalized:
                tags = {"class": _CLASSES[label]}
                yield Entry(Record(path.stem, split=part, label=label, tags=tags), path)


def _archive(path: Path) -> str:
    return path.parent.parent.resolve().name.upper()


def _part(path: Path) -> str:
    archive = _archive(path)
    return "test" if archive.startswith("CRC-VAL") else "train" if archive.startswith("NCT-CRC") else ""


def _raw(path: Path) -> bool:
    return "NONORM" in _archive(path)
