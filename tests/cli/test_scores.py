"""Tables of scores on the terminal."""

import pandas as pd
import pytest

from histoscope.cli import scores
from histoscope.cli.scores import SHOWN


def _table(patients: list[str]) -> pd.DataFrame:
    rows = [{"name": f"t{k}", "patient": patient} for k, patient in enumerate(patients)]
    return pd.DataFrame(rows).assign(**{score: [0.2 * (k + 1) for k in range(len(rows))] for score in SHOWN})


def test_an_interval_stands_beside_each_mean(capsys: pytest.CaptureFixture[str]) -> None:
    scores.show(_table(["a", "a", "b", "c"]), where=None, as_json=False)
    told = capsys.readouterr().out
    assert "interval by patient" in told
    assert " to 0." in told
    assert "No interval" not in told


def test_one_patient_has_no_interval_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    scores.show(_table(["a", "a"]), where=None, as_json=False)
    told = capsys.readouterr().out
    assert "nan" not in told
    assert "at least two patients" in told
