"""What normalize keeps of a file, and what it never touches."""

import json
import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow
from PIL import ImageCms, ImageOps
from typer.testing import CliRunner

from histoscope import stain
from histoscope.cli.main import app
from histoscope.errors import ConfigError, CorruptDataError, DatasetNotFoundError
from histoscope.files import read_image, write_image
from histoscope.images.reading import orientation_of, profile_of
from histoscope.images.resolution import mpp_of

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def tile(seed, shape=(40, 50)):
    amounts = np.random.default_rng(seed).exponential(0.4, (*shape, 2))
    return stain.combine(amounts, [[0.6, 0.7, 0.4], [0.15, 0.9, 0.4]])


@pytest.fixture
def tiles(tmp_path):
    """Give a folder with two images in sub-folders."""
    folder = tmp_path / "tiles"
    write_image(folder / "a" / "one.png", tile(0), mpp=0.25)
    write_image(folder / "b" / "two.png", tile(1), mpp=0.25)
    return folder


def call(*arguments):
    return CliRunner().invoke(app, ["normalize", *map(str, arguments)])


def summary(done):
    assert done.stdout.startswith("{"), done.output
    return json.loads(done.stdout)


# --- what is kept ---


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp"])
@pytest.mark.parametrize("turn", [1, 3, 6])
def test_the_size_of_a_pixel_the_profile_and_what_viewers_show_are_kept(tmp_path, suffix, turn):
    picture = Pillow.fromarray(tile(0))
    exif = picture.getexif()
    exif[274] = turn
    options = {".jpg": {"quality": 98}, ".bmp": {}}.get(suffix, {})
    dpi = 25_400 / (0.5 if suffix == ".jpg" else 0.25)
    if suffix != ".bmp":
        options |= {"exif": exif, "icc_profile": PROFILE}
    (tmp_path / "in").mkdir()
    before, after = tmp_path / "in" / f"a{suffix}", tmp_path / "out" / f"a{suffix}"
    picture.save(before, dpi=(dpi, dpi), **options)
    done = call(tmp_path / "in", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert mpp_of(after) == pytest.approx(mpp_of(before), rel=1e-3)
    assert mpp_of(after) is not None
    assert orientation_of(after) == 1
    with Pillow.open(before) as one, Pillow.open(after) as other:
        assert ImageOps.exif_transpose(one).size == other.size
    if suffix != ".bmp":
        assert profile_of(after) == PROFILE
        assert ("1 image rotated upright" in done.stdout) == (turn != 1)


def test_a_slide_becomes_a_tiff_with_its_resolution(tmp_path):
    text = "Aperio Image Library v12|AppMag = 20|MPP = 0.499"
    source = tmp_path / "in" / "slide.svs"
    source.parent.mkdir()
    tifffile.imwrite(source, tile(0), photometric="rgb", description=text, metadata=None)
    assert call(source.parent, tmp_path / "out").exit_code == 0
    made = tmp_path / "out" / "slide.svs.tif"
    assert mpp_of(made) == 0.499
    assert np.array_equal(read_image(made), stain.Macenko.default()(tile(0)))


def test_a_cmyk_profile_is_not_handed_on(tmp_path):
    ink = np.dstack([255 - tile(0), np.zeros((40, 50), np.uint8)])
    (tmp_path / "in").mkdir()
    options = {"photometric": "separated", "iccprofile": bytes(16) + b"CMYK" + bytes(200)}
    tifffile.imwrite(tmp_path / "in" / "a.tif", ink, **options)
    assert call(tmp_path / "in", tmp_path / "out").exit_code == 0
    assert profile_of(tmp_path / "out" / "a.tif") == b""


def test_blank_images_that_are_copied_keep_all(tmp_path):
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "a.tif", np.full((30, 30, 3), 250, np.uint8), mpp=0.25, icc=PROFILE)
    shutil.copy(tmp_path / "in" / "a.tif", tmp_path / "in" / "b.svs")
    assert len(summary(call(tmp_path / "in", tmp_path / "out", "--json"))["unchanged"]) == 2
    for name in ("a.tif", "b.svs.tif"):
        assert mpp_of(tmp_path / "out" / name) == 0.25
        assert profile_of(tmp_path / "out" / name) == PROFILE


