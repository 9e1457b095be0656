"""Opening a model: network, normaliser, card, and a fingerprint of all that predictions depend on."""

import json

import pytest
import torch

from histoscope import models, predict, stain
from histoscope.errors import CorruptDataError
from histoscope.models import checkpoint, open_model


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    return models.save(
        models.create("stardist", width=2, depth=1, n_rays=8, classes=["a", "b"]), tmp_path / "m"
    )


def change_card(folder, change):
    card = json.loads((folder / "card.json").read_text())
    change(card)
    (folder / "card.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card["thresholds"].update(probability=0.9),
        lambda card: [card[part].update(classes=["b", "a"]) for part in ("arguments", "input")],
        lambda card: [card[part].update(mpp=0.5) for part in ("arguments", "input")],
        lambda card: card["arguments"].update(refine=False),
    ],
)
def test_what_changes_an_answer_changes_the_fingerprint(folder, change):
    before = open_model(folder, models.Segmenter).fingerprint
    change_card(folder, change)
    assert open_model(folder, models.Segmenter).fingerprint != before


def test_weights_and_stain_reference_count_by_content(folder):
    found = [open_model(folder, models.Segmenter).fingerprint]
    stain.Macenko.default().save(folder / "stain_reference.json")
    found.append(open_model(folder, models.Segmenter).fingerprint)
    text = (folder / "stain_reference.json").read_text()
    (folder / "stain_reference.json").write_text(text.replace("0.", "0.1", 1))
    found.append(open_model(folder, models.Segmenter).fingerprint)
    network = models.load(folder, models.Segmenter)
    with torch.no_grad():
        next(network.parameters()).add_(1e-3)
    models.save(network, folder)
    found.append(open_model(folder, models.Segmenter).fingerprint)
    assert len(set(found)) == len(found)


def test_scores_and_dates_on_the_card_do_not(folder):
    before = open_model(folder, models.Segmenter).fingerprint
    change_card(folder, lambda card: card.update(test={"aji": 1}, written="today", name="other"))
    assert open_model(folder, models.Segmenter).fingerprint == before


def test_the_least_area_is_part_of_it(folder):
    first, second = (predict.Detector.open(folder, least_area_um2=area) for area in (4, 5))
    assert first.fingerprint != second.fingerprint


@pytest.mark.parametrize("classes", [["a", "a"], ["a", ""]])
def test_classes_that_cannot_be_told_apart_are_refused(folder, classes):
    change_card(folder, lambda card: [card[part].update(classes=classes) for part in ("arguments", "input")])
    with pytest.raises(CorruptDataError, match="expected each once"):
        open_model(folder, models.Segmenter)


def test_the_network_runs_where_it_is_fastest(folder, monkeypatch):
    monkeypatch.setattr(checkpoint, "fastest", lambda: torch.device("meta"))
    assert next(open_model(folder).network.parameters()).device.type == "meta"


def test_the_normaliser_and_the_card_come_along(folder):
    models.save(models.load(folder), folder, {"licence": "CC0-1.0"}, stain.Reinhard.default())
    opened = open_model(folder)
    assert opened.normalizer.name == "reinhard"
    assert opened.card["licence"] == "CC0-1.0"
    assert repr(opened)
