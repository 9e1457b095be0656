"""The demo: a study like any other, on tissue that it draws itself."""

import shutil

import numpy as np
import pytest
import yaml

from histoscope import data, demo
from histoscope.errors import ConfigError, FormatVersionError
from histoscope.files import read_image
from histoscope.report.results import read_study

SMALL = demo.Size(train_patients=3, test_patients=2, image_px=64, steps=2, width=4, patch_px=32, seeds=1)


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """The small demo, done once."""
    out = tmp_path_factory.mktemp("demo") / "out"
    lines = []
    return out, lines, demo.run_demo(out, size=SMALL, say=lines.append)


def test_it_tells_the_story_in_order(once):
    _, lines, told = once
    assert list(told.seconds) == ["draw", "normalise", "train", "report", "predict"]
    assert len(lines) == 5
    assert told.report.is_file()
    assert set(told.summary.done) == {"none-unet-seed0", "macenko-unet-seed0"}


def test_it_says_in_words_what_it_found(once):
    first, away, home = once[2].sentences
    assert "laboratory A" in first
    assert away.startswith("On laboratory B: Macenko normalisation")
    assert home.startswith("On laboratory A: Macenko normalisation")
    assert "too few patients to say" in away  # two patients show nothing, and it says so


def test_laboratory_b_is_never_trained_on(once):
    out, *_ = once
    for name, part in data.split_published(data.open("folder", out / "data"), val=0.3):
        labs = {record.group("lab") for record in part.records}
        assert labs == ({"A", "B"} if name == "test" else {"A"})
    about = yaml.safe_load((out / "study" / "macenko-unet-seed0" / "config.yaml").read_text())
    assert all(name.startswith("A_") for name in about["images"]["train"])


def test_it_is_a_study_like_any_other(once):
    study = read_study(once[0] / "study")
    assert study.primary_condition == "laboratory_B"
    assert {run.status for run in study.runs} == {"finished"}


def test_the_picture_shows_before_above_after(once):
    picture = read_image(once[2].picture)
    line = 26  # of text above each row
    assert picture.shape == (
        2 * (76 + line),
        3 * 76,
        3,
    )  # two images of laboratory B and the reference, framed
    above, below = picture[line + 6 : line + 70, 6:70], picture[2 * line + 82 : 2 * line + 146, 6:70]
    assert np.abs(above.astype(int) - below).mean() > 3


def test_the_outlines_stand_beside_the_tile(once):
    out, _, told = once
    picture = read_image(told.outlines)
    assert picture.shape == (76, 2 * 76, 3)  # framed
    tile, drawn = picture[6:70, 6:70], picture[6:70, 82:146]
    assert any(np.array_equal(tile, read_image(path)) for path in (out / "data" / "images").glob("B_*"))
    assert (tile != drawn).any(axis=2).mean() > 0.01


def test_the_same_demo_goes_on_and_another_is_refused(once, tmp_path):
    out = shutil.copytree(once[0], tmp_path / "out")
    again = demo.run_demo(out, size=SMALL)
    assert again.summary.done == ()
    assert again.sentences == once[2].sentences
    with pytest.raises(ConfigError, match="another folder"):
        demo.run_demo(out, size=SMALL, seed=1)
    with pytest.raises(ConfigError, match="another folder"):
        demo.run_demo(out)
    (out / demo.MARKER).write_text("format: 99\n")
    with pytest.raises(FormatVersionError):
        demo.run_demo(out, size=SMALL)


def test_half_drawn_images_are_drawn_again(once, tmp_path):
    whole = once[0] / "data"
    broken = shutil.copytree(whole, tmp_path / "data")
    (broken / "index.csv").unlink()
    (broken / "UNFINISHED").write_text("")
    demo.draw(broken, 0, SMALL)
    assert (broken / "index.csv").read_text() == (whole / "index.csv").read_text()
    assert not (broken / "UNFINISHED").exists()


@pytest.mark.parametrize("name", ["thesis.txt", "study/x"])
def test_a_folder_of_something_else_is_left_alone(tmp_path, name):
    path = tmp_path / "mine" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(ConfigError, match="something other than a demo"):
        demo.run_demo(tmp_path / "mine", size=SMALL)
    assert [p for p in (tmp_path / "mine").rglob("*") if p.is_file()] == [path]
