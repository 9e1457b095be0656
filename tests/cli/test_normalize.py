import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from typer.testing import CliRunner

from histoscope import stain, threads
from histoscope.cli.main import app
from histoscope.errors import ConfigError, DatasetNotFoundError, HistoscopeError, UnknownNameError
from histoscope.files import read_image, write_image
from histoscope.jobs import normalize as verb


def tile(seed):
    amounts = np.random.default_rng(seed).exponential(0.4, (40, 50, 2))
    return stain.combine(amounts, [[0.6, 0.7, 0.4], [0.15, 0.9, 0.4]])


@pytest.fixture
def tiles(tmp_path):
    """Give a folder with two good images in sub-folders."""
    folder = tmp_path / "tiles"
    write_image(folder / "a" / "one.png", tile(0))
    write_image(folder / "b" / "two.png", tile(1))
    return folder


def call(*arguments):
    return CliRunner().invoke(app, ["normalize", *map(str, arguments)])


def summary(done):
    assert done.stdout.startswith("{"), done.output
    return json.loads(done.stdout)


def test_folder_keeps_names_and_equals_the_library(tiles, tmp_path):
    out = tmp_path / "out"
    done = call(tiles, out, "--method", "vahadane")
    assert done.exit_code == 0, done.output
    assert "2 images normalised (vahadane)" in done.stdout
    for name in ("a/one.png", "b/two.png"):
        assert np.array_equal(read_image(out / name), stain.Vahadane.default()(read_image(tiles / name)))


def test_second_run_skips_and_overwrite_writes_anew(tiles, tmp_path):
    out = tmp_path / "out"
    call(tiles, out)
    (out / "a" / "one.png").unlink()
    again = summary(call(tiles, out, "--json"))
    assert (again["normalized"], again["skipped"]) == (1, 1)
    anew = summary(call(tiles, out, "--json", "--overwrite"))
    assert (anew["normalized"], anew["skipped"]) == (2, 0)


def test_single_file_to_file_or_folder(tiles, tmp_path):
    assert call(tiles / "a" / "one.png", tmp_path / "new.png").exit_code == 0
    assert call(tiles / "a" / "one.png", tmp_path / "folder").exit_code == 0
    assert (tmp_path / "new.png").read_bytes() == (tmp_path / "folder" / "one.png").read_bytes()


def test_glob_keeps_the_folders_below_its_fixed_part(tiles, tmp_path):
    done = call(str(tiles / "*" / "t*.png"), tmp_path / "out", "--json")
    assert summary(done)["normalized"] == 1
    assert (tmp_path / "out" / "b" / "two.png").is_file()


def test_bad_files_are_reported_and_the_rest_is_done(tiles, tmp_path):
    whole = (tiles / "a" / "one.png").read_bytes()
    (tiles / "a" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tiles / "a" / "text.png").write_text("no image")
    done = call(tiles, tmp_path / "out", "--json")
    assert done.exit_code == 1
    result = summary(done)
    assert result["normalized"] == 2
    assert sorted(failure["path"].rsplit("/")[-1] for failure in result["failed"]) == ["cut.png", "text.png"]
    plain = call(tiles, tmp_path / "out")
    assert plain.exit_code == 1
    assert "2 failed" in plain.stderr
    assert "cut.png" in plain.stderr


def test_tiles_without_tissue_are_copied_byte_by_byte_and_counted(tiles, tmp_path):
    blank = tiles / "a" / "blank.png"
    write_image(blank, np.full((30, 30, 3), 250, np.uint8))
    done = call(tiles, tmp_path / "out")
    assert done.exit_code == 0
    assert "1 copied unchanged" in done.stdout
    assert (tmp_path / "out" / "a" / "blank.png").read_bytes() == blank.read_bytes()


def test_one_estimate_a_folder(tiles, tmp_path):
    write_image(tiles / "a" / "three.png", tile(3))
    write_image(tiles / "a" / "blank.png", np.full((30, 30, 3), 255, np.uint8))
    (tiles / "b" / "broken.png").write_text("no image")
    done = call(tiles, tmp_path / "out", "--estimate", "folder", "--json")
    assert summary(done)["normalized"] == 4  # blank too: its folder has an estimate
    normalize = stain.Macenko.default()
    images = [read_image(tiles / "a" / name) for name in ("blank.png", "one.png", "three.png")]
    source = normalize.estimate(images)
    assert np.array_equal(read_image(tmp_path / "out/a/one.png"), normalize(images[1], source=source))


def test_references_can_be_images_and_saved_files(tiles, tmp_path):
    image, saved = tiles / "b" / "two.png", tmp_path / "lab.json"
    first = call(
        tiles / "a", tmp_path / "o1", "--reference", image, "--method", "ruifrok", "--save-reference", saved
    )
    assert first.exit_code == 0, first.output
    assert summary(call(tiles / "a", tmp_path / "o2", "--reference", saved, "--json"))["method"] == "ruifrok"
    assert (tmp_path / "o1" / "one.png").read_bytes() == (tmp_path / "o2" / "one.png").read_bytes()


