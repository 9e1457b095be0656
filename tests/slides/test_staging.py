"""Copies of slides that are elsewhere: ahead, under a limit, taken away; and what breaks off."""

import errno
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import web_server
from histoscope.errors import DataError
from histoscope.places import place
from histoscope.slides import open_slide, staging
from histoscope.slides.staging import Stage

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def slides():
    """Give the addresses of four slides of 1,000 bytes each."""
    store = fsspec.filesystem("memory")
    store.store.clear()
    for k in range(4):
        store.pipe_file(f"/b/{k}.ndpi", bytes([k]) * 1000)
    yield [place(f"memory://b/{k}.ndpi") for k in range(4)]
    store.store.clear()


def names_in(stage):
    return sorted(path.name for path in stage.folder.glob("*/*.ndpi"))


def read(stage, slide):
    """Bytes of a copy, which is held as long."""
    copy = stage.take(slide)
    try:
        return copy.path.read_bytes()
    finally:
        copy.release()


def settled(stage):
    """What is copied when nothing more is copied ahead."""
    stage._thread.join(20)
    return names_in(stage)


def test_copies_are_made_ahead_and_taken_away(slides, tmp_path):
    stage = Stage(tmp_path / "stage")
    copy = stage.take(slides[0])
    stage.prepare(slides[1:3])
    assert settled(stage) == ["0.ndpi", "1.ndpi", "2.ndpi"]
    assert copy.path.read_bytes() == bytes(1000)
    copy.release()
    copy = stage.take(slides[1])
    stage.prepare(slides[3:])  # another worker was faster with 2
    assert settled(stage) == ["1.ndpi", "3.ndpi"]
    copy.release()
    stage.prepare([])
    assert names_in(stage) == []


def test_all_copies_stay_below_the_limit(slides, tmp_path):
    stage, other = Stage(tmp_path / "stage", 2500), Stage(tmp_path / "stage", 2500)
    copy = stage.take(slides[0])
    stage.prepare(slides[1:3])
    assert settled(stage) == ["0.ndpi", "1.ndpi"]
    second = other.take(slides[2])  # 1, which nobody reads yet, makes room
    assert names_in(stage) == ["0.ndpi", "2.ndpi"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(stage.take, slides[3])
        with pytest.raises(TimeoutError):
            waiting.result(3 * staging._POLL_S)
        second.release()
        waiting.result(20).release()
    copy.release()
    with pytest.raises(DataError, match="raise --stage-limit"):
        Stage(tmp_path / "stage", 999).take(slides[0])


def test_a_copy_that_broke_off_goes_on_where_it_stopped(slides, tmp_path, monkeypatch):
    stage, asked, got = Stage(tmp_path / "stage"), [], staging.read_range
    monkeypatch.setattr(staging, "_PIECE_BYTES", 400)
    monkeypatch.setattr(staging, "_AT_ONCE", 1)

    def reading(uri, start, count):
        asked.append(start)
        if asked == [0, 400, 800]:
            raise OSError(errno.EIO, "gone")
        return got(uri, start, count)

    monkeypatch.setattr(staging, "read_range", reading)
    with pytest.raises(OSError, match="gone"):
        stage.take(slides[1])
    assert read(stage, slides[1]) == b"\1" * 1000
    assert asked == [0, 400, 800, 800]


def test_a_slide_that_is_replaced_while_it_is_copied_is_told(slides, tmp_path, monkeypatch):
    stage, got = Stage(tmp_path / "stage"), staging.read_range

    def reading(uri, start, count):
        found = got(uri, start, count)
        fsspec.filesystem("memory").pipe_file("/b/1.ndpi", b"x" * 1200)
        return found

    monkeypatch.setattr(staging, "read_range", reading)
    with pytest.raises(DataError, match=r"memory://b/1.ndpi was changed while it was copied"):
        stage.take(slides[1])
    monkeypatch.undo()
    assert read(stage, slides[1]) == b"x" * 1200


def test_a_full_disk_takes_what_nobody_reads_then_is_told(slides, tmp_path, monkeypatch):
    stage, fetch = Stage(tmp_path / "stage"), staging._fetch
    held = stage.take(slides[0])
    stage.prepare([slides[1]])
    assert settled(stage) == ["0.ndpi", "1.ndpi"]

    def fetching(path, size, to):
        if len(names_in(stage)) == n_fit:
            raise OSError(errno.ENOSPC, "No space left on device")
        fetch(path, size, to)

    monkeypatch.setattr(staging, "_fetch", fetching)
    n_fit = 2
    Stage(tmp_path / "stage").take(slides[2]).release()
    assert names_in(stage) == ["0.ndpi"]
    n_fit = 1
    with pytest.raises(OSError, match="No space left") as caught:
        stage.take(slides[3])
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "stage"))
    assert held.path.is_file()
    assert len([path for path in stage.folder.iterdir() if path.is_dir()]) == 1
    held.release()


def test_a_server_that_gives_files_only_whole_is_copied_from(tissue, write_slide, tmp_path):
    pytest.importorskip("aiohttp")
    (tmp_path / "web").mkdir()
    here = write_slide(tmp_path / "web" / "a.svs", tissue)
    with web_server.serving(tmp_path / "web") as server:
        server.ranges = False
        with open_slide(f"{server.address}/a.svs", stage=Stage(tmp_path / "stage")) as slide:
            assert str(slide.path) == f"{server.address}/a.svs"
            assert slide.quick_hash == open_slide(here).quick_hash
    assert not list((tmp_path / "stage").glob("*/*.svs"))


def test_two_workers_copy_a_slide_once(slides, tmp_path, monkeypatch):
    fetched, fetch, both = [], staging._fetch, threading.Barrier(2)

    def fetching(path, size, to):
        fetched.append(path)
        fetch(path, size, to)

    monkeypatch.setattr(staging, "_fetch", fetching)

    def take(stage):
        both.wait(20)
        copy = stage.take(slides[0])
        found = copy.path.read_bytes()
        copy.lock.close()  # as a worker that was killed leaves it
        return found

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(take, [Stage(tmp_path / "stage") for _ in range(2)]))
    assert found == [bytes(1000)] * 2
    assert len(fetched) == 1
