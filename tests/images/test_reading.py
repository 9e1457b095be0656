"""Damaged files, bombs and huge good ones; orientation; label maps; whatever the suffix says."""

import struct
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow
from PIL import ImageOps

from histoscope.errors import CorruptDataError, HistoscopeError, ShapeError
from histoscope.files import read_image, read_labels
from histoscope.images import limits
from histoscope.images.reading import orientation_of, size_of
from histoscope.images.resolution import mpp_of

RGB = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
LABELS = (np.arange(24 * 40).reshape(24, 40) % 7).astype(np.uint8)
READERS = [read_image, read_labels]


# --- damage ---


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, data=b"", *, depth=8, kind=2):
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def nameless_chunk(path):
    Pillow.fromarray(np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8)).save(path)
    data = bytearray(path.read_bytes())
    at = data.find(b"IDAT", data.find(b"IDAT") + 4)
    data[at : at + 4] = b"\x84u\xd9\x06"
    path.write_bytes(bytes(data))


def rows(path, **tags):
    tifffile.imwrite(path, RGB, photometric="rgb")
    with tifffile.TiffFile(path, mode="r+b") as file:
        for name, value in tags.items():
            file.pages[0].tags[name].overwrite(value)


def wide_bmp(path):
    Pillow.fromarray(RGB).save(path, "BMP")
    data = bytearray(path.read_bytes())
    data[18:22] = (2**30).to_bytes(4, "little")
    path.write_bytes(bytes(data))


def huge_tile(path):
    tifffile.imwrite(path, RGB, photometric="rgb", tile=(16, 16), compression="zlib")
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags["TileWidth"].overwrite(65_520)
        file.pages[0].tags["TileLength"].overwrite(65_520)


DAMAGE = {
    "no byte": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(1000)),
    "a chunk without a name": nameless_chunk,
    "2**31 rows": lambda path: rows(path, ImageLength=2**31 - 1, RowsPerStrip=2**31 - 1),
    "2**31 columns": lambda path: rows(path, ImageWidth=2**31 - 1),
    "2**31 rows in strips": lambda path: rows(path, ImageLength=2**31 - 1),
    "no rows": lambda path: rows(path, ImageLength=0),
    "pixels behind the end": lambda path: rows(path, StripOffsets=2**30),
    "an endless strip": lambda path: rows(path, StripByteCounts=2**31),
    "2**30 columns of BMP": wide_bmp,
    "tiles larger than the image": huge_tile,
    "PNG of 2**31 - 1 rows": lambda path: path.write_bytes(png(256, 2**31 - 1, zlib.compress(bytes(1000)))),
    "PNG of 2**16 columns": lambda path: path.write_bytes(png(2**16, 2**16, zlib.compress(bytes(10**6)))),
    "PNG without pixels": lambda path: path.write_bytes(png(0, 10)),
    "PNG of 16 bits without end": lambda path: path.write_bytes(png(2**15, 2**15, b"x", depth=16)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_one_clear_error_that_costs_nothing(tmp_path, damage):
    path = tmp_path / "a.png"
    DAMAGE[damage](path)
    tracemalloc.start()
    try:
        for read in READERS:
            with pytest.raises(CorruptDataError, match=r"a\.png cannot be decoded"):
                read(path)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


def test_a_bomb_that_is_whole_is_refused_where_it_does_not_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "free_memory", lambda: 5 * 10**7)
    image = np.zeros((3000, 4000, 3), np.uint8)
    Pillow.fromarray(image).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", compression="zlib", tile=(256, 256))
    for name in ("a.png", "a.tif"):
        with pytest.raises(
            CorruptDataError, match=r"too large .* need 0\.1 GB of memory, but only 0\.1 GB are free"
        ):
            read_image(tmp_path / name)
        assert size_of(tmp_path / name) == (3000, 4000)  # asks for no memory


def test_images_beyond_pillows_bound_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 100)
    for suffix in (".png", ".jpg", ".bmp", ".tif"):
        Pillow.fromarray(RGB).save(tmp_path / f"a{suffix}")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert read_image(tmp_path / f"a{suffix}").shape == RGB.shape
            assert mpp_of(tmp_path / f"a{suffix}") is None
            assert size_of(tmp_path / f"a{suffix}") == (24, 40)


def test_no_memory_is_a_clear_error(tmp_path, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    Pillow.fromarray(RGB).save(tmp_path / "a.png")
    monkeypatch.setattr("histoscope.images.pictures.read", full)
    with pytest.raises(CorruptDataError, match="not enough memory"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".gif", ".webp", ".jp2", ".tif"])
def test_broken_bytes_raise_nothing_else(tmp_path, suffix):
    rng = np.random.default_rng(1)
    path = tmp_path / f"a{suffix}"
    Pillow.fromarray(RGB).save(path)
    whole = path.read_bytes()
    for _ in range(60):
        data = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        for at in rng.integers(0, min(len(data), 300), 3):
            data[at] = rng.integers(256)
        path.write_bytes(bytes(data))
        for ask in (*READERS, mpp_of, size_of, orientation_of):
            with suppress(HistoscopeError):
                ask(path)


def test_warnings_of_decoders_are_no_errors_in_any_thread(tmp_path):
    Pillow.fromarray(RGB).save(
        tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x09\0" + bytes(20), quality=95
    )
    with pytest.warns(UserWarning, match="Corrupt EXIF"), Pillow.open(tmp_path / "a.jpg") as picture:
        picture.getexif()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with ThreadPoolExecutor(8) as pool:
            turns = list(pool.map(lambda _: orientation_of(tmp_path / "a.jpg"), range(200)))
            shapes = {image.shape for image in pool.map(lambda _: read_image(tmp_path / "a.jpg"), range(50))}
    assert set(turns) == {1}
    assert shapes == {RGB.shape}


