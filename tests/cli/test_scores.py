"""Tables of scores on the terminal."""

import json

import numpy as np
import pandas as pd
import pytest

from histoscope.cli import scores
from histoscope.cli.scores import SHOWN
from histoscope.metrics import class_scores, interval, range_of


def _table(patients: list[str], **columns: object) -> pd.DataFrame:
    rows = [{"name": f"t{k}", "patient": patient, "source": ""} for k, patient in enumerate(patients)]
    means = {score: [0.2 * (k + 1) for k in range(len(rows))] for score in SHOWN}
    return pd.DataFrame(rows).assign(**means, **columns)


def _with_classes(patients: list[str]) -> pd.DataFrame:
    """Class ``round`` in every image, ``rare`` in the first alone; one nucleus of each image is missed."""
    rows = []
    for k, _ in enumerate(patients):
        true, pred = (
            np.array([[1, 1, 0, 2, 2, 0, 3 * (k == 0)]]),
            np.array([[1, 1, 0, 0, 0, 0, 3 * (k == 0)]]),
        )
        rows.append(class_scores(true, pred, [0, 1, 1, 2], [0, 1, 1, 2], ["round", "rare"], mpp=0.25))
    return pd.concat([_table(patients), pd.DataFrame(rows)], axis=1)


def _patches() -> pd.DataFrame:
    p = np.array([0.9, 0.8, 0.4, 0.1, 0.3, 0.6, 0.7, 0.2])
    columns = {"name": list("stuvwxyz"), "group": list("aabbccdd"), "true": [0, 0, 1, 1, 1, 1, 0, 0]}
    return pd.DataFrame({**columns, "predicted": (p < 0.5).astype(int), "p_benign": p, "p_tumour": 1 - p})


def _shown(capsys: pytest.CaptureFixture[str], table: pd.DataFrame, **arguments: object) -> str:
    scores.show(table, where=None, as_json=False, **arguments)  # type: ignore[arg-type]
    return capsys.readouterr().out


def _flat(told: str) -> str:
    return " ".join(told.split())


def _row(told: str, name: str) -> list[str]:
    """Cells of the first row whose first cells hold `name`."""
    line = next(line for line in told.splitlines() if f" {name} " in line)
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_interval_and_number_of_patients_stand_beside_each_mean(capsys: pytest.CaptureFixture[str]) -> None:
    table = _table(["a", "a", "b", "c"])
    told = _shown(capsys, table)
    expected = interval(table, "dice").within(range_of("dice"))
    assert _row(told, "dice") == ["dice", "0.500", f"{expected.low:.3f} to {expected.high:.3f}", "3"]
    assert "Patients" in told
    assert "4 images, interval by patient" in _flat(told)
    assert "No interval" not in told


def test_a_score_without_value_somewhere_rests_on_fewer_patients(capsys: pytest.CaptureFixture[str]) -> None:
    table = _table(["a", "a", "b", "c"])
    table.loc[3, "aji"] = np.nan
    told = _shown(capsys, table)
    assert (_row(told, "aji")[-1], _row(told, "pq")[-1]) == ("2", "3")


def test_one_patient_has_no_interval_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    told = _shown(capsys, _table(["a", "a"]))
    assert "nan" not in told
    assert _row(told, "dice") == ["dice", "0.300", "", "1"]
    assert "at least two patients" in told


def test_where_patients_are_not_known_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    told = _shown(capsys, _table(["a", "", "b"]))
    assert "Images" in told
    assert "The patient of 1 image is not known" in told
    of_sources = _shown(capsys, _table(["a", "", "b"], source=["s", "s", "t"]).assign(source=["s", "s", "t"]))
    assert _row(of_sources, "dice")[-1] == "2"
    assert "source images are treated as independent" in _flat(of_sources)


def test_classes_are_shown_with_their_true_nuclei(capsys: pytest.CaptureFixture[str]) -> None:
    told = _shown(capsys, _with_classes(["a", "b", "c"]))
    name, nuclei, score, value, _, patients = _row(told, "round")
    assert (name, nuclei, score, value, patients) == ("round", "6", "pq", "0.667", "3")
    assert _row(told, "rare") == ["rare", "1", "pq", "1.000", "", "1"]
    assert told.count("detection_f1") == 2
    assert "a score depends on only one of the patients" in told


def test_a_title_says_which_images_these_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert "not trained on: 2 images, interval" in _flat(
        _shown(capsys, _table(["a", "b"]), title="not trained on")
    )
    assert "1 image, interval by patient" in _flat(_shown(capsys, _table(["a"])))


def test_json_has_all_that_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    table = _with_classes(["a", "b", "c"])
    scores.show(table, where=None, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told == scores.summarise(table).as_dict()
    assert (told["images"], told["unit"], told["pq"]["n"]) == (3, "patient", 3)
    assert set(told["dice"]) == {"estimate", "low", "high", "n"}
    assert told["classes"]["rare"]["true_nuclei"] == 1
    assert told["classes"]["rare"]["pq"] == {"estimate": 1.0, "low": None, "high": None, "n": 1}
    assert set(told["classes"]["round"]) == {"true_nuclei", "pq", "detection_f1"}
    assert "classes" not in scores.summarise(_table(["a", "b"])).as_dict()


def test_patches_are_shown_by_group_and_class(capsys: pytest.CaptureFixture[str]) -> None:
    told = _shown(capsys, _patches())
    assert _row(told, "accuracy")[-1] == "4"
    assert _row(told, "benign")[:4] == ["benign", "4", "recall", "0.750"]
    assert "8 patches" in told
    assert "Groups" in told
    unlabelled = _patches().assign(true=[-1, 0, 1, 1, 1, 1, 0, 0])
    assert scores.summarise(unlabelled).classes["benign"].n_true == 3


def test_names_are_no_markup_and_no_rows_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    table = _with_classes(["a", "b", "c"]).rename(columns=lambda name: name.replace("round", "[red]round"))
    assert "[red]round" in _shown(capsys, table, title="[b]title")
    nothing = _shown(capsys, table.iloc[:0])
    assert _row(nothing, "dice") == ["dice", "undefined", "", "0"]
    assert _row(_shown(capsys, _patches().iloc[:0]), "accuracy") == ["accuracy", "undefined", "", "0"]
