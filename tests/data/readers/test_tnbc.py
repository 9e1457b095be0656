"""TNBC as distributed: slides are patients, masks are cut into nuclei, the fourth channel means nothing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from histoscope import data
from histoscope.errors import CorruptDataError, DatasetNotFoundError, ShapeError
from histoscope.types import Sample


@pytest.fixture
def root(tmp_path: Path, tile: Callable[..., Sample]) -> Path:
    """Two images of the first patient, one of a brain slide; RGBA with an empty fourth channel."""
    folder = tmp_path / "TNBC_NucleiSegmentation"
    for k, (slide, name) in enumerate([("01", "01_1"), ("01", "01_2"), ("12", "12_1")]):
        for kind in ("Slide", "GT"):
            (folder / f"{kind}_{slide}").mkdir(parents=True, exist_ok=True)
        pixels = np.concatenate([tile(k).image, np.zeros((48, 64, 1), np.uint8)], axis=2)
        Pillow.fromarray(pixels).save(folder / f"Slide_{slide}" / f"{name}.png")
        mask = np.where(tile(k).instances > 0, 255, 0).astype(np.uint8)
        Pillow.fromarray(mask).save(folder / f"GT_{slide}" / f"{name}.png")
    (tmp_path / "__MACOSX" / "Slide_01").mkdir(parents=True)
    (tmp_path / "__MACOSX" / "Slide_01" / "01_1.png").write_bytes(b"not an image")
    return tmp_path


def test_slides_are_patients(root: Path, tile: Callable[..., Sample]) -> None:
    dataset = data.open("tnbc", root)
    assert [(r.name, r.patient, r.split) for r in dataset.records] == [
        ("01_1", "Slide_01", ""),
        ("01_2", "Slide_01", ""),
        ("12_1", "Slide_12", ""),
    ]
    assert [r.group("organ") for r in dataset.records] == ["breast", "breast", "brain"]
    assert dataset.info.counts == {"images": 3, "patients": 2, "sources": 2}
    sample, drawn = dataset[2], tile(2)
    assert np.array_equal(sample.image, drawn.image)
    assert sample.instances.max() == 5
    same = {(int(a), int(b)) for a, b in zip(sample.instances.flat, drawn.instances.flat, strict=True)}
    assert len(same) == 6  # one to one
    assert dataset.verify() == []
    assert len(data.open("tnbc", root / "TNBC_NucleiSegmentation")) == 3


def test_diagonal_neighbours_are_one_nucleus_and_cell_types_part_touching_ones(root: Path) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[4:8, 4:8] = mask[8:12, 8:12] = 1
    mask[4:8, 8:12] = 3
    Pillow.fromarray(mask).save(root / "TNBC_NucleiSegmentation" / "GT_12" / "12_1.png")
    instances = data.open("tnbc", root)[2].instances
    assert instances.max() == 2
    assert instances[4, 4] == instances[11, 11] != instances[4, 11]


def test_bad_masks_are_named(root: Path, truncate: Callable[[Path], None]) -> None:
    folder = root / "TNBC_NucleiSegmentation"
    truncate(folder / "GT_01" / "01_1.png")
    Pillow.fromarray(np.ones((5, 5), np.uint8)).save(folder / "GT_01" / "01_2.png")
    (folder / "GT_12" / "12_1.png").unlink()
    dataset = data.open("tnbc", root)
    for index, error in enumerate((CorruptDataError, ShapeError, DatasetNotFoundError)):
        with pytest.raises(error, match=dataset.records[index].name):
            dataset[index]
    with pytest.raises(DatasetNotFoundError, match="Slide_01"):
        data.open("tnbc", folder / "GT_01")