def test_a_part_of_a_set_of_files_is_not_black(tmp_path):
    planes = np.moveaxis(RGB, 2, 0)
    tifffile.imwrite(
        tmp_path / "a.ome.tif", planes, ome=True, metadata={"axes": "CYX"}, photometric="minisblack"
    )
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        text = file.ome_metadata
    parts = '<TiffData FirstC="0" IFD="0" PlaneCount="1"/>'
    for channel in (1, 2):
        name = f'<UUID FileName="gone{channel}.ome.tif">urn:uuid:{channel:036}</UUID>'
        parts += f'<TiffData FirstC="{channel}" IFD="0" PlaneCount="1">{name}</TiffData>'
    text = text.replace('<TiffData IFD="0" PlaneCount="3"/>', parts)
    assert "gone2" in text
    options = {"description": text.encode(), "metadata": None, "photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "b.ome.tif", planes[0], **options)
    with pytest.raises(CorruptDataError, match="one of a set of files"):
        read_image(tmp_path / "b.ome.tif")


def test_free_memory_is_a_sensible_number():
    assert 10**7 < limits.free_memory() < 10**14


# --- orientation ---


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_images_are_read_as_viewers_show_them(tmp_path, suffix, turn):
    picture = Pillow.fromarray(RGB)
    exif = picture.getexif()
    exif[274] = turn
    options = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}}.get(suffix, {})
    picture.save(tmp_path / f"a{suffix}", exif=exif, **options)
    with Pillow.open(tmp_path / f"a{suffix}") as stored:
        truth = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    assert np.abs(read_image(tmp_path / f"a{suffix}").astype(int) - truth).max() <= 2
    assert orientation_of(tmp_path / f"a{suffix}") == turn
    assert size_of(tmp_path / f"a{suffix}") == truth.shape[:2]


def test_an_orientation_behind_the_pixels_of_a_png_counts_as_well(tmp_path):
    picture = Pillow.fromarray(RGB)
    exif = picture.getexif()
    exif[274] = 6
    picture.save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[:-12] + chunk(b"eXIf", exif.tobytes()[6:]) + data[-12:])
    assert orientation_of(tmp_path / "a.png") == 6
    assert (read_image(tmp_path / "a.png") == np.rot90(RGB, -1)).all()


def test_asking_for_the_orientation_decodes_nothing(tmp_path):
    Pillow.fromarray(RGB).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[:200])  # pixels are cut off
    assert orientation_of(tmp_path / "a.png") == 1


def test_label_maps_are_turned_as_images_are(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", LABELS, extratags=[(274, 3, 1, 6, True)])
    assert (read_labels(tmp_path / "a.tif") == np.rot90(LABELS, -1)).all()


# --- label maps ---


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".jp2"])
@pytest.mark.parametrize("called", ["", ".png"])
def test_lossy_label_maps_are_refused_whatever_they_are_called(tmp_path, suffix, called):
    Pillow.fromarray(LABELS).save(tmp_path / f"x{suffix}")
    path = (tmp_path / f"x{suffix}").rename(tmp_path / f"a{called or suffix}")
    with pytest.raises(CorruptDataError, match=r"as a label map: JPEG .* save label maps as PNG or TIFF"):
        read_labels(path)


def test_a_tiff_with_jpeg_inside_is_refused_as_a_label_map(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", LABELS, compression="jpeg", photometric="minisblack")
    with pytest.raises(CorruptDataError, match="change ids"):
        read_labels(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int32, np.int64])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"byteorder": ">"}])
def test_label_maps_of_any_whole_number(tmp_path, dtype, options):
    tifffile.imwrite(tmp_path / "a.tif", LABELS.astype(dtype), photometric="minisblack", **options)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), LABELS)


def test_the_largest_id_is_read_in_place(tmp_path):
    labels = np.zeros((8, 8), np.int32)
    labels[2, 3] = 2**31 - 1
    tifffile.imwrite(tmp_path / "a.tif", labels)
    assert read_labels(tmp_path / "a.tif").max() == 2**31 - 1


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_png_of_any_bits_keeps_its_ids(tmp_path, bits):
    ids = (np.arange(24 * 40).reshape(24, 40) % 2**bits).astype(np.uint16)
    planes = (ids[..., None] >> np.arange(bits)[::-1] & 1).astype(np.uint8).reshape(24, -1)
    packed = np.packbits(planes, 1)
    data = np.hstack([np.zeros((24, 1), np.uint8), packed]).tobytes()
    (tmp_path / "a.png").write_bytes(png(40, 24, zlib.compress(data), depth=bits, kind=0))
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), ids)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".gif", ".tif"])
def test_palettes_keep_their_indices(tmp_path, suffix):
    picture = Pillow.frombytes("P", (40, 24), LABELS.tobytes())
    picture.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
    picture.save(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read_labels(tmp_path / f"a{suffix}"), LABELS)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (RGB, r"shape \(24, 40, 3\) \(rgb\), expected one channel"),
        (LABELS.astype(np.float32), "float32, expected whole numbers"),
        (LABELS.astype(np.int16) - 1, "from -1 to 5"),
        (LABELS.astype(np.uint32) + 2**31, "2147483654"),
        (np.stack([LABELS, LABELS]), r"\(2, 24, 40\)"),
    ],
)
def test_what_is_no_label_map_is_told(tmp_path, pixels, words):
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb" if pixels.shape[-1] == 3 else "minisblack")
    with pytest.raises((ShapeError, CorruptDataError), match=words):
        read_labels(tmp_path / "a.tif")
