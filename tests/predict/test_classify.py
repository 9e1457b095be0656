import csv
import itertools
import json
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscope import predict
from histoscope.errors import ConfigError, ShapeError
from histoscope.export.heatmap import draw_heatmap
from histoscope.files import read_image, write_image
from histoscope.jobs.naming import JOURNAL, PREDICTIONS, SUMMARY
from histoscope.predict import classify
from histoscope.predict.batch import plan
from histoscope.predict.classify import Settings
from histoscope.predict.tilemap import boxes

RED, BLUE, GLASS = (210, 80, 150), (120, 80, 200), (250, 250, 250)


def flat(colour, height=16, width=16):
    return np.full((height, width, 3), colour, np.uint8)


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def classifier(tint):
    return predict.PatchClassifier.open(tint)


@pytest.fixture
def patches(tmp_path):
    for name, colour in {"a/one.png": RED, "a/two.png": BLUE, "b/three.png": RED}.items():
        write_image(tmp_path / "patches" / name, flat(colour))
    return tmp_path / "patches"


@pytest.fixture
def big():
    """Give 3 x 4 tiles of 32 pixels at 0.5 µm: the left half red, then blue, the last column glass."""
    image = flat(RED, 96, 128)
    image[:, 64:96], image[:, 96:] = BLUE, GLASS
    return image


def run(classifier, source, out, mpp=1.0, overwrite=False, **settings):
    return classify.run(
        classifier, plan([source], out), out, Settings(mpp=mpp, **settings), overwrite=overwrite
    )


def test_a_row_for_each_patch(classifier, patches, tmp_path):
    outcome = run(classifier, patches, tmp_path / "out")
    assert not outcome.failed
    rows = rows_of(tmp_path / "out" / PREDICTIONS)
    assert [(row["name"], row["predicted"]) for row in rows] == [
        ("a__one", "red"),
        ("a__two", "blue"),
        ("b__three", "red"),
    ]
    assert list(rows[0]) == ["name", "predicted", "p_red", "p_blue"]
    logit = 20 * (210 - 150) / 255
    assert float(rows[0]["p_red"]) == pytest.approx(1 / (1 + np.exp(-2 * logit)), rel=1e-4)
    assert not (tmp_path / "out" / SUMMARY).exists()


def test_the_tiles_of_a_large_image_are_told(classifier, big, tmp_path):
    write_image(tmp_path / "big.png", big)
    told, out = [], tmp_path / "out"
    plans = plan([tmp_path / "big.png"], out)
    classify.run(classifier, plans, out, Settings(mpp=0.5), on_tiles=lambda *n: told.append(n))
    assert told[-1][0] == told[-1][1] == 9  # of 12 tiles, three are glass


