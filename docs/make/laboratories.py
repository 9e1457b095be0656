"""Laboratories whose labelled tiles the models that come with Histoscope are tested on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from histoscope import data
from histoscope.types import Record, Sample

TCGA = "images of The Cancer Genome Atlas, open access"
USUAL_AREA_UM2 = 40.0


@dataclass(frozen=True)
class Laboratory:
    """A data set, or the part of it that models are tested on.

    Parameters
    ----------
    folder : str
        Its name, below the folder of all data.
    title, tissue, licence, credit : str
        For cards and pages.
    splits : tuple of str
        Parts that may be tested on; empty for all.
    kin : tuple of str
        Names of data sets with images of the same collection.
    organ : str
        Column of the index with the organ; "" where there is one.
    unit : str
        Column of what is independent; "" for the patient, source or image.
    mpp : callable, optional
        Micrometres per pixel of each record; 0.25 without.
    shown : {"truth", "image", "nothing"}
        What pictures show, at most what the licence allows.
    whole : bool
        Only for models that saw none of it.
    """

    folder: str
    title: str
    tissue: str
    licence: str
    credit: str
    splits: tuple[str, ...] = ()
    kin: tuple[str, ...] = ()
    organ: str = ""
    unit: str = ""
    mpp: Callable[[Sequence[Record]], Sequence[float]] | None = None
    shown: str = "nothing"
    whole: bool = False


def by_usual_size(records: Sequence[Record]) -> list[float]:
    """Micrometres per pixel that give the median nucleus of each source image the usual area."""
    sources = {record.source: list[float]() for record in records}
    for record in records:
        sources[record.source].append(float(record.tags["median_area_px"]))
    return [float(np.sqrt(USUAL_AREA_UM2 / np.median(sources[record.source]))) for record in records]


def nominal(records: Sequence[Record]) -> list[float]:
    """Micrometres per pixel of the magnification that the index names."""
    return [float(record.tags["mpp_nominal"]) for record in records]


LABORATORIES: dict[str, Laboratory] = {
    f"{each.folder}_all" if each.whole else each.folder: each
    for each in (
        Laboratory(
            "monuseg",
            "MoNuSeg, published test part",
            "seven organs, many hospitals",
            "CC BY-NC-SA 4.0",
            "Kumar et al., IEEE TMI 36(7), 2017, doi:10.1109/TMI.2017.2677499",
            splits=("test",),
            kin=("kumar",),
            organ="organ_as_published",
            shown="truth",
        ),
        Laboratory(
            "tnbc",
            "TNBC, two test patients",
            "breast carcinoma, Institut Curie",
            "CC BY 4.0",
            "Naylor et al., IEEE TMI 38(2), 2019, doi:10.1109/TMI.2018.2865709",
            splits=("test",),
            shown="truth",
        ),
        Laboratory(
            "tnbc",
            "TNBC, all eleven patients",
            "breast carcinoma, Institut Curie",
            "CC BY 4.0",
            "Naylor et al., IEEE TMI 38(2), 2019, doi:10.1109/TMI.2018.2865709",
            whole=True,
        ),
        Laboratory(
            "cpm15",
            "CPM-15",
            "brain tumours at 20x and 40x",
            f"{TCGA}; outlines: none stated (research use)",
            "Vu et al., Frontiers in Bioengineering and Biotechnology 7, 2019, doi:10.3389/fbioe.2019.00053",
            unit="look_group",
            mpp=nominal,
            shown="image",
        ),
        Laboratory(
            "lgg_tcga_emory",
            "Lower grade glioma, four of five patients",
            "brain, outlined at Emory University; the fifth patient is in MoNuSeg's test part",
            f"{TCGA}; outlines: none stated (research use)",
            "Zhang, Kong et al., ISBI 2016 and 2017",
            splits=("train", "val"),
            shown="image",
        ),
        Laboratory(
            "consep",
            "CoNSeP, published test part",
            "colon, Coventry",
            "none stated (research use)",
            "Graham et al., Medical Image Analysis 58, 2019, doi:10.1016/j.media.2019.101563",
            splits=("test",),
            kin=("lizard", "conic"),
        ),
        Laboratory(
            "dsb2018_he",
            "Data Science Bowl 2018, purple stains",
            "mostly without eosin, resolution not published: taken so that the median nucleus has 40 um2",
            "CC0 1.0",
            "Caicedo et al., Nature Methods 16, 2019, doi:10.1038/s41592-019-0612-7",
            kin=("dsb2018",),
            mpp=by_usual_size,
            shown="truth",
        ),
    )
}


def opened(laboratory: Laboratory, root: Path, splits: Sequence[str] | None = None) -> data.Dataset:
    """Labelled tiles of a laboratory: those that may be tested on, or other parts."""
    dataset = data.open("folder", root / laboratory.folder, mpp=0.25)
    wanted = laboratory.splits if splits is None else splits
    dataset = data.subset(
        dataset, [k for k, record in enumerate(dataset.records) if not wanted or record.split in wanted]
    )
    if laboratory.mpp is None:
        return dataset
    names = [record.name for record in dataset.records]
    sizes = dict(zip(names, laboratory.mpp(dataset.records), strict=True))

    def sized(sample: Sample) -> Sample:
        return replace(sample, mpp=sizes[sample.name])

    return data.mapped(dataset, sized)
