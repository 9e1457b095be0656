"""Image files of other suffixes are read by functions of others, added or installed."""

import sys
from pathlib import Path

import numpy as np
import pytest

from histoscope import data, images, plugins
from histoscope.errors import ConfigError, CorruptDataError, ShapeError
from histoscope.files import read_image, read_labels, write_labels
from histoscope.images import guests
from histoscope.images.kinds import unreadable
from histoscope.images.reading import orientation_of
from histoscope.images.resolution import why_unknown

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def _read(path: Path) -> tuple[np.ndarray, float | None]:
    return np.frombuffer(path.read_bytes(), np.uint8).reshape(20, 30, 3), 0.25


@pytest.fixture
def scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of 20 x 30 pixels of a suffix that nobody else reads."""
    monkeypatch.setattr(guests, "_added", {})
    path = tmp_path / "images" / "a.SCAN"
    path.parent.mkdir()
    path.write_bytes(PIXELS.tobytes())
    return path


def test_without_a_reader_it_is_no_image(scan: Path) -> None:
    assert images.find_images(scan.parent).images == []
    with pytest.raises(CorruptDataError, match="first bytes are not those of an image"):
        read_image(scan)


def test_a_reader_makes_its_files_images(scan: Path, tmp_path: Path) -> None:
    images.add_reader(".scan", _read)
    assert images.find_images(scan.parent).images == [scan]
    assert np.array_equal(read_image(scan), PIXELS)
    assert (images.size_of(scan), images.mpp_of(scan), images.profile_of(scan)) == ((20, 30), 0.25, b"")
    assert (orientation_of(scan), unreadable(scan)) == (1, "")
    write_labels(tmp_path / "labels" / "a.png", np.pad(np.ones((5, 5), np.int32), ((0, 15), (0, 25))))
    dataset = data.open("folder", tmp_path, mpp=0.25)
    assert np.array_equal(dataset[0].image, PIXELS)
    assert not [problem for problem in dataset.verify() if problem.severity == "error"]
    with pytest.raises(ShapeError, match="label map has shape"):
        read_labels(scan)


def test_a_slide_that_is_not_read_otherwise(scan: Path) -> None:
    slide = scan.rename(scan.with_name("a.czi"))
    slide.write_bytes(b"ZISRAWFILE" + bytes(99))
    assert [one.path for one in images.find_images(scan.parent).skipped] == [slide]
    images.add_reader(".CZI", lambda path: (PIXELS, None))
    assert np.array_equal(read_image(slide), PIXELS)
    assert images.mpp_of(slide) is None
    assert "does not give" in why_unknown(slide)


def test_a_reader_is_found_by_its_entry_point(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import numpy as np\ndef read(path): return np.full((4, 5, 3), 7, np.uint8), 0.5\n"
    (tmp_path / "lab_scans.py").write_text(code)
    about = tmp_path / "lab_scans-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Name: lab_scans\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[histoscope.image_readers]\nscan = lab_scans:read\n")
    monkeypatch.syspath_prepend(tmp_path)
    plugins._installed.cache_clear()
    try:
        assert images.find_images(scan.parent).images == [scan]
        assert read_image(scan).shape == (4, 5, 3)
        images.add_reader(".scan", _read)  # what was added in this process wins
        assert read_image(scan).shape == (20, 30, 3)
    finally:
        plugins._installed.cache_clear()
        sys.modules.pop("lab_scans", None)


@pytest.mark.parametrize("suffix", ["czi", ".png", ".TIFF", ""])
def test_what_is_no_suffix_or_ours_is_refused(suffix: str) -> None:
    with pytest.raises(ConfigError, match="expected a suffix such as"):
        images.add_reader(suffix, _read)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (PIXELS, "cannot be read by"),
        ((PIXELS[..., 0], 0.5), r"gives pixels \(20, 30\) uint8, expected \(H, W, 3\) uint8"),
        ((PIXELS / 255, 0.5), "float64, expected"),
        ((PIXELS, "coarse"), "could not convert string"),
    ],
)
def test_what_a_reader_may_not_give_is_named(scan: Path, given: object, says: str) -> None:
    images.add_reader(".scan", lambda path: given)
    with pytest.raises(CorruptDataError, match=says):
        read_image(scan)