def test_originals_are_never_written_over(tiles, tmp_path):
    before = (tiles / "a" / "one.png").read_bytes()
    for source, out in [
        (tiles, tiles),
        (tiles / "a" / "one.png", tiles / "a"),
        (tiles / "a", tiles / "b" / ".." / "a"),
    ]:
        done = call(source, out, "--overwrite")
        assert isinstance(done.exception, ConfigError)
        assert "never overwritten" in str(done.exception)
    assert (tiles / "a" / "one.png").read_bytes() == before


def test_out_inside_in_is_not_read_again(tiles):
    out = tiles / "normalized"
    call(tiles, out)
    assert summary(call(tiles, out, "--json"))["skipped"] == 2


def test_out_may_be_the_parent_of_in(tiles):
    assert summary(call(tiles / "a", tiles, "--json"))["normalized"] == 1
    assert (tiles / "one.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("nothing-here", "out"), DatasetNotFoundError),
        (("nothing-*.png", "out"), DatasetNotFoundError),
        (("{tiles}", "out", "--method", "mackenko"), UnknownNameError),
        (("{tiles}", "out", "--reference", "paris"), ConfigError),
        (("{tiles}", "out", "--reference", "none.json"), DatasetNotFoundError),
        (("{tiles}", "{tiles}/a/one.png"), ConfigError),
    ],
)
def test_wrong_input_is_a_named_error(tiles, tmp_path, monkeypatch, arguments, error):
    monkeypatch.chdir(tmp_path)
    done = call(*(argument.format(tiles=tiles) for argument in arguments))
    assert isinstance(done.exception, error)
    assert isinstance(done.exception, HistoscopeError)
    assert not (tmp_path / "out").exists()


def test_a_full_disk_stops_the_run(tiles, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("histoscope.jobs.normalize.write_image", full)
    done = call(tiles, tmp_path / "out")
    assert isinstance(done.exception, OSError)
    assert done.exception.errno == errno.ENOSPC


def test_a_file_that_may_not_be_read_is_a_failure_like_others(tiles, tmp_path, monkeypatch):
    def refused(_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("histoscope.jobs.normalize.read_image", refused)
    result = summary(call(tiles, tmp_path / "out", "--json"))
    assert [failure["error"].endswith("Permission denied") for failure in result["failed"]] == [True, True]


def test_interruption_drops_what_waits(tiles, tmp_path, monkeypatch):
    stopped = []

    class Watched(ThreadPoolExecutor):
        def shutdown(self, wait=True, *, cancel_futures=False):
            stopped.append(cancel_futures)
            super().shutdown(wait=wait, cancel_futures=cancel_futures)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(threads, "ThreadPoolExecutor", Watched)
    monkeypatch.setattr(verb._Work, "count", interrupted)
    with pytest.raises(KeyboardInterrupt):
        verb.run(
            stain.Macenko.default(),
            verb.plan(tiles, tmp_path / "out"),
            workers=1,
        )
    assert stopped == [True]


@pytest.mark.parametrize(("asked", "expected"), [(["--workers", "3"], 3), ([], os.cpu_count())])
def test_threads_are_as_many_as_asked_for(tiles, tmp_path, monkeypatch, asked, expected):
    begun = []
    monkeypatch.setattr(
        threads, "ThreadPoolExecutor", lambda n, *more: begun.append(n) or ThreadPoolExecutor(n, *more)
    )
    assert call(tiles, tmp_path / "out", *asked).exit_code == 0
    assert begun == [expected]


def test_white_point_is_passed_on_and_checked(tiles, tmp_path):
    given = tmp_path / "given"
    assert call(tiles, given, "--white", "235,228,220").exit_code == 0
    white = stain.get("macenko")(stain.Macenko.default().target, white=(235, 228, 220))
    expected = white(read_image(tiles / "a" / "one.png"))
    assert np.array_equal(read_image(given / "a" / "one.png"), expected)
    assert not np.array_equal(expected, stain.Macenko.default()(read_image(tiles / "a" / "one.png")))
    with pytest.raises(ConfigError, match="another folder"):  # results with another white point lie there
        raise call(tiles, given).exception
    for wrong in ("200,190", "a,b,c", "0,1,2"):
        with pytest.raises(HistoscopeError, match="expected"):
            raise call(tiles, tmp_path / "out", "--white", wrong).exception


def test_what_an_estimate_lacks_is_said_and_that_a_slide_may_have_it(tiles, tmp_path):
    rows, columns = np.mgrid[:64, :64]
    eosin = 0.5 + 0.4 * np.sin(columns / 5) * np.cos(rows / 7)
    pink = stain.combine(np.stack([0 * eosin, eosin], axis=2), [[0.6, 0.7, 0.4], [0.15, 0.9, 0.4]])
    write_image(tiles / "a" / "pink.png", pink)
    done = call(tiles, tmp_path / "out")
    assert "1 with no haematoxylin to measure" in done.stdout
    assert "--estimate folder" in done.stdout
    notes = summary(call(tiles, tmp_path / "json", "--json"))["notes"]
    assert notes["no haematoxylin to measure"] == [str(tiles / "a" / "pink.png")]
    shared = call(tiles, tmp_path / "shared", "--estimate", "folder")
    assert "haematoxylin" not in shared.stdout  # its folder shows it
    assert "--estimate folder" not in shared.stdout
