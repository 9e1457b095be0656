"""The stains of a slide: estimated once, from tiles of its tissue, and kept beside its results."""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from histoscope import stain
from histoscope.errors import StainError
from histoscope.files import write_text
from histoscope.predict.slides.work import Recolor
from histoscope.slides import Box, Slide
from histoscope.slides.salvage import read_salvaged
from histoscope.slides.tissue import CELL_UM, TissueMap
from histoscope.stain import reference
from histoscope.stain.normalizer import BaseNormalizer
from histoscope.types import Image

_N_TILES, _TILE_PX, _SEED = 12, 512, 0


@dataclass(frozen=True, eq=False, slots=True)
class Sample:
    """Tiles of tissue from which the stains and quality of a slide are estimated.

    Parameters
    ----------
    slide : str
        Name of its file.
    mpp : float
        Of the tiles.
    boxes : list of Box
        Their positions, in pixels of that resolution.
    tiles : list of (h, w, 3) uint8
    """

    slide: str
    mpp: float
    boxes: list[Box]
    tiles: list[Image]

    @classmethod
    def of(cls, slide: Slide, tissue: TissueMap, mpp: float) -> "Sample":
        """Draw twelve tiles with a fixed seed, fewer if there is hardly any tissue."""
        cells = np.argwhere(tissue.mask)
        if not len(cells):
            return cls(slide.path.name, mpp, [], [])
        rng = np.random.default_rng(_SEED)
        boxes = []
        for row, column in rng.choice(cells, min(_N_TILES, len(cells)), replace=False):
            x, y = (int((at + 0.5) * CELL_UM / mpp) - _TILE_PX // 2 for at in (column, row))
            boxes.append(Box(x, y, _TILE_PX, _TILE_PX))
        return cls(slide.path.name, mpp, boxes, [read_salvaged(slide, box, mpp)[0] for box in boxes])


def recolor_of(sample: Sample, normalizer: stain.Normalizer | None, path: Path) -> Recolor:
    """A normaliser with the stains of a slide, so that its parts match; the stains are kept in a file.

    The file is a stain reference, which `histoscope.stain.load` reads; if it exists, its stains are used. It
    has the stains that the normaliser needs, and always those of Macenko, so that slides can be compared. A
    slide with too little tissue for an estimate stays unchanged. A third-party normaliser measures the tiles
    each time, since its estimate may be anything.

    Parameters
    ----------
    sample : Sample
    normalizer : Normalizer, optional
    path : Path
        The JSON file.
    """
    own = None if normalizer is None else stain.adopted(normalizer)
    if not path.is_file():
        write_text(path, json.dumps(_document(sample, own), indent=2, ensure_ascii=False) + "\n")
    if own is None or not sample.tiles:
        return _unchanged
    if own.name not in stain.NORMALIZERS:
        return partial(own, source=own.measure(sample.tiles))
    if own.name not in json.loads(path.read_text(encoding="utf-8"))["methods"]:
        return _unchanged
    return partial(own, source=stain.load(path, own.name).target)


def _document(sample: Sample, own: BaseNormalizer[Any] | None) -> dict[str, Any]:
    methods, notes = {}, {}
    for each in {one.name: one for one in (stain.Macenko.default(), own) if one is not None}.values():
        if each.name in stain.NORMALIZERS:
            try:
                estimate = each.measure(sample.tiles)
            except StainError as error:
                notes[each.name] = str(error).partition(";")[0]
                continue
            methods[each.name] = type(each)(estimate).values()
            notes[each.name] = "; ".join(estimate.notes)
    return {
        "format": reference.FORMAT,
        "kind": reference.KIND,
        "origin": f"{sample.slide}, {len(sample.tiles)} tiles of its tissue",
        "methods": methods,
        "notes": notes,
        "mpp": sample.mpp,
        "tiles_px": [list(box) for box in sample.boxes],
    }


def _unchanged(image: Image) -> Image:
    return image
