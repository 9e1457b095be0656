"""Opening: which reader is taken, what a slide says of itself, and one error for what cannot be opened."""

import errno
import pickle
import shutil

import imagecodecs
import numpy as np
import openslide
import pytest
import tifffile

from histoscope.errors import ConfigError, CorruptDataError, DatasetNotFoundError, UnknownNameError
from histoscope.files import write_image
from histoscope.slides import READERS, Box, open_slide
from histoscope.slides.opening import AUTOMATIC


def whole(slide, level=0):
    extent = slide.levels[level]
    return slide.read(Box(0, 0, extent.width, extent.height), level)


@pytest.mark.parametrize(
    ("kind", "compression"),
    [
        ("aperio", "jpeg"),
        ("aperio", "jpeg2000"),
        ("generic", "jpeg"),
        ("generic", "deflate"),
        ("generic", "lzw"),
        ("bigtiff", "jpeg"),
        ("ome", "jpeg"),
    ],
)
def test_what_is_written_is_read(write_slide, tissue, tmp_path, kind, compression):
    path = write_slide(tmp_path / "slide.tif", tissue, kind=kind, compression=compression, tile=(256, 256))
    with open_slide(path) as slide:
        assert slide.reader_name == "tiff"
        assert slide.size == (900, 700)
        assert slide.mpp == pytest.approx((0.5, 0.5), rel=1e-5)
        assert [level.downsample for level in slide.levels] == [(1, 1), (2, 2), (4, 4)]
        seen = whole(slide)
    lossless = compression in {"deflate", "lzw", "jpeg2000"}
    assert np.abs(seen.astype(int) - tissue).max() <= (0 if lossless else 60)
    assert np.abs(seen.astype(int) - tissue).mean() <= (0 if lossless else 4)


@pytest.mark.parametrize("kind", ["aperio", "generic", "bigtiff"])
@pytest.mark.parametrize("compression", ["jpeg", "deflate"])
def test_two_readers_give_the_same_bytes_at_level_0(write_slide, tissue, tmp_path, kind, compression):
    path = write_slide(tmp_path / "slide.tif", tissue, kind=kind, compression=compression, tile=(256, 256))
    slides = [open_slide(path, reader) for reader in ("tiff", "openslide")]
    boxes = [Box(0, 0, 900, 700), Box(250, 250, 20, 20), Box(880, 690, 40, 40), Box(-15, -5, 30, 12)]
    for box in boxes:
        one, other = (slide.read(box) for slide in slides)
        assert np.array_equal(one, other), box
    assert len({slide.quick_hash for slide in slides}) == 1
    assert len({slide.mpp for slide in slides}) == 1


def test_ycbcr_in_jpeg_2000_is_turned_to_rgb_as_openslide_does(tmp_path):
    """Aperio's compression 33003; all mixtures of brightness and colours come up."""
    stored = np.random.default_rng(0).integers(0, 256, (512, 512, 3)).astype(np.uint8)
    tiles = (stored[y : y + 256, x : x + 256] for y in (0, 256) for x in (0, 256))
    with tifffile.TiffWriter(tmp_path / "a.svs") as file:
        file.write(
            (imagecodecs.jpeg2k_encode(tile, codecformat="j2k", mct=False) for tile in tiles),
            shape=stored.shape,
            dtype=np.uint8,
            tile=(256, 256),
            compression=33003,
            photometric="ycbcr",
            subsampling=(1, 1),
            description="Aperio Image Library v12\r\n512x512|MPP = 0.5",
            metadata=None,
        )
    one, other = (whole(open_slide(tmp_path / "a.svs", reader)) for reader in ("tiff", "openslide"))
    assert np.array_equal(one, other)
    assert open_slide(tmp_path / "a.svs").reader_name == "tiff"


@pytest.mark.parametrize("fault", ["other colours", "no decoder"])
def test_a_reader_whose_pixels_differ_only_in_tissue_is_not_taken(slide_path, monkeypatch, fault):
    """The middle and the far corner may be glass; the fullest tile is compared, too."""
    from histoscope.slides.by_tiff import TiffReader

    crop = TiffReader.crop

    def wrong(self, box, level):
        pixels = crop(self, box, level)
        if pixels.min() > 200:
            return pixels
        if fault == "no decoder":
            raise ValueError("not supported")
        return pixels ^ 1

    monkeypatch.setattr(TiffReader, "crop", wrong)
    assert open_slide(slide_path).reader_name == "openslide"


def test_a_slide_says_what_it_is(slide_path):
    slide = open_slide(slide_path)
    assert (slide.vendor, slide.associated, slide.bounds) == ("aperio", ("thumbnail",), (0, 0, 900, 700))
    assert repr(slide) == "Slide(a slide.svs, 900 x 700 px, 0.5 um/px, 3 levels, by tiff)"
    assert slide.picture("thumbnail").shape == (88, 113, 3)
    with pytest.raises(UnknownNameError, match="thumbnail"):
        slide.picture("macro")


