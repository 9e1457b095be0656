import errno
import importlib.util
import pickle
import sys
from pathlib import Path

import pytest

import s3_server
import web_server
from histoscope import places
from histoscope.errors import ConfigError, MissingDependencyError
from histoscope.places import PlaceError, RemoteFile, forget, is_remote, place

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")


@pytest.fixture
def web(tmp_path, monkeypatch):
    monkeypatch.setattr(places.asking, "_PAUSE_S", 0.0)
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "a.bin").write_bytes(bytes(k % 251 for k in range(300_000)))
    with web_server.serving(folder) as server:
        yield server


@pytest.fixture
def memory():
    store = fsspec.filesystem("memory")
    store.store.clear()
    places.asking._INFO.clear()
    yield store
    store.store.clear()


def test_paths_keep_their_address(monkeypatch):
    path = place("s3://bucket/a/b.svs")
    for same in (place(path), place(Path("s3://bucket/a/b.svs")), path.parent / "b.svs", path.resolve()):
        assert (str(same), type(same)) == ("s3://bucket/a/b.svs", type(path))
    assert str(pickle.loads(pickle.dumps(path))) == str(path)
    assert str(path.with_suffix("")) == "s3://bucket/a/b"
    assert [str(each) for each in path.parents] == ["s3://bucket/a", "s3://bucket", "s3://", "."]
    assert path.relative_to(place("s3://bucket")).as_posix() == "a/b.svs"
    assert place("file:///tmp/a.svs") == Path("/tmp/a.svs")
    assert not is_remote("C:/slides/a.svs")
    with pytest.raises(ConfigError, match="s4:// is not a kind of place"):
        place("s4://bucket/a.svs")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingDependencyError, match=r"histoscope\[remote\]"):
        place("s3://bucket/a.svs")


def test_a_package_that_is_missing_is_named():
    if importlib.util.find_spec("s3fs"):
        pytest.skip("s3fs is installed")
    with pytest.raises(MissingDependencyError, match=r"s3://bucket/a.svs.*histoscope\[remote\]"):
        place("s3://bucket/a.svs").exists()


def test_files_of_a_store_are_listed_and_read(memory):
    memory.pipe({"/b/one.svs": b"1", "/b/deep/two.tif": b"22", "/b/notes.txt": b"", "/b/.hidden.tif": b""})
    found = places.found_below(place("memory://b"), (".svs", ".tif"))
    assert [str(path) for path in found] == ["memory://b/deep/two.tif", "memory://b/one.svs"]
    assert found == places.found_below(place("memory://b/**"), (".svs", ".tif"))
    assert (found[0].read_bytes(), found[0].stat().st_size, found[0].is_file()) == (b"22", 2, True)
    assert place("memory://b/deep").is_dir()
    assert not place("memory://b/none").exists()
    with pytest.raises(ConfigError, match="is read-only"):
        found[0].write_text("x")


@pytest.mark.parametrize(
    "fault", ["500", "503", "reset", "short", pytest.param("stall", marks=pytest.mark.slow)]
)
def test_a_range_is_asked_again_if_the_server_fails(web, fault, monkeypatch):
    monkeypatch.setattr(places.asking, "_STALL_S", 5.0)
    path = place(f"{web.address}/a.bin")
    web.faults += [fault]
    assert RemoteFile(path).read_at(65_000, 70_000) == (web.folder / "a.bin").read_bytes()[65_000:135_000]
    assert not web.faults


@pytest.mark.parametrize("fault", ["500", "503", "short", pytest.param("stall", marks=pytest.mark.slow)])
def test_a_range_of_a_bucket_is_asked_again_if_the_server_fails(fault, monkeypatch):
    monkeypatch.setattr(places.asking, "_PAUSE_S", 0.0)
    monkeypatch.setattr(places.asking, "_STALL_S", 5.0)
    with s3_server.serving(monkeypatch) as (server, fs):
        whole = bytes(k % 251 for k in range(300_000))
        fs.pipe_file("bucket/a.bin", whole)
        file = RemoteFile(forget(place("s3://bucket/a.bin")))
        server.faults += [fault]
        assert file.read_at(65_000, 70_000) == whole[65_000:135_000]
        assert not server.faults


@pytest.mark.parametrize(
    ("faults", "number", "words"),
    [
        (["500"] * 3, errno.EIO, "its server failed"),
        (["403"], errno.EACCES, "access is denied"),
        (["401"], errno.EACCES, "no valid credentials"),
        (["404"], errno.ENOENT, "no such file"),
    ],
)
def test_what_does_not_pass_is_told_with_the_address(web, faults, number, words):
    file = RemoteFile(place(f"{web.address}/a.bin"))
    web.faults += faults
    with pytest.raises(PlaceError, match=words) as caught:
        file.read_at(0, 10)
    assert (caught.value.errno, caught.value.filename) == (number, f"{web.address}/a.bin")
    assert not web.faults


def test_nobody_at_the_address_is_no_missing_file(tmp_path, monkeypatch):
    monkeypatch.setattr(places.asking, "_PAUSE_S", 0.0)
    with web_server.serving(tmp_path) as server:
        address = server.address
    with pytest.raises(PlaceError, match="its server failed"):
        place(f"{address}/a.bin").exists()


def test_blocks_are_read_once_and_neighbours_together(web):
    file = RemoteFile(place(f"{web.address}/a.bin"))
    file.want([(0, 10), (70_000, 10), (290_000, 10_000)])
    assert sorted(web.asked) == [300_000 - 262_144, 2 * places.ranges.BLOCK_BYTES]
    assert len(file.read_at(0, 131_072)) == 131_072
    assert len(web.asked) == 2
    with file, place(f"{web.address}/a.bin").open("rb") as other:
        other.seek(-3, 2)
        assert other.read() == bytes(k % 251 for k in range(299_997, 300_000))
    assert len(web.asked) == 2


def test_another_version_is_seen_and_no_old_block_is_given(web):
    path = place(f"{web.address}/a.bin")
    before = path.stat().st_mtime_ns, RemoteFile(path).read_at(0, 2)
    (web.folder / "a.bin").write_bytes(b"\xff" * 300_000)
    after = forget(path).stat().st_mtime_ns, RemoteFile(path).read_at(0, 2)
    assert before[0] != after[0]
    assert after[1] == b"\xff\xff"


def test_what_is_at_hand_is_given_to_those_who_read_disks_only(web):
    path = place(f"{web.address}/a.bin")
    RemoteFile(path).read_at(70_000, 1)
    with places.sampled(path) as sample:
        found = sample.read_bytes()
    whole = (web.folder / "a.bin").read_bytes()
    assert found == bytes(65_536) + whole[65_536:131_072] + bytes(300_000 - 131_072)


def test_files_are_put_whole(memory, tmp_path):
    (tmp_path / "cells.csv").write_text("a,b\n")
    places.put(tmp_path / "cells.csv", place("memory://out/one/cells.csv"))
    assert memory.cat("/out/one/cells.csv") == b"a,b\n"
    places.require_put(place("memory://out"))
    assert memory.find("/out") == ["/out/one/cells.csv"]
