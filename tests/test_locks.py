"""A folder has one writer, and a dead one blocks nobody."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from histoscope.errors import ConfigError
from histoscope.locks import LOCK, alone_in, take


@pytest.mark.skipif(sys.platform == "win32", reason="no advisory locks there")
def test_another_call_is_refused_and_the_same_one_goes_on(tmp_path: Path) -> None:
    def held() -> None:
        with alone_in(tmp_path / "out"):
            pass

    (tmp_path / "out").mkdir()
    (tmp_path / "out" / LOCK).write_text('{"job": {"host": "elsewhere", "pid": 1}}\n')  # of one that died
    with ThreadPoolExecutor(1) as another:
        with alone_in(tmp_path / "out"), alone_in(tmp_path / "out" / ".." / "out"):
            with pytest.raises(ConfigError, match=f"out is being written by process {os.getpid()} on "):
                another.submit(held).result()
            held()
        another.submit(held).result()
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_that_was_made_for_nothing_is_taken_away(tmp_path: Path) -> None:
    with alone_in(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / LOCK).is_file()
    assert list(tmp_path.iterdir()) == []
    with alone_in(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "kept").write_text("mine")
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["kept"]
    with pytest.raises(ConfigError, match="kept is a file"), alone_in(tmp_path / "a" / "b" / "kept"):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="no advisory locks there")
def test_a_holder_that_has_not_said_who_it_is_is_another_process(tmp_path: Path) -> None:
    with take(tmp_path / LOCK), pytest.raises(ConfigError, match="written by another process"):
        take(tmp_path / LOCK)