# --- what is left out, and said ---


def test_slides_that_are_not_read_are_named(tiles, tmp_path):
    (tiles / "a" / "scan.dcm").write_bytes(bytes(128) + b"DICM" + bytes(9))
    done = call(tiles, tmp_path / "out")
    assert done.exit_code == 0
    assert "scan.dcm: DICOM files are not read yet" in done.stderr
    assert summary(call(tiles, tmp_path / "o2", "--json"))["left_out"][0]["path"].endswith("scan.dcm")
    with pytest.raises(DatasetNotFoundError, match=r"no image at .* DICOM files are not read yet"):
        raise call(tiles / "a" / "*.dcm", tmp_path / "out").exception
    one = summary(call(tiles / "a" / "scan.dcm", tmp_path / "o3", "--json"))["failed"]
    assert "DICOM files are not read yet" in one[0]["error"]


def test_one_is_one_and_progress_is_told_in_lines(tiles, tmp_path):
    done = call(tiles / "a", tmp_path / "out")
    assert "1 image normalised (macenko)" in done.stdout
    assert "normalising: 1 of 1" in done.stderr
    assert "1 image already done" in call(tiles / "a", tmp_path / "out").stdout


# --- what is never touched ---


def test_a_file_of_the_users_is_never_written_over(tiles, tmp_path):
    theirs = tmp_path / "out" / "a" / "one.png"
    write_image(theirs, tile(9))
    before = theirs.read_bytes()
    for more in ([], ["--overwrite"]):
        done = call(tiles, tmp_path / "out", *more)
        assert isinstance(done.exception, ConfigError)
        assert "was not written by Histoscope" in str(done.exception)
    assert theirs.read_bytes() == before
    assert not (tmp_path / "out" / "b").exists()


def test_a_result_that_the_user_changed_is_kept(tiles, tmp_path):
    call(tiles, tmp_path / "out")
    changed = tmp_path / "out" / "a" / "one.png"
    write_image(changed, tile(9))
    done = call(tiles, tmp_path / "out", "--overwrite")
    assert "has been changed since it was written" in str(done.exception)
    assert np.array_equal(read_image(changed), tile(9))


def test_a_single_file_that_is_there_is_kept_unless_asked(tiles, tmp_path):
    write_image(tmp_path / "new.png", tile(9))
    done = call(tiles / "a" / "one.png", tmp_path / "new.png")
    assert "exists; --overwrite" in str(done.exception)
    assert np.array_equal(read_image(tmp_path / "new.png"), tile(9))
    assert call(tiles / "a" / "one.png", tmp_path / "new.png", "--overwrite").exit_code == 0
    assert not (tmp_path / "normalized.jsonl").exists()  # the folder is none of results


def test_another_reference_needs_another_folder(tiles, tmp_path):
    call(tiles, tmp_path / "out")
    done = call(tiles, tmp_path / "out", "--method", "reinhard")
    assert isinstance(done.exception, ConfigError)
    assert "--overwrite" in str(done.exception)
    anew = summary(call(tiles, tmp_path / "out", "--method", "reinhard", "--overwrite", "--json"))
    assert anew["normalized"] == 2
    assert np.array_equal(read_image(tmp_path / "out/a/one.png"), stain.Reinhard.default()(tile(0)))


def test_an_image_that_changed_is_done_anew(tiles, tmp_path):
    call(tiles, tmp_path / "out")
    write_image(tiles / "a" / "one.png", tile(7))
    again = summary(call(tiles, tmp_path / "out", "--json"))
    assert (again["normalized"], again["skipped"]) == (1, 1)
    assert np.array_equal(read_image(tmp_path / "out/a/one.png"), stain.Macenko.default()(tile(7)))


