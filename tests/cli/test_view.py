"""The verb: what it lists, and what it refuses before it listens."""

import numpy as np
import pytest
from typer.testing import CliRunner

from histoscope.cli.main import app
from histoscope.errors import DatasetNotFoundError
from histoscope.files import write_image


@pytest.fixture
def call():
    def run(*words):
        done = CliRunner().invoke(app, ["view", *map(str, words)])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.stdout

    return run


def test_it_lists_what_there_is_to_see(call, tmp_path):
    write_image(tmp_path / "a" / "tissue.png", np.full((9, 9, 3), 200, np.uint8))
    (tmp_path / "cells.parquet").write_bytes(b"none")
    said = call(tmp_path, "--list")
    assert "a/tissue.png: no results" in said
    assert "results only" in said


def test_a_folder_with_nothing_to_show_says_what_to_run(call, tmp_path):
    with pytest.raises(DatasetNotFoundError, match="histoscope predict nuclei IMAGES OUT"):
        call(tmp_path, "--list")


def test_a_file_or_nothing_is_refused(call, tmp_path):
    (tmp_path / "a.txt").touch()
    with pytest.raises(DatasetNotFoundError, match="is a file"):
        call(tmp_path / "a.txt", "--list")
    with pytest.raises(DatasetNotFoundError, match="does not exist"):
        call(tmp_path / "b", "--list")
