"""Making a model one of those that come along: what is measured, on which images, and what is drawn of it."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from histoscope import data, models, synth
from histoscope.data import Datasheet, InMemory
from histoscope.files import write_image, write_labels
from histoscope.train import provenance

MAKE = Path(__file__).resolve().parents[2] / "docs" / "make"
ORGANS = {"a": "liver", "b": "liver", "c": "colon", "d": "colon"}


@pytest.fixture(scope="module")
def make():
    """Give a module of the scripts by its name."""
    sys.path.insert(0, str(MAKE))
    yield importlib.import_module
    sys.path.remove(str(MAKE))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Give a folder of data with one set: four patients in the test part, one in training."""
    root = tmp_path_factory.mktemp("data")
    rows = ["image_id,split,patient,organ,group,mpp_nominal,median_area_px"]
    for k, patient in enumerate("abcde"):
        sample = synth.generate((96, 96), mpp=0.25, rng=k)
        write_image(root / "lab" / "images" / f"{patient}.png", sample.image)
        write_labels(root / "lab" / "labels" / f"{patient}.png", sample.instances)
        split = "test" if patient in ORGANS else "train"
        rows.append(f"{patient},{split},{patient},{ORGANS.get(patient, 'liver')},g{k // 2},0.5,160")
    (root / "lab" / "index.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture
def laboratory(make):
    """Give the test part of that set as a laboratory."""
    kind = make("laboratories").Laboratory
    return kind("lab", "Lab, test", "two organs", "CC0", "me", splits=("test",), organ="organ", shown="truth")


@pytest.fixture
def model(tmp_path):
    """Give a model that learned from images of a data set."""
    torch.manual_seed(0)
    network = models.create("unet", width=4, depth=2, mpp=0.25)

    def saved(dataset):
        listed = provenance.write(tmp_path / "model", {"train": dataset})
        return models.save(network, tmp_path / "model", {"name": "mine", **listed})

    return saved


def nothing():
    return InMemory.of([], Datasheet("drawn"))


def test_all_images_count_for_a_model_that_never_saw_the_laboratory(make, root, laboratory, model):
    names = []
    found, table = make("model_scores").scored(
        model(nothing()), laboratory, root, lambda sample, nuclei: names.append((sample.name, nuclei.shape))
    )
    assert names == [(name, (96, 96)) for name in "abcd"]
    assert found["saw"] == "the model never saw this laboratory"
    assert (found["images"], found["unit"], len(table)) == (4, "patient", 4)
    assert found["nuclei"] == table["n_true"].sum()
    estimate, low, high, n = found["dice"]
    assert low <= estimate <= high
    assert n == 4
    assert {organ: part["images"] for organ, part in found["by organ"].items()} == {"colon": 2, "liver": 2}
    assert found["worst"]["aji"] == round(table["aji"].min(), 3)


def test_seen_images_are_left_out_and_the_card_says_so(make, root, laboratory, model):
    scored = make("model_scores").scored
    opened = make("laboratories").opened(laboratory, root)
    found, table = scored(model(data.subset(opened, [1])), laboratory, root)
    assert table["name"].tolist() == ["a", "c", "d"]
    assert found["saw"] == "the model learned from other patients of this data set; 1 image left out"
    whole, table = scored(model(data.subset(opened, [1])), replace(laboratory, whole=True), root)
    assert table is None
    assert whole["saw"] == "not measured: the model learned from 1 of 4 images"
    assert "aji" not in scored(model(opened), laboratory, root)[0]


def test_a_laboratory_may_have_groups_and_pixel_sizes_of_its_own(make, root, laboratory, model):
    module = make("laboratories")
    grouped = replace(laboratory, unit="mpp_nominal", mpp=module.nominal, organ="")
    assert {sample.mpp for sample in module.opened(grouped, root)} == {0.5}
    found, _ = make("model_scores").scored(model(nothing()), grouped, root)
    assert (found["unit"], found["aji"][1:]) == ("group", [None, None, 1])
    records = module.opened(laboratory, root).records
    assert module.by_usual_size(records) == pytest.approx([0.5] * 4)  # 160 pixels are 40 um2


def test_the_curve_is_measured_on_tiles_that_were_not_trained_on(make, root, laboratory, model, monkeypatch):
    module = make("model_curve")
    monkeypatch.setattr(module, "LABORATORIES", {"lab": laboratory})
    monkeypatch.setattr(module, "PARTS", {"lab": ("test", "train")})
    monkeypatch.setattr(module, "SIZES_UM", (0.25, 0.5))
    seen = data.subset(make("laboratories").opened(laboratory, root), [0])
    found = module.curve(model(seen), root)
    assert [mpp for mpp, _ in found["aji"]] == [0.25, 0.5]
    assert found["measured on"].startswith("4 tiles it was not trained on (4 of Lab;")
    assert found["range"][0] <= max(found["aji"], key=lambda point: point[1])[0] <= found["range"][1]


def test_the_sheet_shows_what_the_licence_allows_and_failures_are_outlined(make, laboratory, tmp_path):
    sheet, failures = make("model_sheet"), make("model_failures")
    true = np.zeros((300, 300), np.int32)
    true[20:60, 20:60], true[100:140, 100:140], true[100:140, 141:180] = 1, 2, 3
    pred = np.zeros_like(true)
    pred[100:140, 100:180], pred[200:240, 200:240] = 1, 2
    tile = sheet.Tile("t", np.full((300, 300, 3), 200, np.uint8), true, pred, 0.25)
    mistakes = failures.mistakes(tile)
    assert [np.unique(mistakes[kind]).tolist() for kind in ("missed", "wrong", "merged")] == [
        [0, 1],
        [0, 2],
        [0, 1],
    ]
    cells = failures.failures([tile])
    assert [cell.words.split(" (")[0] for cell in cells] == [
        "1 outline of no nucleus",
        "1 missed nucleus",
        "1 outline over several nuclei",
    ]
    table = make("pandas").DataFrame({"name": ["t"], "aji": [0.5], "f1_50": [0.25]})
    cyan = [
        (cell.picture == sheet.TRUTH).all(-1).any()
        for shown in ("truth", "image")
        for cell in sheet.row_of(replace(laboratory, shown=shown), table, {"t": tile})[:1]
    ]
    assert cyan == [True, False]
    sheet.write_row(tmp_path / "sheet.jpg", cells)
    with Pillow.open(tmp_path / "sheet.jpg") as picture:
        assert picture.width > 3 * sheet.CELL_PX
    assert (tmp_path / "sheet.jpg").stat().st_size <= sheet.MOST_BYTES
