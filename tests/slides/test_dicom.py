"""DICOM slides: levels and what lies beside them, compressions, the order of frames, missing files."""

from collections.abc import Callable, Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import VLWholeSlideMicroscopyImageStorage

from histoscope.errors import ConfigError, CorruptDataError
from histoscope.slides import Box, open_slide
from histoscope.slides.staging import Stage

ENCODERS: dict[str, Callable[[np.ndarray], bytes]] = {
    "1.2.840.10008.1.2.4.50": lambda tile: imagecodecs.jpeg8_encode(tile, level=90),
    "1.2.840.10008.1.2.4.90": lambda tile: imagecodecs.jpeg2k_encode(tile, codecformat="j2k", mct=False),
    "1.2.840.10008.1.2.4.110": lambda tile: imagecodecs.jpegxl_encode(tile, lossless=True),
    "1.2.840.10008.1.2.4.201": lambda tile: imagecodecs.htj2k_encode(tile, reversible=True),
}
"""By transfer syntax; of any other, frames are nonsense."""
pydicom.uid.UID_dictionary.setdefault(
    "1.2.840.10008.1.2.4.110", ("JPEG XL Lossless", "Transfer Syntax", "", "", "")
)
PLAIN = "1.2.840.10008.1.2.1"


def tiles_of(image: np.ndarray, side: int) -> Iterator[np.ndarray]:
    """Tiles row by row, white beyond the image."""
    height, width = image.shape[:2]
    padded = np.pad(
        image, ((0, -height % side), (0, -width % side), (0, 0)), constant_values=255, mode="constant"
    )
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield np.ascontiguousarray(padded[top : top + side, left : left + side])


def write_dicom(
    path: Path,
    image: np.ndarray,
    *,
    mpp: float = 0.5,
    series: str = "1.2.3",
    words: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "VOLUME", "NONE"),
    syntax: str = "1.2.840.10008.1.2.4.50",
    organisation: str | None = "TILED_FULL",
    by_columns: bool = False,
    side: int = 160,
) -> Path:
    """Write one level as one file."""
    tiles = list(tiles_of(image, side))
    down, across = -(-image.shape[0] // side), -(-image.shape[1] // side)
    if by_columns:
        tiles = [tiles[row * across + column] for column in range(across) for row in range(down)]
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = VLWholeSlideMicroscopyImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[path.name])
    data = pydicom.Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.SeriesInstanceUID, data.Modality, data.ImageType = series, "SM", list(words)
    data.Rows = data.Columns = side
    data.TotalPixelMatrixRows, data.TotalPixelMatrixColumns = image.shape[:2]
    data.NumberOfFrames, data.SamplesPerPixel, data.PlanarConfiguration = len(tiles), 3, 0
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation, data.PhotometricInterpretation = 7, 0, "RGB"
    if organisation:
        data.DimensionOrganizationType = organisation
    measures = pydicom.Dataset()
    measures.PixelSpacing = [mpp / 1e3, mpp / 1e3]
    shared = pydicom.Dataset()
    shared.PixelMeasuresSequence = [measures]
    data.SharedFunctionalGroupsSequence = [shared]
    if syntax in ENCODERS:
        data.PixelData = encapsulate([ENCODERS[syntax](tile) for tile in tiles])
        data["PixelData"].is_undefined_length = True
    elif syntax == PLAIN:
        data.PixelData = b"".join(tile.tobytes() for tile in tiles)
    else:
        data.PixelData = encapsulate([b"unknown" for _ in tiles])
        data["PixelData"].is_undefined_length = True
    data["PixelData"].VR = "OB"
    data.save_as(path, enforce_file_format=True)
    return path


DERIVED = ("DERIVED", "PRIMARY", "VOLUME", "RESAMPLED")
WHOLE = Box(0, 0, 900, 700)


@pytest.fixture
def folder(tissue, tmp_path):
    """Give a series of two levels and a thumbnail, whose names are in no order."""
    write_dicom(tmp_path / "b.dcm", tissue)
    write_dicom(tmp_path / "c.dcm", tissue[::2, ::2], mpp=1.0, words=DERIVED)
    small = np.full((160, 160, 3), 99, np.uint8)
    write_dicom(tmp_path / "a.dcm", small, mpp=3.0, words=("DERIVED", "PRIMARY", "THUMBNAIL", "RESAMPLED"))
    return tmp_path


def test_a_thumbnail_is_no_level(folder, tissue):
    """It may be of another camera; tissue was sought on it, and coordinates came from its size."""
    slide = open_slide(folder)
    assert [level.downsample for level in slide.levels] == [(1, 1), (2, 2)]
    assert slide.mpp == (0.5, 0.5)
    assert slide.associated == ("thumbnail",)
    assert np.abs(slide.picture("thumbnail").astype(int) - 99).max() <= 1
    assert np.abs(slide.read(WHOLE).astype(int) - tissue).mean() < 4


