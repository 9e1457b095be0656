"""Runs as tasks of a ledger: what does them is told where it is, and it is gone afterwards."""

from types import SimpleNamespace

import pytest

from histoscope.studies.workers import do_runs


def test_the_ledger_is_there_for_all_nodes_and_is_cleared_away(tmp_path):
    def executor(folder, tasks, opener):
        assert folder.is_dir()  # workers of a cluster refuse a folder that they do not see
        assert not list(folder.iterdir())
        (folder / "claims").mkdir()
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            do_runs(SimpleNamespace(config=None), [], tmp_path / "study", executor)
        assert not list((tmp_path / "study").iterdir())