def test_a_slide_is_pickled_by_its_path(slide_path):
    slide = open_slide(slide_path, mpp=0.3)
    other = pickle.loads(pickle.dumps(slide))
    assert (other.mpp, other.reader_name, other.quick_hash) == ((0.3, 0.3), "tiff", slide.quick_hash)
    assert np.array_equal(whole(other), whole(slide))


def test_given_mpp_goes_before_the_files(slide_path):
    assert open_slide(slide_path, mpp=0.25).mpp == (0.25, 0.25)
    with pytest.raises(ConfigError, match="mpp is 40"):
        open_slide(slide_path, mpp=40)


def test_no_resolution_is_no_guess(write_slide, tissue, tmp_path):
    slide = open_slide(write_slide(tmp_path / "slide.svs", tissue, mpp=None))
    assert slide.mpp is None
    with pytest.raises(ConfigError, match="--mpp"):
        slide.read_at(Box(0, 0, 10, 10), 0.5)


def test_every_kind_has_readers_that_exist():
    assert {name for names in AUTOMATIC.values() for name in names} == set(READERS)
    with pytest.raises(UnknownNameError, match="did you mean 'openslide'"):
        open_slide(__file__, "openslides")


def test_plain_images_are_slides_of_one_level(tissue, tmp_path):
    path = tmp_path / "ganglion é.png"
    write_image(path, tissue, mpp=0.25)
    with open_slide(path) as slide:
        assert (slide.reader_name, slide.mpp, len(slide.levels)) == ("picture", (0.25, 0.25), 1)
        assert np.array_equal(whole(slide), tissue)


def test_an_svs_that_is_a_png_is_read_as_what_it_is(tissue, tmp_path):
    write_image(tmp_path / "a.png", tissue)
    (tmp_path / "a.png").rename(tmp_path / "a.svs")
    assert open_slide(tmp_path / "a.svs").reader_name == "picture"


def test_what_cannot_be_opened_is_named_with_every_reader_that_was_tried(slide_path, tmp_path):
    cut = tmp_path / "cut.svs"
    cut.write_bytes(slide_path.read_bytes()[:100_000])
    index_last = bytearray(cut.read_bytes())
    index_last[4:8] = (300_000).to_bytes(4, "little")  # where TIFF says that its index begins
    (tmp_path / "index last.svs").write_bytes(index_last)
    (tmp_path / "empty.svs").touch()
    (tmp_path / "notes.svs").write_text("of Monday")
    (tmp_path / "tissue.mrxs").write_bytes(b"\xff\xd8\xff\xe0")
    for name, error, words in [
        ("gone.svs", DatasetNotFoundError, "no slide at"),
        ("empty.svs", CorruptDataError, "empty"),
        ("cut.svs", CorruptDataError, r"ends before its pixel data.*tiles are missing"),
        ("index last.svs", CorruptDataError, r"it has 100,000 of at least 300,000 bytes; copy it again$"),
        ("notes.svs", CorruptDataError, "picture: "),
        ("tissue.mrxs", CorruptDataError, "folder tissue beside it, but there is none"),
        (".", ConfigError, "folder without DICOM slides"),
    ]:
        with pytest.raises(error, match=words):
            open_slide(tmp_path / name)


@pytest.mark.parametrize("reader", ["tiff", "openslide"])
def test_a_broken_tile_is_an_error_with_its_place_and_others_are_read(slide_path, tmp_path, reader):
    path = tmp_path / "broken.svs"
    shutil.copy(slide_path, path)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        offset, count = page.dataoffsets[5], page.databytecounts[5]  # second row, second column
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\0" * count)
    slide = open_slide(path, reader)
    with pytest.raises(CorruptDataError, match=r"broken\.svs cannot be read at"):
        slide.read(Box(250, 250, 30, 30))
    assert np.array_equal(slide.read(Box(0, 0, 200, 200)), open_slide(slide_path).read(Box(0, 0, 200, 200)))
    assert np.array_equal(
        slide.read(Box(500, 500, 99, 99)), open_slide(slide_path).read(Box(500, 500, 99, 99))
    )


@pytest.mark.parametrize("reader", ["tiff", "openslide"])
def test_a_disk_that_is_gone_is_no_broken_slide(slide_path, monkeypatch, reader):
    slide = open_slide(slide_path, reader)

    def gone(*_, **__):
        raise OSError(errno.ESTALE, "Stale file handle")

    def told_by_openslide(*_):
        raise openslide.OpenSlideError("cannot read")

    monkeypatch.setattr("os.pread", gone)
    monkeypatch.setattr("pathlib.Path.open", gone)
    monkeypatch.setattr("openslide.OpenSlide.read_region", told_by_openslide)
    with pytest.raises(OSError, match="Stale"):
        slide.read(Box(0, 0, 100, 100))


def test_the_scanned_part_is_what_openslide_says():
    from histoscope.slides.by_openslide import _bounds

    known = {"x": "40", "y": "30", "width": "600", "height": "500"}
    assert _bounds({f"openslide.bounds-{name}": value for name, value in known.items()}) == Box(
        40, 30, 600, 500
    )
    assert _bounds({"openslide.bounds-x": "40"}) is None
