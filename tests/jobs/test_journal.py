"""What is ours and finished is known, whatever happened; what is the user's is never touched."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from histoscope.errors import ConfigError, CorruptDataError
from histoscope.jobs import journal as journals
from histoscope.jobs.journal import Job, Journal
from histoscope.jobs.lines import Results, read
from histoscope.jobs.naming import JOURNAL, SUMMARY
from histoscope.jobs.ownership import digest_of

SETTINGS = {"model": "m", "mpp": 0.25}


@pytest.fixture
def job(tmp_path):
    image = tmp_path / "in" / "a.png"
    image.parent.mkdir()
    image.write_bytes(b"pixels")
    return Job(image, "a")


def finish(out, job, text="of ours", settings=SETTINGS, **more):
    with Journal.open(out, settings, **more) as journal:
        with journal.writing(["a.csv"]):
            (out / "a.csv").write_text(text)
        journal.add(job, {"nuclei": 3}, digest=digest_of(job.image), files=["a.csv"])


def is_finished(out, job, settings=SETTINGS):
    with Journal.open(out, settings) as journal:
        return bool(journal.finished([job], lambda _: [[".csv"]]))


def test_an_image_is_known_by_its_content(tmp_path, job):
    out = tmp_path / "out"
    finish(out, job)
    assert is_finished(out, job)
    os.utime(job.image, (1, 1))
    assert is_finished(out, job)
    known = job.image.stat()
    job.image.write_bytes(b"others")  # as many bytes, and the date of before
    os.utime(job.image, ns=(known.st_atime_ns, known.st_mtime_ns))
    assert not is_finished(out, job)
    job.image.write_bytes(b"pixels")
    moved = Job(job.image.rename(tmp_path / "a.png"), "a")
    assert is_finished(out, moved)
    moved.image.write_bytes(b"others")
    with pytest.raises(ConfigError, match="under the name of"):
        is_finished(out, moved)


@pytest.mark.parametrize("change", ["model", "mpp", "histoscope"])
def test_results_of_other_settings_are_refused_and_kept(tmp_path, job, change):
    out = tmp_path / "out"
    finish(out, job)
    before = (out / JOURNAL).read_bytes()
    with pytest.raises(ConfigError, match=f"holds results with {change}"):
        Journal.open(out, SETTINGS | {change: "other"})
    assert (out / JOURNAL).read_bytes() == before
    assert is_finished(out, job)


def test_files_of_the_user_are_never_ours(tmp_path, job):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.csv").write_text("of the user")
    (out / SUMMARY).write_text("of the user")
    for file in ("a.csv", SUMMARY):
        with (
            Journal.open(out, SETTINGS) as journal,
            pytest.raises(ConfigError, match=f"{file} was not written by"),
        ):
            journal.require([file])
    assert {path.name for path in out.iterdir()} == {"a.csv", SUMMARY}  # and no journal
    (out / "a.csv").unlink()
    (out / "a.csv").symlink_to(tmp_path / "nowhere")
    with (
        Journal.open(out, SETTINGS) as journal,
        pytest.raises(ConfigError, match=r"a\.csv was not written by"),
    ):
        journal.require(["a.csv"])


def test_a_file_of_ours_that_was_changed_is_the_users(tmp_path, job):
    out = tmp_path / "out"
    finish(out, job)
    finish(out, job, "again", overwrite=True)  # as we wrote it: may be replaced
    (out / "a.csv").write_text("corrected by hand")
    with pytest.raises(ConfigError, match=r"a\.csv has been changed since"):
        finish(out, job, overwrite=True)
    assert (out / "a.csv").read_text() == "corrected by hand"
    assert is_finished(out, job)  # a call that is refused loses nothing


def test_a_file_that_was_not_needed_is_not_ours(tmp_path, job):
    out = tmp_path / "out"
    with Journal.open(out, SETTINGS) as journal, journal.writing(["a_labels.png", "a_labels.tif"]):
        (out / "a_labels.png").write_text("labels")
    (out / "a_labels.tif").write_text("of the user")
    with (
        Journal.open(out, SETTINGS) as journal,
        pytest.raises(ConfigError, match=r"a_labels\.tif was not"),
    ):
        journal.require(["a_labels.png", "a_labels.tif"])
    results = Results()
    assert out / "a_labels.png" in results
    assert out / "a_labels.tif" not in results


HOLD = """
import sys, time
from pathlib import Path
from histoscope.jobs.journal import Journal
out = Path(sys.argv[1])
with Journal.open(out, {"model": "m", "mpp": 0.25}) as journal, journal.writing(["a.csv"]):
    (out / "a.csv").write_text("half of it")
    (out / "ready").write_text("")
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no advisory locks there")
def test_two_calls_do_not_write_one_folder_and_a_dead_one_blocks_nobody(tmp_path, job):
    out = tmp_path / "out"
    other = subprocess.Popen([sys.executable, "-c", textwrap.dedent(HOLD), str(out)])
    try:
        for _ in range(300):
            if (out / "ready").exists():
                break
            time.sleep(0.1)
        before = (out / JOURNAL).read_bytes()
        for overwrite in (False, True):
            with pytest.raises(ConfigError, match=rf"is being written by process {other.pid} on "):
                Journal.open(out, SETTINGS, overwrite=overwrite)
        assert (out / JOURNAL).read_bytes() == before
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()
    finish(out, job)  # also what it was writing is known as ours
    assert is_finished(out, job)


def test_where_there_are_no_locks_a_call_goes_on(tmp_path, job, monkeypatch):
    import fcntl

    def refused(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    finish(tmp_path / "out", job)
    assert is_finished(tmp_path / "out", job)


def test_half_a_line_is_cut_off(tmp_path, job):
    out = tmp_path / "out"
    finish(out, job)
    with (out / JOURNAL).open("a", encoding="utf-8") as file:
        file.write('{"name": "b')
    assert is_finished(out, job)
    finish(out, Job(job.image, "a"))
    assert len(read(out / JOURNAL).lines) == 1


@pytest.mark.parametrize("text", ['{"notes": "of Monday"}\n', "no journal\n", '["a"]\n', '{"name": "a"}\n'])
def test_a_file_of_that_name_that_is_no_journal_is_left_alone(tmp_path, text):
    (tmp_path / JOURNAL).write_text(text)
    for overwrite in (False, True):
        with pytest.raises(CorruptDataError, match="not a journal of Histoscope"):
            Journal.open(tmp_path, SETTINGS, overwrite=overwrite)
    assert (tmp_path / JOURNAL).read_text() == text
    assert tmp_path / "a.png" not in Results()


def test_another_format_is_refused(tmp_path):
    (tmp_path / JOURNAL).write_text(json.dumps({"format": 1, "model": "m"}) + "\n")
    with pytest.raises(journals.FormatVersionError, match="format 1"):
        Journal.open(tmp_path, SETTINGS)