def test_bad_files_are_told_and_the_rest_goes_on(classifier, patches, tmp_path):
    (patches / "a" / "bad.png").write_bytes(b"no picture")
    whole = (patches / "b" / "three.png").read_bytes()
    (patches / "b" / "cut.png").write_bytes(whole[: len(whole) // 2])
    outcome = run(classifier, patches, tmp_path / "out")
    assert sorted(failure["path"].split("/")[-1] for failure in outcome.failed) == ["bad.png", "cut.png"]
    assert all("cannot be decoded" in failure["error"] for failure in outcome.failed)
    assert len(rows_of(tmp_path / "out" / PREDICTIONS)) == 3


def test_an_interrupted_call_goes_on(classifier, patches, tmp_path):
    out = tmp_path / "out"
    seen = []

    def stop(name):
        seen.append(name)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        classify.run(classifier, plan([patches], out), out, Settings(mpp=1.0), on_image=stop)
    assert len(rows_of(out / PREDICTIONS)) == 2
    outcome = run(classifier, patches, out)
    assert (outcome.skipped, len(outcome.done)) == (2, 3)
    assert len(rows_of(out / PREDICTIONS)) == 3
    write_image(patches / "a" / "one.png", flat(BLUE, 16, 18))  # another image of the name
    assert run(classifier, patches, out).skipped == 2
    assert rows_of(out / PREDICTIONS)[0]["predicted"] == "blue"
    with pytest.raises(ConfigError, match="least_tissue"):
        run(classifier, patches, out, least_tissue=0.5)
    assert run(classifier, patches, out, overwrite=True).skipped == 0


def test_a_large_image_becomes_a_map(classifier, big, tmp_path):
    write_image(tmp_path / "in" / "big.png", big)
    write_image(tmp_path / "in" / "small.png", flat(BLUE))
    out = tmp_path / "out"
    outcome = run(classifier, tmp_path / "in", out, mpp=0.5)
    assert not outcome.failed
    assert [row["name"] for row in rows_of(out / PREDICTIONS)] == ["small"]
    (row,) = rows_of(out / SUMMARY)
    assert (row["image"], row["tiles"], row["empty_tiles"]) == ("big", "9", "3")
    assert (row["tiles_red"], row["tiles_blue"]) == ("6", "3")
    assert float(row["share_red"]) == pytest.approx(2 / 3, abs=1e-3)
    assert float(row["tissue_mm2"]) == pytest.approx(96 * 96 * 0.25 / 1e6, rel=1e-3)
    features = json.loads((out / "big.geojson").read_text(encoding="utf-8"))["features"]
    assert len({feature["id"] for feature in features}) == 9
    for feature in features:
        (ring,) = feature["geometry"]["coordinates"]
        assert ring[0] == ring[-1]
        middle = np.mean(ring[:-1], axis=0).astype(int)
        expected = "red" if (big[middle[1], middle[0]] == RED).all() else "blue"
        about = feature["properties"]
        assert about["objectType"] == "tile"
        assert about["classification"]["name"] == expected
        assert about["measurements"][f"p_{expected}"] > 0.99
    tiles = rows_of(out / "big_tiles.csv")
    assert [tile["predicted"] for tile in tiles].count("red") == 6
    heat = read_image(out / "big_heatmap.png")
    assert heat.shape[1] == 128
    assert (heat[:96, 96:] == big[:, 96:]).all()  # glass is left as it is
    assert (heat[:96, :96] != big[:, :96]).any(axis=2).all()
    assert run(classifier, tmp_path / "in", out, mpp=0.5).skipped == 2
    (out / "big_heatmap.png").unlink()
    assert run(classifier, tmp_path / "in", out, mpp=0.5).skipped == 1
    assert (out / "big_heatmap.png").exists()


def test_what_is_shown_can_be_chosen(classifier, big, tmp_path):
    write_image(tmp_path / "big.png", big)
    write_image(tmp_path / "small.png", flat(BLUE))
    run(classifier, tmp_path / "big.png", tmp_path / "one", mpp=0.5, shown="patch")
    assert len(rows_of(tmp_path / "one" / PREDICTIONS)) == 1
    run(classifier, tmp_path / "small.png", tmp_path / "two", shown="tiles", kinds=["csv"])
    assert {path.name for path in (tmp_path / "two").iterdir()} == {"small_tiles.csv", SUMMARY, JOURNAL}


def test_the_resolution_decides_what_a_tile_shows(classifier, big):
    coarse = predict.classify_tiles(big, classifier, 0.5)
    fine = predict.classify_tiles(big.repeat(2, 0).repeat(2, 1), classifier, 0.25)
    assert (fine.box_px == 2 * coarse.box_px).all()
    assert fine.probability == pytest.approx(coarse.probability, abs=1e-3)
    assert fine.tissue_mm2 == pytest.approx(coarse.tissue_mm2)


def test_a_reader_of_regions_is_as_good_as_the_image(classifier, big):
    asked = []

    def region(left, top, right, bottom):
        asked.append((right - left) * (bottom - top))
        return big[top:bottom, left:right]

    found = predict.classify_tiles(region, classifier, 0.5, shape=big.shape[:2])
    whole = predict.classify_tiles(big, classifier, 0.5)
    assert (found.box_px == whole.box_px).all()
    assert (found.probability == whole.probability).all()
    assert max(asked) == 32 * 32
    with pytest.raises(ShapeError, match="shape is None"):
        predict.classify_tiles(region, classifier, 0.5)


def test_no_more_than_some_batches_of_tiles_are_held(classifier):
    alive, most, numbers = set(), 0, itertools.count()

    def region(left, top, right, bottom):
        nonlocal most
        tile = flat(RED, bottom - top, right - left)
        number = next(numbers)
        alive.add(number)
        weakref.finalize(tile, alive.discard, number)
        most = max(most, len(alive))
        return tile

    found = predict.classify_tiles(region, classifier, 1.0, shape=(16 * 32, 16 * 32))
    assert (len(found), next(numbers)) == (1024, 2048)
    assert most <= 16 * (torch.get_num_threads() + 4)


def test_patches_are_named_as_data_sets_name_them(classifier, tmp_path):
    from histoscope.data import ClassFolder

    folder, out = tmp_path / "data", tmp_path / "out"
    for name in ("aca/1.png", "n/2.png"):
        write_image(folder / name, flat(RED))
    outcome = run(classifier, folder, out)
    assert [row["image"] for row in outcome.done] == ["aca__1", "n__2"]
    records = ClassFolder(folder, mpp=1.0).records
    assert [row["name"] for row in rows_of(out / PREDICTIONS)] == [record.name for record in records]
    write_image(folder / "aca__1.png", flat(BLUE))  # later, and of the same short name
    run(classifier, folder, out)
    found = {row["name"]: row["predicted"] for row in rows_of(out / PREDICTIONS)}
    assert found == {"aca/1": "red", "n__2": "red", "aca__1": "blue"}


def test_turned_is_the_mean_of_eight_looks(tint, big):
    once, turned = predict.PatchClassifier.open(tint), predict.PatchClassifier.open(tint, tta=True)
    first, second = (predict.classify_tiles(big, model, 0.5).probability for model in (once, turned))
    assert second == pytest.approx(first, abs=1e-5)  # a mean colour does not turn


def test_an_image_without_tissue(classifier, tmp_path):
    tiles = predict.classify_tiles(flat(GLASS, 40, 70), classifier, 1.0)
    assert (len(tiles), tiles.n_empty) == (0, 12)
    picture = draw_heatmap(flat(GLASS, 40, 70), tiles, classifier.classes)
    assert (picture[:40] == 250).all()
    write_image(tmp_path / "glass.png", flat(GLASS, 40, 70))
    run(classifier, tmp_path / "glass.png", tmp_path / "out")
    (row,) = rows_of(tmp_path / "out" / SUMMARY)
    assert (row["tiles"], row["share_red"]) == ("0", "")


def test_wrong_input_is_told(classifier, big, blobs, model_folder, tmp_path, patches):
    with pytest.raises(ConfigError, match="expected a classifier"):
        predict.PatchClassifier.open(model_folder)
    with pytest.raises(ShapeError, match="give the image that they were predicted on"):
        draw_heatmap(big[:20], predict.classify_tiles(big, classifier, 0.5), classifier.classes)
    with pytest.raises(ConfigError, match="--mpp"):
        run(classifier, patches, tmp_path / "out", mpp=None)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.floats(1.5, 40))
def test_boxes_stand_side_by_side(height, width, side):
    covered = np.zeros((height, width), int)
    for left, top, right, bottom in boxes((height, width), side):
        assert 0 < right - left <= side + 1
        assert 0 < bottom - top <= side + 1
        covered[top:bottom, left:right] += 1
    assert covered.max() == 1
    rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
    assert (covered[: rows.max() + 1, : columns.max() + 1] == 1).all()
    for seen, length in ((rows, height), (columns, width)):
        assert length - (seen.max() + 1) <= side / 2 + 0.5
