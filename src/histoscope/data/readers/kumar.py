"""The data of Kumar et al. (2017): TIFF tiles with MATLAB or Aperio annotations."""

from collections.abc import Iterator
from pathlib import Path

from histoscope.data.base import Datasheet
from histoscope.data.readers.aperio import read_aperio
from histoscope.data.readers.containers import read_mat
from histoscope.data.readers.index import composed
from histoscope.data.readers.reader import Entry, Reader, Truth, files_in, folders_below
from histoscope.data.views import compact
from histoscope.errors import DatasetNotFoundError
from histoscope.types import Record

_PARTS = {
    "train": """
        18-5592 21-5784 38-6178 50-5931 A7-A13E AR-A1AK AR-A1AS B0-5711
        E2-A14V G9-6348 G9-6356 G9-6362 G9-6363 HE-7128 HE-7129 HE-7130""",
    "same organ": "21-5786 49-4488 A7-A13F B0-5698 B0-5710 CH-5767 E2-A1B5 G9-6336",
    "other organ": "AY-A8YK DK-A2I6 G2-A2EK KB-A93J NH-A8F7 RD-A8N9",
}
_ORGANS = {
    "breast": "A7-A13E A7-A13F AR-A1AK AR-A1AS E2-A14V E2-A1B5",
    "kidney": "B0-5698 B0-5710 B0-5711 HE-7128 HE-7129 HE-7130",
    "liver": "18-5592 21-5784 21-5786 38-6178 49-4488 50-5931",
    "prostate": "CH-5767 G9-6336 G9-6348 G9-6356 G9-6362 G9-6363",
    "bladder": "DK-A2I6 G2-A2EK",
    "colon": "AY-A8YK NH-A8F7",
    "stomach": "KB-A93J RD-A8N9",
}
_PART_OF = {f"TCGA-{patient}": part for part, patients in _PARTS.items() for patient in patients.split()}
_ORGAN_OF = {f"TCGA-{patient}": organ for organ, patients in _ORGANS.items() for patient in patients.split()}


class Kumar(Reader):
    """Kumar: 30 H&E tiles of seven organs from The Cancer Genome Atlas, 1000 x 1000 pixels at 40x.

    Reads ``NAME.tif`` with ``NAME.mat`` (variable ``inst_map``) or ``NAME.xml`` (Aperio ImageScope), anywhere
    in the folder: ``train/Images`` + ``train/Labels``, ``test_same`` and ``test_diff`` as distributed by the
    authors of HoVer-Net, or ``Tissue images`` + ``Annotations`` as first published. If a tile has both, the
    ``.mat`` is used.

    The parts are those of the HoVer-Net paper, identified by the patient (the first twelve characters of the
    TCGA barcode), not by folder: 16 train, 14 test; the tag ``test_set`` says whether the organ was trained
    on (``same organ``, 8) or not (``other organ``, 6). Further tags are ``organ``, as published, and
    ``tcga_site``. All thirty tiles are in the training part of MoNuSeg: never train on one and test on the
    other.

    References
    ----------
    Kumar et al., "A Dataset and a Technique for Generalized Nuclear Segmentation for Computational
    Pathology", IEEE TMI 36(7), 2017, doi:10.1109/TMI.2017.2677499
    """

    sheet = Datasheet(
        name="kumar",
        title="Nuclei of seven organs (Kumar et al. 2017)",
        url="https://monuseg.grand-challenge.org/Data/",
        licence="CC BY-NC-SA 4.0",
        citation="Kumar et al., IEEE TMI 36(7), 2017, doi:10.1109/TMI.2017.2677499",
        mpp=0.25,
    )
    layout = "train/Images/*.tif + train/Labels/*.mat (also test_same, test_diff), or *.tif + *.xml"

    def find(self) -> Iterator[Entry]:
        """Pair images and annotations by their names."""
        images: dict[str, Path] = {}
        labels: dict[str, Path] = {}
        for folder in folders_below(self.root):
            if "overlay" in folder.name.lower():
                continue
            images |= {composed(path.stem): path for path in files_in(folder, ".tif", ".tiff")}
            labels = {composed(path.stem): path for path in files_in(folder, ".xml")} | labels
            labels |= {composed(path.stem): path for path in files_in(folder, ".mat")}
        for name, image in sorted(images.items()):
            yield Entry(_record(name), image, labels.get(name, image.with_suffix(".mat")))

    def read_truth(self, entry: Entry, shape: tuple[int, int]) -> Truth:
        """Read one annotation."""
        path = entry.labels
        if not path.is_file():
            raise DatasetNotFoundError(
                f"no annotation for {entry.image}; expected {path.stem}.mat or {path.stem}.xml"
            )
        if path.suffix.lower() == ".xml":
            return read_aperio(path).drawn(shape), None
        return compact(read_mat(path, "inst_map")["inst_map"])[0], None


def _record(name: str) -> Record:
    patient = "-".join(name.split("-")[:3])
    part = _PART_OF.get(patient, "")
    if not part:
        return Record(name, source=name, patient=patient if name.startswith("TCGA-") else "")
    tags = {"organ": _ORGAN_OF[patient], "tcga_site": name.split("-")[1]}
    if part == "train":
        return Record(name, patient=patient, source=name, split="train", tags=tags)
    return Record(name, patient=patient, source=name, split="test", tags=tags | {"test_set": part})
