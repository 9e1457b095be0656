"""Every colour model gives the colours that the file was made from, or an error that names it."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow
from PIL import ImageCms

from histoscope.errors import CorruptDataError
from histoscope.files import read_image

ROWS, COLUMNS = np.mgrid[:96, :80]
RGB = np.stack(
    [170 + 40 * np.sin(COLUMNS / 9), 95 + 50 * np.cos(ROWS / 7), 150 + 30 * np.sin((COLUMNS + ROWS) / 11)], 2
)
RGB = RGB.round().astype(np.uint8)
PICTURE = Pillow.fromarray(RGB)
GREY = np.asarray(PICTURE.convert("L"))
DEEP = RGB.astype(np.uint16) * 257  # 255 becomes 65535
SRGB, LAB = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")


def far(got, truth):
    assert got.dtype == np.uint8
    truth = np.repeat(truth[:, :, None], 3, 2) if truth.ndim == 2 else truth
    assert got.shape == truth.shape
    return np.abs(got.astype(int) - truth).max()


def mean_far(got, truth):
    assert got.shape == truth.shape
    return np.abs(got.astype(int) - truth).mean()


def ycbcr(rgb):
    """Give the brightness and colours of JPEG, by its formula (ITU-T T.871)."""
    matrix = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    return np.clip(np.rint(rgb @ matrix.T + [0, 128, 128]), 0, 255).astype(np.uint8)


# --- TIFF ---


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("tile", [None, (32, 48)])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("pixels", [RGB, DEEP], ids=["8 bits", "16 bits"])
def test_rgb_in_any_layout(tmp_path, big_endian, tile, planes, pixels):
    for compression, predictor in [(None, False), ("lzw", True), ("adobe_deflate", True), ("zstd", False)]:
        stored = np.moveaxis(pixels, 2, 0) if planes == "separate" else pixels
        options = {"planarconfig": planes, "tile": tile, "byteorder": ">" if big_endian else "<"}
        options |= {"compression": compression, "predictor": predictor, "rowsperstrip": None if tile else 7}
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", **options)
        assert far(read_image(tmp_path / "a.tif"), RGB) == 0


@pytest.mark.parametrize(
    ("compression", "within"), [("jpeg", 3), ("jpeg2000", 0), ("webp", 0), ("jpegxl", 0), ("packbits", 0)]
)
def test_rgb_in_the_compressions_of_slides(tmp_path, compression, within):
    for tile in (None, (32, 32)):
        tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb", compression=compression, tile=tile)
        assert mean_far(read_image(tmp_path / "a.tif"), RGB) <= within


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2)])
def test_ycbcr_in_jpeg(tmp_path, subsampling):
    options = {"compression": "jpeg", "compressionargs": {"level": 95}, "subsampling": subsampling}
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb", tile=(32, 32), **options)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages[0].photometric == 6
    assert mean_far(read_image(tmp_path / "a.tif"), RGB) < 3


@pytest.mark.parametrize("compression", [None, "lzw", "adobe_deflate"])
def test_ycbcr_without_jpeg(tmp_path, compression):
    tifffile.imwrite(tmp_path / "a.tif", ycbcr(RGB), photometric="ycbcr", compression=compression)
    assert far(read_image(tmp_path / "a.tif"), RGB) <= 3


def subsampled_tiff(path, rgb, across, down):
    """Write uncompressed YCbCr with fewer colours than pixels, by the book (TIFF 6.0, section 21)."""
    height, width = rgb.shape[:2]
    full = ycbcr(rgb).astype(float)
    blocks = full.reshape(height // down, down, width // across, across, 3)
    luma = blocks[..., 0].transpose(0, 2, 1, 3).reshape(-1, down * across)
    colours = np.rint(blocks[..., 1:].mean((1, 3))).reshape(-1, 2)
    data = np.concatenate([luma, colours], 1).astype(np.uint8).tobytes()
    entries = [
        *((256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, 8 + 2 + 13 * 12 + 4), (259, 3, 1, 1)),
        *((262, 3, 1, 6), (273, 4, 1, 200), (277, 3, 1, 3), (278, 4, 1, height), (279, 4, 1, len(data))),
        *((284, 3, 1, 1), (530, 3, 2, across | down << 16), (531, 3, 1, 1), (339, 3, 1, 1)),
    ]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    head = (
        b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4) + struct.pack("<HHH", 8, 8, 8)
    )
    path.write_bytes(head.ljust(200, b"\0") + data)


@pytest.mark.parametrize(("across", "down"), [(2, 1), (2, 2), (4, 2)])
def test_ycbcr_with_fewer_colours_than_pixels(tmp_path, across, down):
    subsampled_tiff(tmp_path / "a.tif", RGB, across, down)
    assert mean_far(read_image(tmp_path / "a.tif"), RGB) < 4


def test_aperios_jpeg_2000_of_ycbcr(tmp_path):
    stored = imagecodecs.jpeg2k_encode(ycbcr(RGB), codecformat="J2K", mct=False, reversible=True)
    tifffile.imwrite(tmp_path / "a.svs", RGB, photometric="rgb", rowsperstrip=96)
    with tifffile.TiffFile(tmp_path / "a.svs", mode="r+b") as file:
        tags, end = file.pages[0].tags, file.filehandle.size
        tags["Compression"].overwrite(33003)
        tags["StripOffsets"].overwrite(end)
        tags["StripByteCounts"].overwrite(len(stored))
        file.filehandle.seek(end)
        file.filehandle.write(stored)
    assert far(read_image(tmp_path / "a.svs"), RGB) <= 3


def test_cmyk_without_a_profile_is_255_less_ink(tmp_path):
    ink = np.dstack([255 - RGB, np.zeros_like(GREY)])
    tifffile.imwrite(tmp_path / "a.tif", ink, photometric="separated")
    assert far(read_image(tmp_path / "a.tif"), RGB) == 0
    tifffile.imwrite(tmp_path / "a.tif", ink.astype(np.uint16) * 257, photometric="separated")
    assert far(read_image(tmp_path / "a.tif"), RGB) == 0
    tifffile.imwrite(tmp_path / "a.tif", ink, photometric="separated", compression="jpeg")
    assert far(read_image(tmp_path / "a.tif"), RGB) <= 12


def test_a_broken_cmyk_profile_is_passed_over(tmp_path):
    ink = np.dstack([255 - RGB, np.zeros_like(GREY)])
    profile = bytes(16) + b"CMYK" + bytes(200)
    tifffile.imwrite(tmp_path / "a.tif", ink, photometric="separated", iccprofile=profile)
    assert far(read_image(tmp_path / "a.tif"), RGB) == 0


@pytest.mark.parametrize("model", ["cielab", "icclab"])
@pytest.mark.parametrize("bits", [8, 16])
def test_lab(tmp_path, model, bits):
    transform = ImageCms.buildTransformFromOpenProfiles(SRGB, LAB, "RGB", "LAB")
    lab = np.asarray(ImageCms.applyTransform(PICTURE, transform))  # a and b are signed, as in TIFF
    stored = lab ^ np.array([0, 128, 128], np.uint8) if model == "icclab" else lab
    stored = stored.astype(np.uint16) << 8 if bits == 16 else stored
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=model)
    assert far(read_image(tmp_path / "a.tif"), RGB) <= 6
    # Formulas of CIE for the middle of the picture, as an independent truth.
    lightness = (
        116
        * np.cbrt(
            0.2126 * _linear(RGB)[..., 0] + 0.7152 * _linear(RGB)[..., 1] + 0.0722 * _linear(RGB)[..., 2]
        )
        - 16
    )
    assert np.abs(lab[..., 0] / 2.55 - lightness).max() < 4


def _linear(rgb):
    share = rgb / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes(tmp_path, bits):
    indices = ((ROWS // 8 + COLUMNS // 8) % 2**bits).astype(np.uint8)
    colours = np.random.default_rng(0).integers(0, 256, (2**bits, 3), dtype=np.uint8)
    colormap = (colours.T.astype(np.uint16)) * 257
    if bits == 8:
        tifffile.imwrite(tmp_path / "a.tif", indices, photometric="palette", colormap=colormap)
        assert far(read_image(tmp_path / "a.tif"), colours[indices]) == 0
    picture = Pillow.frombytes("P", (80, 96), indices.tobytes())
    picture.putpalette(colours.tobytes())
    for name in ("p.png", "p.bmp", "p.gif", "p.tif"):
        picture.save(tmp_path / name)
        assert far(read_image(tmp_path / name), colours[indices]) == 0


def test_a_palette_of_16_bit_indices_and_one_of_8_bit_colours(tmp_path):
    indices = (ROWS * 500 + COLUMNS).astype(np.uint16)
    colours = np.random.default_rng(0).integers(0, 256, (2**16, 3), dtype=np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif", indices, photometric="palette", colormap=colours.T.astype(np.uint16) << 8
    )
    assert far(read_image(tmp_path / "a.tif"), colours[indices]) == 0
    small = (indices % 256).astype(np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif", small, photometric="palette", colormap=colours[:256].T.astype(np.uint16)
    )
    assert far(read_image(tmp_path / "a.tif"), colours[small]) == 0


@pytest.mark.parametrize(("photometric", "sign"), [("minisblack", 1), ("miniswhite", -1)])
def test_grey_where_black_or_white_is_zero(tmp_path, photometric, sign):
    stored = GREY if sign > 0 else 255 - GREY
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=photometric)
    assert far(read_image(tmp_path / "a.tif"), GREY) == 0
    tifffile.imwrite(tmp_path / "a.tif", stored.astype(np.uint16) * 257, photometric=photometric)
    assert far(read_image(tmp_path / "a.tif"), GREY) == 0
    bits = (GREY > 120) if sign > 0 else (GREY <= 120)
    tifffile.imwrite(tmp_path / "a.tif", bits, photometric=photometric)
    assert far(read_image(tmp_path / "a.tif"), np.where(GREY > 120, 255, 0)) == 0


@pytest.mark.parametrize("compression", [None, "group3", "group4", "tiff_lzw"])
def test_one_bit(tmp_path, compression):
    Pillow.fromarray(GREY > 120).save(tmp_path / "a.tif", compression=compression)
    assert far(read_image(tmp_path / "a.tif"), np.where(GREY > 120, 255, 0)) == 0


@pytest.mark.parametrize("bits", [2, 4, 12])
def test_grey_of_odd_bits(tmp_path, bits):
    stored = np.rint(GREY * ((2**bits - 1) / 255)).astype(int)
    packed = np.packbits((stored[..., None] >> np.arange(bits)[::-1] & 1).astype(np.uint8).reshape(96, -1), 1)
    tifffile.imwrite(tmp_path / "a.tif", packed, photometric="minisblack")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
        file.pages[0].tags["ImageWidth"].overwrite(80)
        file.pages[0].tags["BitsPerSample"].overwrite(bits)
    assert far(read_image(tmp_path / "a.tif"), GREY) <= max(1, 128 // (2**bits - 1))


# --- extra channels ---


def extra(kind, fourth, pixels=RGB):
    return {"data": np.dstack([pixels, fourth]), "photometric": "rgb", "extrasamples": [kind]}


@pytest.mark.parametrize("fourth", [np.zeros_like(GREY), RGB[..., 1]], ids=["0", "a colour"])
def test_a_channel_of_unknown_meaning_is_left_out(tmp_path, fourth):
    tifffile.imwrite(tmp_path / "a.tif", **extra("unspecified", fourth))
    assert far(read_image(tmp_path / "a.tif"), RGB) == 0


@pytest.mark.parametrize("scale", [1, 257])
def test_alpha_is_laid_on_white(tmp_path, scale):
    alpha = (COLUMNS * 3).astype(np.uint8)
    share = alpha[..., None] / 255
    truth = np.rint(RGB * share + 255 * (1 - share))
    kind = np.uint8 if scale == 1 else np.uint16
    pixels, many = RGB.astype(kind) * kind(scale), alpha.astype(kind) * kind(scale)
    tifffile.imwrite(tmp_path / "a.tif", **extra("unassalpha", many, pixels))
    assert far(read_image(tmp_path / "a.tif"), truth) <= 1
    premultiplied = np.rint(pixels * share).astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", **extra("assocalpha", many, premultiplied))
    assert far(read_image(tmp_path / "a.tif"), truth) <= 1
    assert far(read_image(tmp_path / "a.tif", ignore_alpha=True), premultiplied // scale) <= 1


def test_alpha_may_stand_behind_a_channel_of_unknown_meaning(tmp_path):
    alpha = (COLUMNS * 3).astype(np.uint8)
    truth = np.rint(RGB * (alpha[..., None] / 255) + 255 - alpha[..., None].astype(float))
    options = {"photometric": "rgb", "extrasamples": ["unspecified", "unassalpha"]}
    tifffile.imwrite(tmp_path / "a.tif", np.dstack([RGB, GREY, alpha]), **options)
    assert far(read_image(tmp_path / "a.tif"), truth) <= 1


def test_grey_with_alpha(tmp_path):
    alpha = (COLUMNS * 3).astype(np.uint8)
    truth = np.rint(GREY * (alpha / 255) + 255 - alpha)
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.dstack([GREY, alpha]),
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unassalpha"],
    )
    assert far(read_image(tmp_path / "a.tif"), truth) <= 1
    Pillow.merge("LA", [Pillow.fromarray(GREY), Pillow.fromarray(alpha)]).save(tmp_path / "a.png")
    assert far(read_image(tmp_path / "a.png"), truth) <= 1


def test_a_picture_that_is_transparent_everywhere_is_refused_and_empty_tiles_are_white(tmp_path):
    gone = np.dstack([RGB, np.zeros_like(GREY)])
    Pillow.fromarray(gone).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", **extra("unassalpha", np.zeros_like(GREY)))
    for name in ("a.png", "a.tif"):
        with pytest.raises(CorruptDataError, match=r"transparent everywhere .* save it without alpha"):
            read_image(tmp_path / name)
        assert far(read_image(tmp_path / name, ignore_alpha=True), RGB) == 0
    Pillow.fromarray(np.zeros((8, 8, 4), np.uint8)).save(tmp_path / "b.png")
    assert (read_image(tmp_path / "b.png") == 255).all()


def test_cmyk_with_a_spot_colour_is_read_without_it(tmp_path):
    ink = np.dstack([255 - RGB, np.zeros_like(GREY), GREY])
    tifffile.imwrite(tmp_path / "a.tif", ink, photometric="separated", extrasamples=["unspecified"])
    assert far(read_image(tmp_path / "a.tif"), RGB) == 0


# --- bits in 16 ---


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_fewer_bits_are_scaled_by_what_the_file_says(tmp_path, bits):
    stored = RGB.astype(np.uint16) << (bits - 8)
    planes = np.moveaxis(stored, 2, 0)
    metadata = {"axes": "CYX", "SignificantBits": bits}
    tifffile.imwrite(tmp_path / "a.ome.tif", planes, ome=True, metadata=metadata, photometric="minisblack")
    assert far(read_image(tmp_path / "a.ome.tif"), RGB) == 0
    for tag in (281, 341):  # MaxSampleValue, SMaxSampleValue
        tags = [(tag, 3, 3, (2**bits - 1,) * 3, True)]
        tifffile.imwrite(tmp_path / "b.tif", stored, photometric="rgb", extratags=tags)
        assert far(read_image(tmp_path / "b.tif"), RGB) == 0


@pytest.mark.parametrize("suffix", [".tif", ".png"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_fewer_bits_that_are_not_told_are_refused(tmp_path, bits, suffix):
    for stored in (RGB.astype(np.uint16) << (bits - 8), GREY.astype(np.uint16) << (bits - 8)):
        data = imagecodecs.png_encode(stored)
        (tmp_path / "a.png").write_bytes(data)
        tifffile.imwrite(tmp_path / "a.tif", stored)
        with pytest.raises(CorruptDataError, match=rf"as if only {bits} bits were used.* MaxSampleValue"):
            read_image(tmp_path / f"a{suffix}")


def test_a_file_that_says_fewer_bits_than_it_uses_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", DEEP, photometric="rgb", extratags=[(281, 3, 3, (4095,) * 3, True)])
    with pytest.raises(CorruptDataError, match="uses 12 bits, but its values go up to"):
        read_image(tmp_path / "a.tif")


def test_sixteen_bits_of_png(tmp_path):
    for stored, truth in [(DEEP, RGB), (DEEP[..., 0].copy(), RGB[..., 0])]:
        (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(stored))
        assert far(read_image(tmp_path / "a.png"), truth) == 0
    alpha = np.full_like(DEEP[..., :1], 65535)
    alpha[:10] = 0
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.dstack([DEEP, alpha])))
    got = read_image(tmp_path / "a.png")
    assert (got[:10] == 255).all()
    assert far(got[10:], RGB[10:]) == 0


def test_black_is_black_in_any_bits(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8, 3), np.uint16), photometric="rgb")
    assert (read_image(tmp_path / "a.tif") == 0).all()


# --- several images in one file ---


def test_a_thumbnail_on_the_first_page_is_passed_over(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(RGB[::4, ::4], photometric="rgb", subfiletype=1)
        file.write(RGB, photometric="rgb")
    assert far(read_image(tmp_path / "a.tif"), RGB) == 0
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:  # without a word that it is one
        file.write(RGB[::4, ::4], photometric="rgb")
        file.write(RGB, photometric="rgb")
    assert far(read_image(tmp_path / "a.tif"), RGB) == 0


def test_pyramids_give_their_finest_level(tmp_path):
    for inside in (0, 2):
        with tifffile.TiffWriter(tmp_path / "a.tif", ome=bool(inside)) as file:
            file.write(RGB, photometric="rgb", tile=(32, 32), subifds=inside)
            for step in (2, 4):
                file.write(RGB[::step, ::step], photometric="rgb", tile=(32, 32), subfiletype=1)
        assert far(read_image(tmp_path / "a.tif"), RGB) == 0


def test_a_mask_page_is_passed_over(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(GREY > 100, subfiletype=4, photometric="minisblack")
        file.write(RGB, photometric="rgb")
    assert far(read_image(tmp_path / "a.tif"), RGB) == 0


def test_stacks_and_several_images_of_one_size_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([RGB, RGB]), photometric="rgb")
    with pytest.raises(CorruptDataError, match=r"shape \(2, 96, 80, 3\)"):
        read_image(tmp_path / "a.tif")
    Pillow.fromarray(RGB).save(tmp_path / "a.tif", save_all=True, append_images=[Pillow.fromarray(GREY)])
    with pytest.raises(CorruptDataError, match="holds 2 images of 80 x 96 pixels"):
        read_image(tmp_path / "a.tif")


def test_three_grey_pages_that_nobody_calls_red_green_and_blue_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(RGB, 2, 0), photometric="minisblack")
    with pytest.raises(CorruptDataError, match=r"shape \(3, 96, 80\)"):
        read_image(tmp_path / "a.tif")


def test_three_channels_of_ome_and_imagej_are_rgb(tmp_path):
    planes = np.moveaxis(RGB, 2, 0)
    tifffile.imwrite(
        tmp_path / "a.ome.tif", planes, ome=True, metadata={"axes": "CYX"}, photometric="minisblack"
    )
    assert far(read_image(tmp_path / "a.ome.tif"), RGB) == 0
    tifffile.imwrite(tmp_path / "a.tif", planes, imagej=True, metadata={"axes": "CYX", "mode": "composite"})
    assert far(read_image(tmp_path / "a.tif"), RGB) == 0
    tifffile.imwrite(tmp_path / "a.tif", RGB, imagej=True, metadata={"axes": "YXS"})
    assert far(read_image(tmp_path / "a.tif"), RGB) == 0


def lut(red, green, blue):
    ramp = np.arange(256, dtype=np.uint8)
    return np.stack([ramp * red, ramp * green, ramp * blue])


@pytest.mark.parametrize("is_rgb", [True, False])
def test_channels_of_other_colours_are_refused(tmp_path, is_rgb):
    luts = [lut(1, 0, 0), lut(0, 1, 0), lut(0, 0, 1)]
    colours = [0xFF0000FF, 0x00FF00FF, 0x0000FFFF]
    if not is_rgb:
        luts, colours = luts[::-1], colours[::-1]
    planes = np.moveaxis(RGB, 2, 0)
    tifffile.imwrite(tmp_path / "a.tif", planes, imagej=True, metadata={"axes": "CYX", "LUTs": luts})
    signed = [colour - 2**32 if colour >= 2**31 else colour for colour in colours]
    metadata = {"axes": "CYX", "Channel": {"Color": signed}}
    tifffile.imwrite(tmp_path / "b.tif", planes, ome=True, metadata=metadata, photometric="minisblack")
    for name in ("a.tif", "b.tif"):
        if is_rgb:
            assert far(read_image(tmp_path / name), RGB) == 0
        else:
            with pytest.raises(CorruptDataError, match="not red, green and blue"):
                read_image(tmp_path / name)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_narrow_images_are_told_by_tags_not_by_shape(tmp_path, width):
    thin = np.ascontiguousarray(RGB[:, :width])
    tifffile.imwrite(tmp_path / "a.tif", thin, photometric="rgb", planarconfig="contig")
    assert far(read_image(tmp_path / "a.tif"), thin) == 0
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(thin, 2, 0), photometric="rgb", planarconfig="separate")
    assert far(read_image(tmp_path / "a.tif"), thin) == 0
    flat = np.ascontiguousarray(thin[:3])
    tifffile.imwrite(tmp_path / "a.tif", flat, photometric="rgb", planarconfig="contig")
    assert far(read_image(tmp_path / "a.tif"), flat) == 0


def test_tiles_that_a_slide_leaves_out_are_white(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb", tile=(48, 48), compression="jpeg")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
        counts = list(file.pages[0].databytecounts)
        file.pages[0].tags["TileByteCounts"].overwrite([0, *counts[1:]])
        file.pages[0].tags["TileOffsets"].overwrite([0, *file.pages[0].dataoffsets[1:]])
    got = read_image(tmp_path / "a.tif")
    assert (got[:48, :48] == 255).all()
    assert mean_far(got[48:], RGB[48:]) < 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"photometric": "cfa"}, "colour model CFA"),
        ({"photometric": "linear_raw"}, "colour model LINEAR_RAW"),
        ({"photometric": "logl"}, "colour model LOGL"),
    ],
)
def test_colour_models_that_are_not_read_are_named(tmp_path, options, words):
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="minisblack")
    value = {"cfa": 32803, "linear_raw": 34892, "logl": 32844}[options["photometric"]]
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
        file.pages[0].tags["PhotometricInterpretation"].overwrite(value)
    with pytest.raises(CorruptDataError, match=words):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint32, np.int16])
def test_numbers_that_are_no_colours_are_named(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", RGB.astype(dtype), photometric="rgb")
    with pytest.raises(CorruptDataError, match=np.dtype(dtype).name):
        read_image(tmp_path / "a.tif")


# --- PNG, JPEG and others ---


def test_a_transparent_palette_and_a_transparent_colour(tmp_path):
    picture = Pillow.fromarray(np.array([[0, 1], [1, 0]], np.uint8)).convert("P")
    picture.putpalette([200, 0, 0, 0, 0, 200])
    picture.save(tmp_path / "a.png", transparency=b"\x00\xff")
    assert read_image(tmp_path / "a.png")[0].tolist() == [[255] * 3, [0, 0, 200]]
    Pillow.fromarray(np.array([[[9, 8, 7], [1, 2, 3]]], np.uint8)).save(
        tmp_path / "b.png", transparency=(9, 8, 7)
    )
    assert read_image(tmp_path / "b.png")[0].tolist() == [[255] * 3, [1, 2, 3]]


def test_cmyk_jpeg_of_adobe_is_not_turned_into_its_negative(tmp_path):
    Pillow.fromarray(np.dstack([255 - RGB, np.zeros_like(GREY)]), mode="CMYK").save(
        tmp_path / "a.jpg", quality=98
    )
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - RGB).mean() < 3


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def test_gamma_and_profiles_of_rgb_change_no_number(tmp_path):
    buffer = io.BytesIO()
    PICTURE.save(buffer, "PNG", icc_profile=ImageCms.ImageCmsProfile(SRGB).tobytes())
    data = buffer.getvalue()
    (tmp_path / "a.png").write_bytes(data[:33] + chunk(b"gAMA", struct.pack(">I", 100_000)) + data[33:])
    assert far(read_image(tmp_path / "a.png"), RGB) == 0


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
def test_animations_are_refused(tmp_path, suffix):
    frames = [Pillow.fromarray(np.roll(RGB, 9 * k, 0)) for k in range(3)]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(CorruptDataError, match=r"3 frames|shape \(3, 96, 80, 3\)"):
        read_image(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".webp", ".jp2"])
@pytest.mark.parametrize("called", [".png", ".tif", ".jpg", ".svs", ""])
def test_content_counts_not_the_suffix(tmp_path, suffix, called):
    lossless = {"lossless": True} if suffix == ".webp" else {"quality": 98} if suffix == ".jpg" else {}
    PICTURE.save(tmp_path / f"x{suffix}", **lossless)
    path = (tmp_path / f"x{suffix}").rename(tmp_path / f"a{called}")
    assert far(read_image(path), RGB) <= (12 if suffix == ".jpg" else 0)
