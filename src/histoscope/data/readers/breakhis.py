"""BreakHis: benign and malignant breast tumours at four magnifications."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from histoscope.data.base import Datasheet
from histoscope.data.readers.reader import Entry, Reader
from histoscope.errors import ConfigError
from histoscope.types import Record

MPP = {40: 0.49, 100: 0.20, 200: 0.10, 400: 0.05}
"""Effective pixel size at each magnification: 6.5 um pixels of the camera behind a 3.3x relay lens."""
_NAME = re.compile(r"SOB_([BM])_([A-Z]+)-(\d+-\d+)([A-Z]*)-(\d+)-(\d+)")
_TYPES = ("A", "F", "PT", "TA", "DC", "LC", "MC", "PC")
_MALIGNANT = {"B": "benign", "M": "malignant"}


class BreakHis(Reader):
    """BreakHis: 7,909 images of 82 patients, 700 x 460 px.

    All information is in the file names, so folders do not matter: ``SOB_B_TA-14-4659-40-001.png`` is a
    benign (B) tubular adenoma (TA) of slide 14-4659 at 40x. Split by ``patient``, the number without the
    letters that some slides carry (14-21998AB, 14-21998CD): that is the safe choice, since slides with the
    same number may be from one patient. `source` is the slide.

    Parameters
    ----------
    root
        As for `Reader`.
    magnification : int or sequence of int
        Of 40, 100, 200, 400. They have different pixel sizes; each sample has its own.
    classes : {"tumour", "type"}
        Benign and malignant (2), or the type of tumour (8).

    References
    ----------
    Spanhol et al., "A dataset for breast cancer histopathological image classification", IEEE Transactions on
    Biomedical Engineering 63 (2016), doi:10.1109/TBME.2015.2496264
    """

    sheet = Datasheet(
        name="breakhis",
        title="BreakHis, breast tumours",
        url="https://web.inf.ufpr.br/vri/databases/breast-cancer-histopathological-database-breakhis/",
        citation="Spanhol et al., IEEE Transactions on Biomedical Engineering 63 (2016), "
        "doi:10.1109/TBME.2015.2496264",
    )
    layout = "BreaKHis_v1/histology_slides/breast/{benign,malignant}/SOB/TYPE/SLIDE/{40,100,200,400}X/*.png"
    images_are = "patches of that magnification"

    def __init__(
        self, root: str | Path, *, magnification: int | Sequence[int] = 40, classes: str = "tumour"
    ) -> None:
        self._wanted = {magnification} if isinstance(magnification, int) else set(magnification)
        if not self._wanted or not self._wanted <= set(MPP):
            raise ConfigError(f"magnification is {magnification}, expected one or more of 40, 100, 200, 400")
        if classes not in {"tumour", "type"}:
            raise ConfigError(f"classes is {classes!r}, expected 'tumour' (2 classes) or 'type' (8)")
        names = _MALIGNANT.values() if classes == "tumour" else _TYPES
        self.sheet = replace(self.sheet, classes=dict(enumerate(names)))
        super().__init__(root)

    def find(self) -> Iterator[Entry]:
        """List the patches of the wanted magnifications, by path."""
        names = list(self.sheet.classes.values())
        found = []
        for path in sorted(self.root.rglob("SOB_*.png")):
            named = _NAME.fullmatch(path.stem)
            if named is None or int(named[5]) not in self._wanted:
                continue
            letter, kind, number, letters, zoom, _ = named.groups()
            tumour = _MALIGNANT[letter]
            label = names.index(kind if kind in names else tumour)
            tags = {"class": names[label], "tumour": tumour, "type": kind, "magnification": zoom}
            record = Record(path.stem, patient=number, source=number + letters, label=label, tags=tags)
            found.append(Entry(record, path, mpp=MPP[int(zoom)]))
        if found:
            self.sheet = replace(self.sheet, mpp=min(entry.mpp for entry in found))
        yield from found
