"""The base of readers: a reader of one's own is a datasheet, a layout, and two short functions."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from histoscope import data
from histoscope.data.readers.index import sibling
from histoscope.data.readers.reader import Entry, Reader, Truth, files_in
from histoscope.errors import ConfigError, DataError, DatasetNotFoundError, ShapeError
from histoscope.files import read_labels, write_image, write_labels
from histoscope.types import Record, Sample


class Scans(Reader):
    """Pairs of files of a laboratory."""

    sheet = data.Datasheet("scans", url="https://example.org/scans", mpp=0.5)
    layout = "NAME.png + NAME.tif"

    def find(self) -> Iterator[Entry]:
        """List the images."""
        for image in files_in(self.root, ".png"):
            yield Entry(Record(image.stem, patient="p"), image, sibling(self.root, image.stem, ".tif"))

    def read_truth(self, entry: Entry, shape: tuple[int, int]) -> Truth:
        """Read one label map."""
        return read_labels(entry.labels), None


@pytest.fixture
def root(tmp_path: Path, tile: Callable[..., Sample]) -> Path:
    for k in range(2):
        write_image(tmp_path / f"t{k}.png", tile(k).image)
        write_labels(tmp_path / f"t{k}.tif", tile(k).instances)
    return tmp_path


def test_the_rest_follows(root: Path, tile: Callable[..., Sample]) -> None:
    dataset = Scans(root)
    assert (len(dataset), dataset.info.mpp, dataset.info.counts) == (2, 0.5, {"images": 2, "patients": 1})
    sample = dataset[1]
    assert (sample.name, sample.patient, sample.mpp) == ("t1", "p", 0.5)
    assert np.array_equal(sample.instances, tile(1).instances)
    assert dataset.image_path(1) == root / "t1.png"
    assert dataset.verify() == []
    assert Scans(root, mpp=0.3)[0].mpp == Scans(root, mpp=0.3).info.mpp == 0.3
    assert repr(dataset) == "Scans('scans', 2 images of 1 patient, 0.5 um a pixel)"


def test_files_that_do_not_fit_are_named(root: Path) -> None:
    write_labels(root / "t0.tif", np.ones((5, 5), np.int32))
    write_labels(root / "stray.tif", np.ones((5, 5), np.int32))
    with pytest.raises(ShapeError, match=r"t0\.tif: label map is \(5, 5\), its image \(48, 64\)"):
        Scans(root)[0]
    assert [(p.name, p.severity) for p in Scans(root).verify()] == [("t0", "error"), ("stray", "warning")]


def test_what_is_missing_is_named(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder, what in (("gone", "does not exist"), ("empty", "no images in"), ("t0.png", "is a file")):
        with pytest.raises(DatasetNotFoundError, match=rf"{what}.* 'scans' expects NAME.*example\.org"):
            Scans(tmp_path / folder)
    with pytest.raises(ConfigError, match="mpp of data set 'scans' is 40"):
        Scans(root, mpp=40)

    class Unsaid(Scans):
        sheet = data.Datasheet("unsaid")

    with pytest.raises(DataError, match="pixel size of data set 'unsaid' is unknown"):
        Unsaid(root)


def test_patches_are_counted_by_class_and_label_maps_are_not(folder_tree: Path) -> None:
    index = folder_tree / "index.csv"
    lines = index.read_text().splitlines()
    index.write_text(
        "\n".join([f"{lines[0]},label", *(f"{line},{k % 2}" for k, line in enumerate(lines[1:]))])
    )
    assert "class round" not in data.open("folder", folder_tree, mpp=0.5).info.counts
