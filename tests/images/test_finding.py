"""A folder never skips silently: every image is found or named with the reason."""

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from histoscope.errors import CorruptDataError, DatasetNotFoundError
from histoscope.images.finding import Skipped, find_images, lines_of
from histoscope.images.kinds import kind_of, unreadable

PIXELS = np.full((8, 9, 3), 200, np.uint8)


def names(found):
    return [image.relative_to(found.root).as_posix() for image in found.images]


@pytest.fixture
def folder(tmp_path):
    """Give a folder with two images, a table, and a hidden image."""
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    Pillow.fromarray(PIXELS).save(folder / "b.png")
    Pillow.fromarray(PIXELS).save(folder / "deep" / "A.JPG")
    Pillow.fromarray(PIXELS).save(folder / ".hidden.png")
    (folder / "table.csv").write_text("BMI,age\n1,2\n")
    (folder / "notes").write_text("II* is how a TIFF begins\n")
    return folder


def test_a_folder_is_searched_to_the_bottom(folder):
    found = find_images(folder)
    assert names(found) == ["b.png", "deep/A.JPG"]
    assert found.skipped == []


def test_images_are_known_by_content_where_the_suffix_says_nothing(folder):
    tifffile.imwrite(folder / "slide.svs", PIXELS, photometric="rgb")
    tifffile.imwrite(folder / "scan", PIXELS, photometric="rgb", bigtiff=True)
    Pillow.fromarray(PIXELS).save(folder / "c.webp")
    assert names(find_images(folder)) == ["b.png", "c.webp", "deep/A.JPG", "scan", "slide.svs"]


def test_slides_that_are_not_read_are_named(folder):
    Pillow.fromarray(PIXELS).save(folder / "preview.jpg")
    (folder / "preview.jpg").rename(folder / "slide.mrxs")  # a MIRAX slide begins like a JPEG
    (folder / "IM0001").write_bytes(bytes(128) + b"DICM" + bytes(20))
    (folder / "a.czi").write_bytes(b"ZISRAWFILE" + bytes(50))
    found = find_images(folder)
    assert names(found) == ["b.png", "deep/A.JPG"]
    told = {one.path.name: one.reason for one in found.skipped}
    assert sorted(told) == ["IM0001", "a.czi", "slide.mrxs"]
    assert told["IM0001"].startswith("DICOM files are not read yet: export")
    assert "MIRAX" in told["slide.mrxs"]
    assert "Zeiss CZI" in told["a.czi"]


def test_an_image_that_is_called_like_a_slide_is_read(folder):
    tifffile.imwrite(folder / "a.dcm", PIXELS, photometric="rgb")
    assert "a.dcm" in names(find_images(folder))
    assert unreadable(folder / "a.dcm") == ""


def test_broken_files_with_the_suffix_of_images_are_kept_to_be_told_later(folder):
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.tif").write_text("no image")
    assert names(find_images(folder)) == ["b.png", "deep/A.JPG", "empty.png", "text.tif"]


def test_links_are_followed_each_folder_once(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Pillow.fromarray(PIXELS).save(elsewhere / "far.png")
    (folder / "linked").symlink_to(elsewhere)
    (folder / "loop").symlink_to(folder)
    (folder / "link.png").symlink_to(elsewhere / "far.png")
    (folder / "gone.png").symlink_to(tmp_path / "nothing.png")
    found = find_images(folder)
    assert names(found) == ["b.png", "deep/A.JPG", "link.png", "linked/far.png"]
    assert [one.path.name for one in found.skipped] == ["gone.png"]


@pytest.mark.parametrize("journal", ["predictions.jsonl", "normalized.jsonl"])
def test_results_of_an_earlier_call_are_left_out_unless_named(folder, journal):
    out = folder / "out"
    (out / "deep").mkdir(parents=True)
    Pillow.fromarray(PIXELS).save(out / "deep" / "b_overlay.png")
    (out / journal).write_text("{}\n")
    for source in (folder, str(folder / "**" / "*.png"), str(folder / "*")):
        found = find_images(source)
        assert "out/deep/b_overlay.png" not in names(found)
        assert [one.path for one in found.skipped] == [out]
    assert names(find_images(out)) == ["deep/b_overlay.png"]


def test_a_glob_takes_files_and_folders(folder):
    assert names(find_images(str(folder / "*.png"))) == ["b.png"]
    assert names(find_images(str(folder / "d*"))) == ["deep/A.JPG"]
    assert find_images(str(folder / "*.png")).root == folder
    assert names(find_images(str(folder / "*.bmp"))) == []
    assert names(find_images(folder / "nothing.png")) == []


def test_names_with_the_signs_of_globs_are_taken_as_they_are(folder):
    odd = folder / "a[1].png"
    Pillow.fromarray(PIXELS).save(odd)
    assert find_images(odd).images == [odd]
    (folder / "b[2]").mkdir()
    odd.rename(folder / "b[2]" / "a.png")
    assert names(find_images(folder / "b[2]")) == ["a.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may enter every folder")
def test_a_folder_that_may_not_be_entered_is_named(folder):
    (folder / "deep").chmod(0)
    try:
        found = find_images(folder)
    finally:
        (folder / "deep").chmod(0o755)
    assert [one.path.name for one in found.skipped] == ["deep"]


def test_what_is_left_out_is_one_line_a_reason():
    some = [Skipped(Path(f"{k}.dcm"), "not read") for k in range(3)] + [Skipped(Path("a.czi"), "neither")]
    assert lines_of(some) == [
        "left out 3 files or folders: not read (0.dcm, 1.dcm, 2.dcm)",
        "left out a.czi: neither",
    ]


@pytest.mark.parametrize(
    ("suffix", "options", "kind"),
    [
        (".png", {}, "PNG"),
        (".jpg", {}, "JPEG"),
        (".tif", {}, "TIFF"),
        (".tif", {"big_tiff": True}, "TIFF"),
        (".bmp", {}, "BMP"),
        (".gif", {}, "GIF"),
        (".webp", {}, "WebP"),
        (".jp2", {}, "JPEG 2000"),
        (".avif", {}, "HEIF"),
    ],
)
def test_kinds_are_told_by_the_first_bytes(tmp_path, suffix, options, kind):
    Pillow.fromarray(PIXELS).save(tmp_path / f"a{suffix}", **options)
    path = (tmp_path / f"a{suffix}").rename(tmp_path / "without_suffix")
    assert kind_of(path) == kind
    assert bool(unreadable(path)) == (kind == "HEIF")


def test_missing_files_and_folders_are_told(tmp_path):
    for path in (tmp_path / "a.png", tmp_path):
        with pytest.raises(DatasetNotFoundError, match="check the path"):
            kind_of(path)


def test_a_file_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "a.png"
    path.write_bytes(b"")
    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(CorruptDataError, match=r"a\.png cannot be read \(Permission denied\)"):
        kind_of(path)
