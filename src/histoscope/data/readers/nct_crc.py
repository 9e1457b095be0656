"""NCT-CRC-HE-100K and CRC-VAL-HE-7K: nine tissues of colorectal cancer, a folder each."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from histoscope.data.base import Datasheet
from histoscope.data.readers.index import require_folder
from histoscope.data.readers.patch_files import PatchFiles, patches_in
from histoscope.types import Record

_CLASSES = ("ADI", "BACK", "DEB", "LYM", "MUC", "MUS", "NORM", "STR", "TUM")


class NCTCRC(PatchFiles):
    """NCT-CRC-HE-100K (training) and CRC-VAL-HE-7K (test, other patients), 224 px at 0.5 um/px.

    Patients are not published, so the training part cannot be split by patient. One folder with both archives
    gives both parts. ``NCT-CRC-HE-100K-NONORM`` holds the training patches without colour normalisation:
    where both stand in the folder, `normalized` chooses.

    Parameters
    ----------
    root : str or Path
        The folder that holds the archives' folders, or one of these.
    normalized : bool
        Read ``NCT-CRC-HE-100K`` (True) or ``NCT-CRC-HE-100K-NONORM``. CRC-VAL-HE-7K is always normalised.
    mpp : float
        Of other copies, such as resampled ones.

    Raises
    ------
    DatasetNotFoundError
        If there is no patch.

    References
    ----------
    Kather et al., "Predicting survival from colorectal cancer histology slides using deep learning",
    PLoS Medicine 16 (2019), doi:10.1371/journal.pmed.1002730
    """

    sheet: ClassVar[Datasheet] = Datasheet(
        name="nct_crc",
        title="NCT-CRC-HE-100K and CRC-VAL-HE-7K",
        url="https://doi.org/10.5281/zenodo.1214456",
        licence="CC BY 4.0",
        citation="Kather et al., PLoS Medicine 16 (2019), doi:10.1371/journal.pmed.1002730",
        mpp=0.5,
    )
    layout: ClassVar[str] = "{NCT-CRC-HE-100K,CRC-VAL-HE-7K}/{ADI,BACK,DEB,...,TUM}/*.tif"

    def __init__(self, root: str | Path, *, normalized: bool = True, mpp: float = 0.5) -> None:
        self.root = require_folder(root, name="nct_crc", layout=self.layout, url=self.sheet.url)
        found = patches_in(
            self.root,
            _CLASSES,
            suffixes=(".tif", ".tiff"),
            name="nct_crc",
            layout=self.layout,
            url=self.sheet.url,
        )
        both = {_raw(path) for path, _ in found if _part(path) == "train"} == {False, True}
        files = [
            (path, Record(path.stem, split=_part(path), label=label, tags={"class": _CLASSES[label]}))
            for path, label in found
            if not both or _part(path) != "train" or _raw(path) is not normalized
        ]
        super().__init__(replace(self.sheet, mpp=mpp), _CLASSES, files)


def _archive(path: Path) -> str:
    return path.parent.parent.resolve().name.upper()


def _part(path: Path) -> str:
    archive = _archive(path)
    return "test" if archive.startswith("CRC-VAL") else "train" if archive.startswith("NCT-CRC") else ""


def _raw(path: Path) -> bool:
    return "NONORM" in _archive(path)
