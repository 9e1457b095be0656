import json
from pathlib import Path

import pytest

from histoscope import weights
from histoscope.errors import UnknownNameError


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Give a folder that stands for the package's, with a model ``nuclei-test`` in it."""
    folder = tmp_path / "package" / "nuclei-test"
    folder.mkdir(parents=True)
    (folder / "card.json").write_text("{}")
    monkeypatch.setattr(weights, "_FOLDER", folder.parent)
    monkeypatch.setitem(weights.WEIGHTS, "nuclei-test", "a model for tests")
    return folder


def test_a_name_is_the_packages_folder(shipped):
    assert weights.find("nuclei-test") == shipped


def test_a_path_is_itself_and_a_run_folder_its_model(tmp_path, shipped, monkeypatch):
    run = tmp_path / "run"
    (run / "model").mkdir(parents=True)
    (run / "model" / "card.json").write_text("{}")
    assert weights.find(str(run)) == run / "model"
    assert weights.find(run / "model") == run / "model"
    own = tmp_path / "nuclei-test"
    own.mkdir()
    monkeypatch.chdir(tmp_path)
    assert weights.find("nuclei-test") == shipped
    assert weights.find("./nuclei-test") == Path("nuclei-test")
    assert weights.find(own) == own


def test_what_is_neither_is_told_with_the_names_and_that_paths_are_taken(shipped):
    with pytest.raises(UnknownNameError) as told:
        weights.find("nuclei-tset")
    assert "did you mean 'nuclei-test'?" in str(told.value)
    assert "nuclei-test, the path of a model folder" in str(told.value)


def test_every_name_has_a_whole_folder_and_every_folder_a_name():
    there = {path.parent.name for path in weights._FOLDER.glob("*/card.json")}
    assert there == set(weights.WEIGHTS)
    for name, about in weights.WEIGHTS.items():
        assert about
        folder = weights.find(name)
        assert (folder / "model.safetensors").stat().st_size < 16_000_000
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        assert card["weights licence"]
        assert card["training data"]


@pytest.mark.parametrize(
    ("licence", "is_told"),
    [
        ("CC BY-NC-SA 4.0", True),
        ("cc-by-nc-sa-4.0", True),
        ("for non-commercial research", True),
        ("Noncommercial", True),
        ("CC0-1.0", False),
        ("Apache-2.0, once more", False),
        ("", False),
        (None, False),
    ],
)
def test_only_non_commercial_licences_are_told(tmp_path, licence, is_told):
    (tmp_path / "card.json").write_text(json.dumps({"weights licence": licence}))
    said = weights.licence_notice(tmp_path)
    assert bool(said) == is_told
    if is_told:
        assert licence in said


@pytest.mark.parametrize("text", [None, "no JSON", "[]"])
def test_a_missing_or_broken_card_is_left_to_the_loader(tmp_path, text):
    if text is not None:
        (tmp_path / "card.json").write_text(text)
    assert weights.licence_notice(tmp_path) == ""
