"""Edits on disk: appended whole, never changed, read whatever a power cut left."""

import json
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from histoscope import locks
from histoscope.edits import Edit, folder_of, journal, read, write
from histoscope.errors import ConfigError, DataError, FormatVersionError


def test_a_folder_that_is_missing_has_no_edits(tmp_path):
    assert read(tmp_path / "edits") == journal.Read()


def test_authors_have_files_of_their_own(tmp_path, edit):
    ada, bob = edit(author="ada"), edit(author="bob")
    assert write(tmp_path / "edits", [ada]) != write(tmp_path / "edits", [bob])
    assert set(read(tmp_path / "edits").edits) == {ada, bob}


def test_a_line_is_appended_and_what_was_there_stays(tmp_path, edit):
    path = write(tmp_path, [edit(second=1)])
    before = path.read_bytes()
    assert write(tmp_path, [edit(second=2), edit(second=3)]) == path
    assert path.read_bytes().startswith(before)
    assert [one.time[17:19] for one in read(tmp_path).edits] == ["01", "02", "03"]


@pytest.mark.parametrize("author", ["Ada L", "a/b\\c:d", "../../etc", "\N{SNOWMAN}" * 200, ".", "a@b.org"])
def test_any_name_of_an_author_is_a_file_in_the_folder(tmp_path, author, edit):
    path = write(tmp_path / "edits", [edit(author=author)])
    assert path.parent == tmp_path / "edits"
    assert read(tmp_path / "edits").edits[0].author == author


@given(cut=st.integers(1, 10_000), n=st.integers(1, 3))
@examples(max_examples=60, deadline=None)
def test_a_torn_line_is_said_and_the_next_is_whole(tmp_path_factory, cut, n, edit):
    folder = tmp_path_factory.mktemp("edits")
    whole = [edit(second=k) for k in range(n)]
    path = write(folder, whole)
    content = path.read_bytes()
    cut = min(cut, len(whole[-1].to_line()))
    path.write_bytes(content[: -1 - cut])  # the end of the last line, and its end of line
    kept, notes = read(folder).edits, read(folder).notes
    assert kept == tuple(whole[:-1])
    lost_all = cut == len(whole[-1].to_line())
    assert len(notes) == (not lost_all)
    assert lost_all or "cut short" in notes[0]
    later = edit(second=9)
    write(folder, [later])
    assert read(folder).edits == (*whole[:-1], later)
    assert len(read(folder).notes) == (not lost_all)


def test_a_last_line_without_its_end_is_whole(tmp_path, edit):
    path = write(tmp_path, [edit()])
    path.write_bytes(path.read_bytes().rstrip())
    write(tmp_path, [edit(second=1)])
    assert len(read(tmp_path).edits) == 2
    assert not read(tmp_path).notes


@pytest.mark.parametrize("rest", [b"\0" * 40, b"\xff\xfe{\n", b"hello\n", b'{"format": 1}\n'])
def test_what_a_disk_made_of_a_line_is_passed_over(tmp_path, rest, edit):
    path = write(tmp_path, [edit()])
    path.write_bytes(path.read_bytes() + rest)
    assert read(tmp_path).edits == (edit(),)
    assert path.name in read(tmp_path).notes[0]


def test_a_newer_version_is_refused_by_name(tmp_path, edit):
    path = write(tmp_path, [edit()])
    newer = json.loads(edit().to_line()) | {"format": 2, "kind": "split"}
    path.write_text(path.read_text() + json.dumps(newer) + "\n")
    with pytest.raises(FormatVersionError, match=f"{path.name}, line 2: format 2"):
        read(tmp_path)


def test_edits_of_several_authors_are_not_written_together(tmp_path, edit):
    with pytest.raises(DataError, match="edits by 2 authors"):
        write(tmp_path, [edit(author="ada"), edit(author="bob")])
    with pytest.raises(DataError, match="edits by 0 authors"):
        write(tmp_path, [])


def test_a_file_that_is_held_is_waited_for_and_then_said(tmp_path, monkeypatch, edit):
    path = write(tmp_path, [edit()])
    monkeypatch.setattr(journal, "_WAIT_S", 0.1)
    with locks.take(path), pytest.raises(ConfigError, match="being written"):
        write(tmp_path, [edit(second=1)])
    write(tmp_path, [edit(second=1)])
    assert len(read(tmp_path).edits) == 2


def test_a_folder_that_cannot_be_made_is_said(tmp_path, edit):
    (tmp_path / "edits").write_text("a file")
    with pytest.raises(ConfigError, match="is a file"):
        write(tmp_path / "edits", [edit()])


def _write_many(folder, first):
    for k in range(first, first + 20):
        write(folder, [Edit.new("delete", "ada", nucleus=f"n{k}", centre_px=(k, k))])


def test_two_viewers_of_one_author_lose_nothing(tmp_path):
    context = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    other = context.Process(target=_write_many, args=(tmp_path, 100))
    other.start()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda first: _write_many(tmp_path, first), (200, 300, 400)))
    other.join()
    found = read(tmp_path)
    assert not found.notes
    assert len({one.nucleus for one in found.edits}) == 80


def test_folders_are_beside_the_results(tmp_path):
    assert folder_of(tmp_path / "a" / "cells.parquet") == tmp_path / "a" / "edits"
    assert folder_of(tmp_path / "b.geojson") == folder_of(tmp_path / "b_labels.tif") == tmp_path / "b.edits"
