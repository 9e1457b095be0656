"""NuInsSeg as distributed: a folder an organ, and the right one of its two kinds of label maps."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from histoscope import data
from histoscope.errors import CorruptDataError, DatasetNotFoundError, ShapeError
from histoscope.types import Sample


@pytest.fixture
def root(tmp_path: Path, tile: Callable[..., Sample]) -> Path:
    """Two images of one organ and one of another; ids with gaps, as ImageJ numbered them."""
    for k, (organ, name) in enumerate(
        [
            ("human kidney", "human_kidney_01"),
            ("human kidney", "human_kidney_02"),
            ("mouse fat (white and brown)", "mouse_fat_01"),
        ]
    ):
        folder = tmp_path / organ
        for kind in ("tissue images", "label masks", "label masks modify", "mask binary"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(tile(k).image).save(folder / "tissue images" / f"{name}.png")
        labels = (tile(k).instances * 3).astype(np.uint16)
        tifffile.imwrite(folder / "label masks modify" / f"{name}.tif", labels)
        labels[:4, :4] = 99  # an overlap, which is no nucleus
        tifffile.imwrite(folder / "label masks" / f"{name}.tif", labels)
    return tmp_path


def test_organs_are_sources_and_overlaps_no_nuclei(root: Path, tile: Callable[..., Sample]) -> None:
    dataset = data.open("nuinsseg", root)
    assert [(r.source, r.group("organ"), r.group("species")) for r in dataset.records] == [
        ("human kidney", "kidney", "human"),
        ("human kidney", "kidney", "human"),
        ("mouse fat (white and brown)", "fat (white and brown)", "mouse"),
    ]
    sample = dataset[2]
    assert np.array_equal(sample.instances, tile(2).instances)
    assert np.array_equal(sample.image, tile(2).image)
    assert (sample.mpp, sample.name, sample.classes) == (0.25, "mouse_fat_01", None)
    assert dataset.verify() == []


def test_bad_labels_are_named(root: Path, truncate: Callable[[Path], None]) -> None:
    labels = root / "human kidney" / "label masks modify"
    truncate(labels / "human_kidney_01.tif")
    tifffile.imwrite(labels / "human_kidney_02.tif", np.ones((5, 5), np.uint16))
    (root / "mouse fat (white and brown)" / "label masks modify" / "mouse_fat_01.tif").unlink()
    dataset = data.open("nuinsseg", root)
    for index, error in enumerate((CorruptDataError, ShapeError, DatasetNotFoundError)):
        with pytest.raises(error, match=dataset.records[index].name):
            dataset[index]
    with pytest.raises(DatasetNotFoundError, match="tissue images"):
        data.open("nuinsseg", root / "human kidney" / "mask binary")
