"""AJI of a model against pixel size, on tiles that are neither tested on nor trained on."""

from pathlib import Path
from typing import Any

import numpy as np
from laboratories import LABORATORIES, opened

from histoscope import data, train
from histoscope.models import Segmenter, open_model
from histoscope.models.pixel_sizes import Curve
from histoscope.train import provenance, seen
from histoscope.train.parts import normalised
from histoscope.types import Sample
from histoscope.words import count, listed

SIZES_UM = (0.125, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.25, 1.6)
PARTS = {"monuseg": ("train",), "tnbc": ("train", "val"), "lgg_tcga_emory": ("train", "val")}
"""Folder -> parts that no score is reported on, or of which the curve's shape alone is used; all at 40x."""
TILES, SIDE_PX = 6, 512
"""Tiles of each set, and side of the crop from their middle."""


def curve(model: Path, root: Path) -> dict[str, Any]:
    """Entry of the card: AJI at each pixel size, the range that is good, and what it was measured on."""
    tiles, names = list[Sample](), list[str]()
    for folder, parts in PARTS.items():
        found = _tiles(model, opened(LABORATORIES[folder], root, parts))
        tiles += found
        title = LABORATORIES[folder].title.partition(",")[0]
        names += [f"{len(found)} of {title}"] if found else []
    network = open_model(model, Segmenter)
    points = []
    for mpp in SIZES_UM:
        sized = data.InMemory.of([data.resample(tile, mpp) for tile in tiles], data.Datasheet("tiles"))
        scores = train.evaluate(network.network, normalised(sized, network.normalizer))
        points.append([mpp, round(float(scores["aji"].mean()), 3)])
    mpp, aji = zip(*points, strict=True)
    good = Curve(mpp, aji).range
    of = f"{count(len(tiles), 'tile')} it was not trained on ({listed(names)}; scaled from 0.25 um per pixel)"
    return {"range": list(good), "aji": points, "measured on": of}


def _tiles(model: Path, dataset: data.Dataset) -> list[Sample]:
    """Crops of some tiles that the model was not trained on, spread over the data set."""
    learned = provenance.read(model)
    status = [""] * len(dataset) if learned is None else seen.seen_in(learned, dataset).status
    kept = [k for k, each in enumerate(status) if each in {"", seen.VALIDATION}]
    chosen = np.linspace(0, len(kept) - 1, min(TILES, len(kept))).round().astype(int)
    return [_cropped(dataset[kept[k]]) for k in chosen]


def _cropped(sample: Sample) -> Sample:
    """The middle of a tile, its nuclei numbered anew."""
    height, width = sample.image.shape[:2]
    top, left = max((height - SIDE_PX) // 2, 0), max((width - SIDE_PX) // 2, 0)
    window = slice(top, top + SIDE_PX), slice(left, left + SIDE_PX)
    instances, _ = data.compact(np.ascontiguousarray(sample.instances[window]))
    image = np.ascontiguousarray(sample.image[window])
    return Sample(image, sample.mpp, instances, name=sample.name, patient=sample.patient)
