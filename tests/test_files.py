"""Files are written whole or not at all; broken and unusual images give an RGB array or one clear error."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageCms

from histoscope.errors import ConfigError, CorruptDataError, DatasetNotFoundError, ShapeError
from histoscope.files import (
    read_image,
    read_labels,
    require_writable,
    whole,
    write_image,
    write_labels,
    write_text,
)
from histoscope.images.resolution import mpp_of


@pytest.fixture
def picture(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)


class BoomError(Exception):
    pass


# --- require_writable ---


def test_what_cannot_be_written_is_told_before_the_work(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").write_text("mine")
    require_writable(tmp_path / "new" / "er")
    require_writable(tmp_path / "file", file=True)
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(ConfigError, match="file is a file; choose a folder"):
            require_writable(place)
    with pytest.raises(ConfigError, match="it is a folder; give the name of a file in it"):
        require_writable(tmp_path, file=True)
    with pytest.raises(ConfigError, match="file is a file"):
        require_writable(tmp_path / "file" / "a.csv", file=True)
    monkeypatch.setattr(os, "access", lambda place, mode: place != tmp_path)
    for place, file in ((tmp_path / "new" / "er", False), (tmp_path / "a.csv", True)):
        with pytest.raises(ConfigError, match=f"{tmp_path} is read-only"):
            require_writable(place, file=file)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# --- whole ---


def test_whole_writes_and_leaves_nothing_beside(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "er" / "a.txt"
    with whole(out) as temporary:
        assert temporary.parent == out.parent  # the same file system, so that the rename is atomic
        assert temporary.suffix == ".txt"
        temporary.write_text("new")
        assert not out.exists()
    assert out.read_text() == "new"
    assert list(out.parent.iterdir()) == [out]
    assert out.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [BoomError, KeyboardInterrupt, SystemExit])
def test_whole_keeps_the_old_file_when_the_block_fails(tmp_path: Path, error: type[BaseException]) -> None:
    out = tmp_path / "a.txt"
    out.write_text("old")
    with pytest.raises(error), whole(out) as temporary:  # noqa: PT012
        temporary.write_text("half of the n")
        raise error
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


def test_a_full_disk_leaves_no_half_file(
    tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        with path.open("wb") as file:
            file.write(b"\x89PNG half")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Pillow.Image, "save", lambda _, path, **__: full(path))
    monkeypatch.setattr(Path, "write_bytes", lambda path, _: full(path))
    for name in ("a.png", "a.bmp"):
        with pytest.raises(OSError, match="No space left"):
            write_image(tmp_path / name, picture)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["ä" * 125 + ".png", "切片" * 40 + ".tif", "x" * 251 + ".txt", "y." + "z" * 253]
)
def test_names_may_be_as_long_as_the_disk_allows(tmp_path: Path, name: str) -> None:
    assert len(name.encode()) <= 255
    with whole(tmp_path / name) as temporary:
        temporary.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_new_file_has_the_rights_of_new_files_and_an_old_one_keeps_its_own(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with whole(tmp_path / "new.txt") as temporary:
            temporary.write_text("a")
    finally:
        os.umask(before)
    assert (tmp_path / "new.txt").stat().st_mode & 0o777 == 0o640
    (tmp_path / "new.txt").chmod(0o664)
    with whole(tmp_path / "new.txt") as temporary:
        temporary.write_text("b")
    assert (tmp_path / "new.txt").stat().st_mode & 0o777 == 0o664


def test_a_disk_that_fills_when_it_is_asked_for_safety_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "a.txt").write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), whole(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_known_whatever_the_writer_calls_it_and_the_file_has_its_own_name(
    tmp_path: Path,
) -> None:
    with pytest.raises(OSError, match="No space left") as caught, whole(tmp_path / "a.parquet"):
        raise OSError(errno.ENOSPC, "No space left on device")  # as Arrow: without a name
    assert caught.value.filename == str(tmp_path / "a.parquet")
    words = f"Error while serializing: I/O error: {os.strerror(errno.ENOSPC)} (os error 28)"
    with pytest.raises(OSError, match="No space left") as caught, whole(tmp_path / "a.safetensors"):
        raise RuntimeError(words)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "a.safetensors"))
    with pytest.raises(OSError, match="Read-only") as caught, whole(tmp_path / "a.csv") as temporary:
        raise OSError(errno.EROFS, "Read-only file system", str(temporary))
    assert caught.value.filename == str(tmp_path / "a.csv")
    with pytest.raises(BoomError), whole(tmp_path / "b.csv"):
        raise BoomError("of another kind")
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_replaced_and_what_it_leads_to_is_kept(tmp_path: Path) -> None:
    (tmp_path / "theirs.txt").write_text("theirs")
    (tmp_path / "a.txt").symlink_to(tmp_path / "theirs.txt")
    write_text(tmp_path / "a.txt", "ours")
    assert (tmp_path / "theirs.txt").read_text() == "theirs"
    assert (tmp_path / "a.txt").read_text() == "ours"


def test_write_text_is_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "µm ≤ 3")
    assert (tmp_path / "a.txt").read_bytes() == "µm ≤ 3".encode()


# --- images ---


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".bmp"])
def test_lossless_formats_give_the_pixels_back(tmp_path: Path, picture: np.ndarray, suffix: str) -> None:
    write_image(tmp_path / f"a{suffix}", picture)
    back = read_image(tmp_path / f"a{suffix}")
    assert back.dtype == np.uint8
    assert back.flags.c_contiguous
    np.testing.assert_array_equal(back, picture)


def test_jpeg_is_close(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    smooth = np.dstack(
        [np.tile(ramp, (64, 1)), np.tile(ramp[:, None], (1, 64)), np.full((64, 64), 128, np.uint8)]
    )
    write_image(tmp_path / "a.jpg", smooth)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - smooth).mean() < 3


def test_a_strided_view_is_written(tmp_path: Path, picture: np.ndarray) -> None:
    write_image(tmp_path / "a.png", picture[::2, ::-1])
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), picture[::2, ::-1])


def test_grey_palette_and_bilevel_become_rgb(tmp_path: Path, picture: np.ndarray) -> None:
    grey = picture[:, :, 0]
    Pillow.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.dstack([grey] * 3))

    palette = Pillow.fromarray(picture).quantize(16)
    palette.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png"), np.asarray(palette.convert("RGB")))

    bits = Pillow.fromarray(grey > 127)
    bits.save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bits.png")[:, :, 1], np.where(grey > 127, 255, 0))


def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path) -> None:
    deep = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    expected = np.array([[0, 0, 1, 128, 255]], np.uint8)
    Pillow.fromarray(deep).save(tmp_path / "grey.png")
    tifffile.imwrite(tmp_path / "rgb.tif", np.dstack([deep] * 3), photometric="rgb")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png")[:, :, 0], expected)
    np.testing.assert_array_equal(read_image(tmp_path / "rgb.tif"), np.dstack([expected] * 3))


def test_transparent_becomes_white_like_glass(tmp_path: Path) -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 3] = [0, 255, 51]  # glass, black, a fifth of black
    Pillow.fromarray(rgba).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[0, :, 0], [255, 0, 204])


def test_grey_with_alpha_becomes_rgb(tmp_path: Path) -> None:
    Pillow.fromarray(np.array([[[10, 255], [10, 0]]], np.uint8), mode=None).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), [[[10] * 3, [255] * 3]])


def test_a_transparent_palette_becomes_white(tmp_path: Path) -> None:
    image = Pillow.fromarray(np.array([[0, 1]], np.uint8), mode=None).convert("P")
    image.putpalette([200, 0, 0, 0, 0, 200])
    image.save(tmp_path / "a.png", transparency=0)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), [[[255] * 3, [0, 0, 200]]])


def test_cmyk_jpeg_becomes_rgb(tmp_path: Path) -> None:
    Pillow.new("CMYK", (16, 16), (0, 255, 0, 0)).save(tmp_path / "a.jpg")
    red, green, blue = read_image(tmp_path / "a.jpg").mean((0, 1))
    assert red > 200
    assert green < 60
    assert blue > 200


def test_planar_tiff_becomes_interleaved(tmp_path: Path, picture: np.ndarray) -> None:
    planar = np.ascontiguousarray(np.moveaxis(picture, 2, 0))
    tifffile.imwrite(tmp_path / "a.tif", planar, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), picture)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9])
def test_a_truncated_image_is_a_clear_error(
    tmp_path: Path, picture: np.ndarray, suffix: str, share: float
) -> None:
    path = tmp_path / f"a{suffix}"
    write_image(path, picture)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CorruptDataError, match=f"a{suffix} .*replace or remove it") as caught:
        read_image(path)
    assert isinstance(caught.value, ValueError)


def test_a_flipped_byte_in_a_png_is_found(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "a.png"
    write_image(path, picture)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(CorruptDataError):
        read_image(path)


def test_text_under_an_image_name_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("<html>404</html>")
    with pytest.raises(CorruptDataError, match="cannot be decoded"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 5, 6, 3), np.uint8), "shape"),
        (np.zeros((8, 8), np.float32), "float32"),
        (np.zeros((8, 8, 2), np.uint8), "shape"),
    ],
)
def test_tiffs_that_are_no_picture_are_refused(tmp_path: Path, array: np.ndarray, words: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack")
    with pytest.raises(CorruptDataError, match=words):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("read", [read_image, read_labels])
def test_missing_files_and_folders_say_so(tmp_path: Path, read) -> None:
    for path in (tmp_path / "no.png", tmp_path):
        with pytest.raises(DatasetNotFoundError, match="check the path") as caught:
            read(path)
        assert isinstance(caught.value, FileNotFoundError)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp"])
@pytest.mark.parametrize("mpp", [0.1, 0.25, 0.499, 1.0])
def test_the_size_of_a_pixel_is_written_and_others_read_it(
    tmp_path: Path, picture: np.ndarray, suffix: str, mpp: float
) -> None:
    path = tmp_path / f"a{suffix}"
    write_image(path, picture, mpp=mpp)
    assert mpp_of(path) == pytest.approx(mpp, rel=1e-3 if suffix == ".bmp" else 1e-5)
    if suffix != ".jpg":
        with Pillow.open(path) as other:
            assert float(other.info["dpi"][0]) == pytest.approx(25_400 / mpp, rel=1e-3)
        np.testing.assert_array_equal(read_image(path), picture)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_a_profile_is_written_and_others_read_it(tmp_path: Path, picture: np.ndarray, suffix: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    write_image(tmp_path / f"a{suffix}", picture, icc=profile)
    with Pillow.open(tmp_path / f"a{suffix}") as other:
        other.load()
        assert other.info["icc_profile"] == profile


def test_a_suffix_that_is_not_written_is_refused(tmp_path: Path, picture: np.ndarray) -> None:
    for name in ("a.svs", "a.webp", "a"):
        with pytest.raises(ConfigError, match=r"is not one of \.bmp, \.jpeg"):
            write_image(tmp_path / name, picture)
    assert list(tmp_path.iterdir()) == []


# --- label maps ---


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_label_maps_come_back(tmp_path: Path, suffix: str) -> None:
    labels = np.array([[0, 1, 300], [65535, 40000, 7]], np.int32)
    write_labels(tmp_path / f"a{suffix}", labels)
    back = read_labels(tmp_path / f"a{suffix}")
    assert back.dtype == np.int32
    np.testing.assert_array_equal(back, labels)


def test_ids_beyond_sixteen_bits_go_to_tiff_only(tmp_path: Path) -> None:
    labels = np.array([[0, 65536, 2_000_000]], np.int32)
    with pytest.raises(ShapeError, match=r"to 2000000; they do not fit .* write a\.tif"):
        write_labels(tmp_path / "a.png", labels)
    assert list(tmp_path.iterdir()) == []
    write_labels(tmp_path / "a.tif", labels)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), labels)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_negative_ids_are_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ShapeError, match="-1"):
        write_labels(tmp_path / f"a{suffix}", np.array([[-1, 0]], np.int32))


def test_ids_that_int32_cannot_hold_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 2**31]], np.uint32))
    with pytest.raises(ShapeError, match="2147483648"):
        read_labels(tmp_path / "a.tif")


def test_float_label_maps_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0.0, 1.5]], np.float32))
    with pytest.raises(ShapeError, match="float32"):
        read_labels(tmp_path / "a.tif")


def test_a_coloured_label_map_is_refused(tmp_path: Path, picture: np.ndarray) -> None:
    write_image(tmp_path / "a.png", picture)
    with pytest.raises(ShapeError, match=r"\(40, 30, 3\)"):
        read_labels(tmp_path / "a.png")


def test_a_palette_label_map_keeps_its_indices(tmp_path: Path) -> None:
    indices = np.array([[0, 1, 2, 9]], np.uint8)
    image = Pillow.fromarray(indices).convert("P")
    image.putpalette([value for index in range(256) for value in (index, 255 - index, 7)])
    image.putdata(indices.ravel().tolist())
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), indices)


def test_a_bilevel_label_map_counts_as_one_id(tmp_path: Path) -> None:
    Pillow.fromarray(np.array([[False, True]])).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), [[0, 1]])


def test_a_truncated_label_map_is_a_clear_error(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "a.png"
    write_labels(path, rng.integers(0, 500, (60, 60)).astype(np.int32))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CorruptDataError, match=r"a\.png cannot be decoded"):
        read_labels(path)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 65535), st.integers(0, 2**32 - 1))
def test_any_label_map_survives_png(tmp_path_factory, height: int, width: int, top: int, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, top + 1, (height, width)).astype(np.int32)
    path = tmp_path_factory.mktemp("labels") / "a.png"
    write_labels(path, labels)
    np.testing.assert_array_equal(read_labels(path), labels)
