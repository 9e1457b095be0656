import json

import pytest
from typer.testing import CliRunner

from histoscope import models, weights
from histoscope.cli.main import app
from histoscope.cli.model_card import described, score, worst_of
from histoscope.errors import CorruptDataError, DatasetNotFoundError, UnknownNameError


def call(*arguments):
    return CliRunner().invoke(app, ["models", *map(str, arguments)])


def test_every_model_that_comes_along_is_listed_with_what_matters():
    done = call("list")
    assert done.exit_code == 0, done.output
    for name in weights.WEIGHTS:
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"{name}: ")]
        about = weights.card(name)
        assert f"{about['input']['mpp']} um per pixel" in line
        assert about["weights licence"] in line
        assert all(kind in line for kind in about["input"]["classes"])
        scores = next(found for part, found in about["test"].items() if part.lower().startswith("monuseg"))
        mean, low, high, n = scores["aji"]
        assert f"AJI {mean:.3f} ({low:.3f} to {high:.3f}, {n} patients) on MoNuSeg" in line
    assert json.loads(call("list", "--json").stdout) == {name: weights.card(name) for name in weights.WEIGHTS}


def test_without_a_verb_they_are_listed_and_a_name_alone_shows_its_card():
    assert call().stdout == call("list").stdout
    assert call("--json").stdout == call("list", "--json").stdout
    assert call("nuclei-free").stdout == call("show", "nuclei-free").stdout
    assert call("nuclei-free", "--json").stdout == call("show", "nuclei-free", "--json").stdout


@pytest.mark.parametrize("name", weights.WEIGHTS)
def test_the_card_of_one_says_where_it_was_measured_and_where_it_fails(name):
    text, about = call("show", name).stdout, weights.card(name)
    for part, found in about["test"].items():
        assert f"\n{part}: " in text
        lines = text.split(f"\n{part}: ")[1].split("\n\n")[0].splitlines()
        if found["saw"].startswith("not measured"):
            assert found["saw"] in text
            continue
        told = dict(line.split(None, 1) for line in lines if line.startswith("  "))
        assert told["AJI"] == score(found["aji"], found)
    assert all(f"known failure: {failure}" in text for failure in about["known failures"])
    assert f"licence: {about['weights licence']}" in text
    assert json.loads(call("show", name, "--json").stdout) == about


def test_a_card_with_organs_and_pixel_sizes(tmp_path):
    mine = models.save(models.create("unet", width=2, depth=2), tmp_path / "run" / "model")
    four = [0.5, 0.25, 0.75, 4]
    found = {
        "tissue": "two organs",
        "saw": "the model never saw this laboratory",
        "images": 4,
        "nuclei": 1200,
        "unit": "patient",
        "aji": four,
        "f1_50": [0.8, None, None, 1],
        "by organ": {"liver": {"images": 1, "aji": [0.4, None, None, 1], "f1_50": four}},
        "worst": {"image": "a7", "aji": 0.25, "nuclei": 300, "missed": 20, "wrong": 1},
    }
    sizes = {"range": [0.2, 0.55], "aji": [[0.2, 0.6], [0.5, 0.61]], "measured on": "9 tiles"}
    left = {"saw": "not measured: the model learned from 3 of 4 images"}
    card = weights.card(mine) | {
        "test": {"Lab, test": found, "Other": left},
        "pixel sizes": sizes,
        "credit": "me",
    }
    (mine / "card.json").write_text(json.dumps(card))
    lines = call("show", mine).stdout.splitlines()
    place = lines.index("Lab, test: 4 images, 1,200 nuclei; two organs; the model never saw this laboratory")
    assert lines[place + 1 : place + 5] == [
        "  AJI  0.500 (0.250 to 0.750, 4 patients)",
        "  F1   0.800 (1 patient)",
        "  liver  1 image  AJI 0.400  F1 0.500 (0.250 to 0.750)",
        "  worst image: a7, AJI 0.25: 20 of 300 nuclei missed, 1 outline of something else",
    ]
    assert "Other: not measured: the model learned from 3 of 4 images" in lines
    assert "Pixel sizes: 0.2 to 0.55 um, AJI within 0.05 of its best, on 9 tiles" in lines
    assert lines[lines.index("  um   0.2    0.5") + 1] == "  AJI  0.600  0.610"
    assert "credit: me" in lines
    assert worst_of(left) == ""


def test_the_card_of_a_run(tmp_path):
    mine = models.save(models.create("unet", width=2, depth=2), tmp_path / "run" / "model")
    text = call("show", mine.parent).stdout
    assert "architecture: unet, at 0.25 um per pixel" in text
    assert "licence: not stated" in text
    card = weights.card(mine) | {"test": {"images": 3, "aji": 0.5, "pq": 0.25}}  # as training writes it
    (mine / "card.json").write_text(json.dumps(card))
    assert "own test part: AJI 0.500, PQ 0.250" in call("show", mine).stdout


def test_the_card_says_what_taught_the_classes_and_how_many_nuclei_are_sure():
    card = {"architecture": "stardist", "input": {"mpp": 0.25, "classes": ["a", "b"]}}
    card["classes learned from"] = {"name": "colon", "images": 23}
    card["validation"] = {
        "nuclei of known class": 2682,
        "share with a class": 0.93,
        "class precision": 0.8,
    }
    text = "\n".join(described(card))
    assert "classes learned from: colon, 23 images" in text
    assert "of 2,682 validation nuclei, 93% get a class, 80% of these correctly" in text
    del card["classes learned from"], card["validation"]
    assert "unsure" not in "\n".join(described(card))


def test_what_is_no_model_is_told(tmp_path):
    assert isinstance(call("show", "nuclei-fre").exception, UnknownNameError)
    assert isinstance(call("nuclei-fre").exception, UnknownNameError)
    assert isinstance(call("show", tmp_path).exception, DatasetNotFoundError)
    for text in ("{", "[]", '{"format": 1}'):
        (tmp_path / "card.json").write_text(text)
        assert isinstance(call("show", tmp_path).exception, CorruptDataError)


def test_help_of_predict_names_them_with_a_line_each():
    text = " ".join(CliRunner().invoke(app, ["predict", "--help"]).stdout.replace("│", "").split())
    for name in weights.WEIGHTS:
        about = weights.card(name)
        assert f"• {name}: {about['about']} {about['weights licence']}" in text
    assert "histoscope models" in text
