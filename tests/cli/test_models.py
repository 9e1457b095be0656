import json

from typer.testing import CliRunner

from histoscope import models, weights
from histoscope.cli.main import app
from histoscope.errors import CorruptDataError, DatasetNotFoundError, UnknownNameError


def call(*arguments):
    return CliRunner().invoke(app, ["models", *map(str, arguments)])


def test_every_model_that_comes_along_is_listed_with_what_matters():
    done = call()
    assert done.exit_code == 0, done.output
    for name in weights.WEIGHTS:
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"{name}: ")]
        about = weights.card(name)
        assert f"{about['input']['mpp']} um per pixel" in line
        assert about["weights licence"] in line
        assert all(kind in line for kind in about["input"]["classes"])
        mean, low, high, n = about["test"]["monuseg, published test images"]["aji"]
        assert f"AJI {mean:.3f} ({low:.3f} to {high:.3f}, {n} patients)" in line
    assert json.loads(call("--json").stdout) == {name: weights.card(name) for name in weights.WEIGHTS}


def test_the_card_of_one(tmp_path):
    text = call("nuclei-research").stdout
    about = weights.card("nuclei-research")
    assert all(f"known failure: {failure}" in text for failure in about["known failures"])
    assert json.loads(call("nuclei-research", "--json").stdout) == about
    mine = models.save(models.create("unet", width=2, depth=2), tmp_path / "run" / "model")
    text = call(mine.parent).stdout
    assert "architecture: unet, at 0.25 um per pixel" in text
    assert "licence: not stated" in text
    card = weights.card(mine) | {"test": {"images": 3, "aji": 0.5, "pq": 0.25}}  # as training writes it
    (mine / "card.json").write_text(json.dumps(card))
    assert "own test part: aji 0.500, pq 0.250" in call(mine).stdout


def test_what_is_no_model_is_told(tmp_path):
    assert isinstance(call("nuclei-fre").exception, UnknownNameError)
    assert isinstance(call(tmp_path).exception, DatasetNotFoundError)
    for text in ("{", "[]", '{"format": 1}'):
        (tmp_path / "card.json").write_text(text)
        assert isinstance(call(tmp_path).exception, CorruptDataError)


def test_help_of_predict_names_them():
    text = " ".join(CliRunner().invoke(app, ["predict", "--help"]).stdout.replace("│", "").split())
    for name in [*weights.WEIGHTS, "histoscope models"]:
        assert name in text