def test_a_folder_that_changed_is_estimated_anew(tiles, tmp_path):
    call(tiles, tmp_path / "out", "--estimate", "folder")
    write_image(tiles / "a" / "three.png", tile(7))
    again = summary(call(tiles, tmp_path / "out", "--estimate", "folder", "--json"))
    assert (again["normalized"], again["skipped"]) == (2, 1)
    normalize = stain.Macenko.default()
    source = normalize.estimate([tile(0), tile(7)])
    assert np.array_equal(read_image(tmp_path / "out/a/one.png"), normalize(tile(0), source=source))


def test_images_in_out_are_no_inputs_and_are_named(tiles):
    write_image(tiles / "out" / "theirs.png", tile(9))
    done = call(tiles, tiles / "out")
    assert done.exit_code == 0, done.output
    assert "theirs.png: is in the folder for the results" in done.stderr
    assert "2 images normalised" in done.stdout
    assert np.array_equal(read_image(tiles / "out" / "theirs.png"), tile(9))


def test_results_of_an_earlier_call_are_no_inputs(tiles, tmp_path):
    call(tiles / "a", tiles / "done")
    done = call(tiles, tmp_path / "out")
    assert "2 images normalised" in done.stdout
    assert "done: holds results of an earlier run" in done.stderr


def test_two_images_for_one_name_are_refused(tiles, tmp_path):
    tifffile.imwrite(tiles / "a" / "s.svs", tile(0), photometric="rgb")
    write_image(tiles / "a" / "s.svs.tif", tile(1))
    done = call(tiles, tmp_path / "out")
    assert isinstance(done.exception, ConfigError)
    assert "would both be written to" in str(done.exception)


def test_a_linked_result_leaves_what_it_leads_to_alone(tiles, tmp_path):
    theirs = tmp_path / "theirs.png"
    write_image(theirs, tile(9))
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "a" / "one.png").symlink_to(theirs)
    assert isinstance(call(tiles, tmp_path / "out", "--overwrite").exception, ConfigError)
    assert np.array_equal(read_image(theirs), tile(9))


def test_one_damaged_file_in_the_middle(tiles, tmp_path):
    for name, data in {
        "0.png": b"",
        "m.tif": b"II*\x00\xff\xff\xff\x7f",
        "n.jpg": (tiles / "a" / "one.png").read_bytes()[:300],
        "z.bmp": b"BM" + bytes(12) + (40).to_bytes(4, "little") + b"\xff\xff\xff\x3f" * 2 + bytes(30),
    }.items():
        (tiles / "a" / name).write_bytes(data)
    done = call(tiles, tmp_path / "out", "--json")
    assert done.exit_code == 1
    made = summary(done)
    assert made["normalized"] == 2
    assert [one["path"].rsplit("/")[-1] for one in made["failed"]] == ["0.png", "m.tif", "n.jpg", "z.bmp"]


# --- references ---


def test_a_saved_reference_is_not_written_over_by_another(tiles, tmp_path):
    lab = tmp_path / "lab.json"
    first = ("--reference", tiles / "a" / "one.png", "--save-reference", lab)
    assert call(tiles, tmp_path / "o1", *first).exit_code == 0
    assert call(tiles, tmp_path / "o1", *first).exit_code == 0  # the same
    before = lab.read_bytes()
    assert json.loads(before)["origin"] == "one.png"
    other = ("--reference", tiles / "b" / "two.png", "--save-reference", lab)
    done = call(tiles, tmp_path / "o2", *other)
    assert isinstance(done.exception, ConfigError)
    assert "exists with different contents" in str(done.exception)
    assert lab.read_bytes() == before
    assert call(tiles, tmp_path / "o2", *other, "--overwrite").exit_code == 0
    assert lab.read_bytes() != before


def test_a_reference_is_known_by_its_content(tiles, tmp_path):
    slide = tmp_path / "reference.svs"
    tifffile.imwrite(slide, tile(3), photometric="rgb")
    assert call(tiles, tmp_path / "out", "--reference", slide).exit_code == 0
    assert np.array_equal(read_image(tmp_path / "out/a/one.png"), stain.Macenko.fit(tile(3))(tile(0)))
    (tmp_path / "text.png").write_text("no image")
    assert isinstance(
        call(tiles, tmp_path / "o2", "--reference", tmp_path / "text.png").exception, CorruptDataError
    )