@pytest.mark.parametrize("syntax", [*ENCODERS, PLAIN])
def test_compressions(tissue, tmp_path, syntax):
    slide = open_slide(write_dicom(tmp_path / "a.dcm", tissue, syntax=syntax))
    assert slide.reader_name == "pydicom"
    far = np.abs(slide.read(WHOLE).astype(int) - tissue)
    assert far.mean() < 4 if syntax.endswith("4.50") else far.max() == 0


def test_a_compression_that_is_not_read_is_named_at_once(tissue, tmp_path):
    path = write_dicom(tmp_path / "a.dcm", tissue, syntax="1.2.840.10008.1.2.4.102")
    with pytest.raises(CorruptDataError, match=r"is compressed as MPEG-4 .* cannot be read"):
        open_slide(path)


def test_frames_that_do_not_say_their_order_are_laid_so_that_they_fit(tissue, tmp_path):
    path = write_dicom(tmp_path / "a.dcm", tissue, organisation=None, by_columns=True)
    assert np.abs(open_slide(path).read(WHOLE).astype(int) - tissue).mean() < 4


def test_a_missing_level_0_is_told(folder):
    (folder / "b.dcm").unlink()
    with pytest.raises(CorruptDataError, match=r"finest level .* is missing.* 450 x 350 px"):
        open_slide(folder)


def test_a_missing_coarse_level_costs_only_time(folder, tissue):
    (folder / "c.dcm").unlink()
    slide = open_slide(folder)
    assert len(slide.levels) == 1
    assert slide.read_at(Box(0, 0, 90, 70), 5.0).shape == (70, 90, 3)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.50", PLAIN])
@pytest.mark.parametrize("missing", [100, 9_000])
def test_a_file_that_was_cut_short_is_told(folder, tissue, syntax, missing):
    path = write_dicom(folder / "b.dcm", tissue, syntax=syntax)
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(CorruptDataError, match=r"b\.dcm (ends before|holds .* cut short).* copy it again"):
        open_slide(folder)


def test_a_folder_of_dicom_needs_no_suffixes(folder):
    for path in list(folder.iterdir()):
        path.rename(path.with_suffix(""))
    assert len(open_slide(folder).levels) == 2


def test_a_folder_of_several_slides_is_no_slide(folder, tissue):
    write_dicom(folder / "other.dcm", tissue, series="1.2.4")
    assert open_slide(folder / "other.dcm").levels[0].width == 900
    with pytest.raises(ConfigError, match="2 slides"):
        open_slide(folder)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.50", PLAIN])
def test_a_series_elsewhere_is_read_in_place(tissue, tmp_path, syntax, monkeypatch):
    store = pytest.importorskip("fsspec").filesystem("memory")
    write_dicom(tmp_path / "b.dcm", tissue, syntax=syntax)
    write_dicom(tmp_path / "c.dcm", tissue[::2, ::2], mpp=1.0, words=DERIVED, syntax=syntax)
    for path in tmp_path.iterdir():
        store.pipe_file(f"/series-{syntax}/{path.name}", path.read_bytes())
    monkeypatch.setattr(Stage, "take", None)
    with (
        open_slide(f"memory://series-{syntax}", "pydicom") as there,
        open_slide(tmp_path, "pydicom") as here,
    ):
        assert (there.levels, there.mpp, there.quick_hash) == (here.levels, here.mpp, here.quick_hash)
        assert np.array_equal(there.read(WHOLE), here.read(WHOLE))
        assert np.array_equal(there.read(Box(90, 80, 200, 150), 1), here.read(Box(90, 80, 200, 150), 1))


def test_a_series_elsewhere_without_a_table_of_frames_is_copied(tissue, tmp_path):
    store = pytest.importorskip("fsspec").filesystem("memory")
    whole = write_dicom(tmp_path / "b.dcm", tissue)
    data = pydicom.dcmread(whole)
    frames = list(pydicom.encaps.generate_frames(data.PixelData, number_of_frames=data.NumberOfFrames))
    data.PixelData = encapsulate(frames, has_bot=False)
    data["PixelData"].is_undefined_length = True
    data.save_as(whole)
    store.pipe_file("/bare/b.dcm", whole.read_bytes())
    stage = Stage(tmp_path / "stage")
    with (
        open_slide("memory://bare/b.dcm", "pydicom", stage=stage) as there,
        open_slide(whole, "pydicom") as here,
    ):
        assert (tmp_path / "stage") in there.reader.files[0].parents
        assert np.array_equal(there.read(WHOLE), here.read(WHOLE))
    assert not list((tmp_path / "stage").glob("*/*.dcm"))
