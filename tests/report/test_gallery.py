"""Gallery: the right images, an honest crop, outlines where the nuclei are."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscope.errors import ShapeError
from histoscope.files import read_image
from histoscope.report.gallery import choose_region, ranked, shelves, strip
from histoscope.report.outlines import PRED_COLOUR, contours, draw, svg_path
from histoscope.report.results import read_study
from histoscope.stain import Macenko


def scores(values):
    return pd.DataFrame({"name": list("abcdefgh")[: len(values)], "patient": "p", "aji": values})


def test_best_median_and_worst_by_score():
    chosen = ranked(scores([0.3, 0.9, 0.5, 0.1, 0.6]), "aji")
    assert [(rank, name) for rank, name, *_ in chosen] == [("best", "b"), ("median", "c"), ("worst", "d")]


@pytest.mark.parametrize(
    ("n", "ranks"), [(1, ["best"]), (2, ["best", "worst"]), (3, ["best", "median", "worst"])]
)
def test_few_images_are_not_shown_twice(n, ranks):
    assert [rank for rank, *_ in ranked(scores([0.5, 0.4, 0.3][:n]), "aji")] == ranks


def test_equal_scores_are_ordered_by_name_not_by_chance():
    table = scores([0.5] * 5)
    assert ranked(table, "aji") == ranked(table.sample(frac=1, random_state=1), "aji")


def test_every_level_shows_the_same_images_with_its_own_numbers(fabricate):
    study = read_study(fabricate(pictures=True))
    (shelf,) = shelves(study)
    assert shelf.levels == ("none", "reinhard", "macenko")
    assert (shelf.seeds, shelf.missing) == ((0, 0, 0), "")
    tables = {
        level: study.finished("unet", level)[0].table.query("condition == 'test'").set_index("name")["aji"]
        for level in shelf.levels
    }
    mean = sum(tables.values()) / 3
    assert [picture.rank for picture in shelf.pictures] == ["best", "median", "worst"]
    assert shelf.pictures[0].name == mean.idxmax()
    assert shelf.pictures[2].name == mean.idxmin()
    for picture in shelf.pictures:
        assert picture.score == pytest.approx(mean[picture.name])
        assert picture.n_true == len(np.unique(picture.true)) - 1
        assert [view.level for view in picture.views] == list(shelf.levels)
        assert [view.score for view in picture.views] == [tables[level][picture.name] for level in tables]


def test_views_are_what_the_network_saw(fabricate):
    folder = fabricate(pictures=True)
    image = read_image(next((folder / "truth" / "images").iterdir()))
    model = folder / "macenko-unet-seed0" / "model"
    model.mkdir()
    (model / "card.json").write_text(
        json.dumps({"format": 1, "architecture": "unet", "input": {}, "stain normaliser": "macenko"})
    )
    Macenko.fit(image).save(model / "stain_reference.json")
    (shelf,) = shelves(read_study(folder))
    for picture in shelf.pictures:
        none, reinhard, macenko = picture.views
        assert [view.how for view in picture.views] == ["original", "normaliser not saved", "normalised"]
        np.testing.assert_array_equal(none.image, picture.image)
        np.testing.assert_array_equal(reinhard.image, picture.image)
        assert (macenko.image != picture.image).any()
        assert (picture.region(macenko.image) != picture.region()).any()


def test_missing_pictures_are_named_and_the_others_shown(fabricate):
    folder = fabricate(pictures=True)
    worst = shelves(read_study(folder))[0].pictures[2].name
    (folder / "none-unet-seed0" / "predictions" / "test" / f"{worst}.png").write_bytes(b"\x89PNG broken")
    shelf = shelves(read_study(folder))[0]
    assert [picture.rank for picture in shelf.pictures] == ["best", "median"]
    assert worst in shelf.missing


def test_names_cannot_leave_the_folder(fabricate, tmp_path):
    folder = fabricate(pictures=True)
    best = shelves(read_study(folder))[0].pictures[0].name
    truth = folder / "truth" / "images" / f"{best}.jpg"
    truth.rename(folder / "truth" / "secret.jpg")
    for path in folder.glob("*-seed0/per_image.csv"):
        path.write_text(path.read_text().replace(best, "../secret"))
    assert "../secret" in shelves(read_study(folder))[0].missing


def test_levels_without_results_are_named(fabricate):
    folder = fabricate(pictures=True)
    for path in folder.glob("reinhard*/per_image.csv"):
        path.unlink()
    (shelf,) = shelves(read_study(folder))
    assert shelf.levels == ("none", "macenko")
    assert "reinhard" in shelf.missing
    for path in folder.glob("*/per_image.csv"):
        path.unlink()
    (shelf,) = shelves(read_study(folder))
    assert (shelf.pictures, shelf.missing) == ((), "no finished run")


def test_a_strip_has_a_row_an_image_and_a_column_a_level(fabricate):
    (shelf,) = shelves(read_study(fabricate(pictures=True)))
    assert strip(shelf, zoom=2, gap_px=10).shape == (3 * 192 + 20, 4 * 192 + 30, 3)


def test_crop_is_as_good_as_the_whole_image():
    true = np.zeros((512, 512), np.int32)
    true[:, ::4] = 1
    pred = true.copy()
    pred[:256] = 0  # top half missed, bottom half perfect: Dice of the whole is 2/3
    rows, columns = choose_region(true, [pred], 256)
    t, p = true[rows, columns] > 0, pred[rows, columns] > 0
    assert 2 * (t & p).sum() / (t.sum() + p.sum()) == pytest.approx(2 / 3, abs=0.05)


@settings(deadline=None)
@given(st.integers(5, 300), st.integers(5, 300))
def test_crop_lies_inside_any_image(height, width):
    empty = np.zeros((height, width), np.int32)
    rows, columns = choose_region(empty, [empty, empty], 64)
    assert 0 <= rows.start < rows.stop <= height
    assert 0 <= columns.start < columns.stop <= width
    assert (rows.stop - rows.start, columns.stop - columns.start) == (min(64, height), min(64, width))


def test_outlines_run_along_pixel_edges():
    labels = np.zeros((6, 6), np.int32)
    labels[0, 0], labels[2:5, 1:5] = 3, 9
    one, other = contours(labels)
    assert (one.min(0).tolist(), one.max(0).tolist()) == ([0, 0], [1, 1])
    assert (other.min(0).tolist(), other.max(0).tolist()) == ([1, 2], [5, 5])
    assert svg_path(labels).count("M") == 2
    assert contours(np.zeros((4, 4), np.int32)) == []


def test_simplified_path_keeps_its_area():
    rows, columns = np.mgrid[:60, :60]
    disk = ((rows - 30) ** 2 + (columns - 28) ** 2 <= 20**2).astype(np.int32)
    points = np.array([[float(v) for v in p.split()] for p in re.findall(r"[\d.]+ [\d.]+", svg_path(disk))])
    x, y = points.T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert area == pytest.approx(disk.sum(), rel=0.05)
    assert len(points) < 82  # half of the pixel edges around it


def test_lines_are_drawn_around_nuclei_and_nowhere_else():
    labels = np.zeros((40, 40), np.int32)
    labels[10:30, 10:30] = 1
    image = np.full((40, 40, 3), 128, np.uint8)
    drawn = draw(image, [(labels, PRED_COLOUR, 2)], zoom=2)
    changed = (drawn != 128).any(axis=2)
    assert drawn.shape == (80, 80, 3)
    assert changed[18:22, 40].any()
    assert not changed[30:50, 30:50].any()
    assert not changed[:15].any()
    assert (image == 128).all()


def test_labels_of_another_size_are_refused():
    with pytest.raises(ShapeError, match="size"):
        draw(np.zeros((4, 4, 3), np.uint8), [(np.zeros((5, 4), np.int32), PRED_COLOUR, 1)])
    with pytest.raises(ShapeError, match="expected"):
        contours(np.zeros((4, 4, 3), np.int32))
