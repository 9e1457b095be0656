"""Studies and data folders: what is listed, the numbers of the report, the images behind them."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from histoscope import models, synth
from histoscope.data import Datasheet, write_folder
from histoscope.errors import ConfigError, CorruptDataError, DatasetNotFoundError
from histoscope.files import write_image
from histoscope.report.effects import effects
from histoscope.report.results import read_study
from histoscope.viewer.library import Library
from histoscope.viewer.shelf import Shelf
from histoscope.viewer.studies import StudyPages

OLD = Path(__file__).parents[1] / "report" / "studies_of_0_1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study, a data folder, and pictures that a report drew."""
    folder = tmp_path_factory.mktemp("study")
    shutil.copytree(OLD / "nuclei", folder / "study")
    write_image(folder / "study" / "report_files" / "gallery.jpg", synth.generate((32, 32), mpp=0.5).image)
    sheet = Datasheet("own", mpp=0.5, classes={number: name for name, number in synth.CLASSES.items()})
    write_folder(folder / "data", synth.cohort(2, 1, shape_px=(96, 96), mpp=0.5, seed=0), sheet)
    return folder


@pytest.fixture(scope="module")
def library(folder):
    return Library([folder]).search()


def of_study(library):
    return [item for item in library.items.values() if item.study]


def test_maps_and_drawn_pictures_are_not_listed(library):
    assert {item.folder for item in library.items.values()} == {"data/images", "study/truth/images"}


def test_images_of_a_data_folder_have_their_truth_with_classes_and_pixel_size(library):
    shelf = Shelf(library)
    for item in library.items.values():
        if not item.study:
            (truth,) = item.results
            assert (truth.label, item.mpp) == ("ground truth", 0.5)
            marks = shelf.marks(truth)
            assert marks.about["classes"] == list(synth.CLASSES)
            assert sum(map(sum, marks.counts()[1:])) == len(marks) > 0


def test_a_label_map_without_its_image_is_an_image(tmp_path):
    write_image(tmp_path / "labels" / "a.png", synth.generate((32, 32), mpp=0.5).image)
    (item,) = Library([tmp_path]).search().items.values()
    assert item.name == "a.png"


def test_test_images_of_a_study_have_what_each_run_found(library):
    items = of_study(library)
    assert len(items) == 4
    for item in items:
        truth, *found = item.results
        assert truth.kind == "truth"
        assert {one.kind for one in found} == {"outcomes"}
        assert "real_2-unet-seed0, test" in [one.label for one in found]


def test_numbers_are_those_of_the_report(library, folder):
    (key,) = library.studies
    page = StudyPages(library).page(key)
    expected = {
        (row.model, row.condition, row.level, row.metric): row
        for row in effects(read_study(folder / "study"))
    }
    assert len(page["numbers"]) == len(expected)
    for one in page["numbers"]:
        row = expected[one["model"], one["condition"], one["level"], one["metric"]]
        assert one["mean"] == (pytest.approx(row.mean) if row.n_images else None)
        assert one["verdict"] == (row.verdict and str(row.verdict))
    assert page["metric"] == "aji"
    json.dumps(page, allow_nan=False)


def test_the_images_behind_a_number_come_worst_first(library, folder):
    (key,) = library.studies
    found = StudyPages(library).images(key, "unet", "real_all", "test", "aji")
    tables = [
        pd.read_csv(folder / "study" / f"real_all-unet-seed{seed}" / "per_image.csv") for seed in (0, 1)
    ]
    together = pd.concat(tables)
    means = together[together["condition"] == "test"].groupby("name")["aji"].mean().sort_values()
    assert [one["score"] for one in found["images"]] == pytest.approx(means.to_list())
    results = {one.id for item in of_study(library) for one in item.results}
    for one in found["images"]:
        assert one["slide"] in library.items
        assert {each["results"] for each in one["seeds"]} <= results
        assert len(one["seeds"]) == 2


def test_a_score_that_is_better_when_lower_turns_the_order(library):
    study = Library([OLD / "patches"]).search()
    (key,) = study.studies
    pages = StudyPages(study)
    number = next(one for one in pages.page(key)["numbers"] if one["metric"] == "nll" and one["n_images"])
    found = pages.images(key, number["model"], number["level"], number["condition"], "nll")
    scores = [one["score"] for one in found["images"]]
    assert scores == sorted(scores, reverse=True)
    assert {one["slide"] for one in found["images"]} == {None}  # it keeps no images


def test_patches_are_found_in_the_data_folder_with_their_classes(tmp_path):
    shutil.copytree(OLD / "patches", tmp_path / "study")
    for kind in ("pink", "blue"):
        write_image(tmp_path / "patches" / kind / "2_0.png", synth.generate((32, 32), mpp=0.5).image)
    library = Library([tmp_path]).search()
    (key,) = library.studies
    found = StudyPages(library).images(key, "all", "colour", "grouped", "nll")["images"]
    shown = {one["name"]: one for one in found if one["slide"]}
    assert library.items[shown["pink__2_0"]["slide"]].path == tmp_path / "patches" / "pink" / "2_0.png"
    assert all(library.items[one["slide"]].path.stem == "2_0" for one in shown.values())
    table = pd.read_csv(tmp_path / "study" / "colour-all-seed0" / "per_image.csv")
    row = table[(table["name"] == "pink__2_0") & (table["condition"] == "grouped")].iloc[0]
    assert shown["pink__2_0"]["said"] == f"pink, predicted {['blue', 'pink'][int(row['predicted'])]}"


def test_numbers_that_are_not_there_are_refused_with_those_that_are(library):
    (key,) = library.studies
    pages = StudyPages(library)
    with pytest.raises(ConfigError, match="it has real_2, real_all, procedural"):
        pages.images(key, "unet", "reinhard", "test", "aji")
    with pytest.raises(ConfigError, match="no score 'beauty'"):
        pages.images(key, "unet", "real_2", "test", "beauty")
    with pytest.raises(DatasetNotFoundError, match="reload the page"):
        pages.page("0" * 12)


def test_a_broken_study_says_so_and_the_rest_is_shown(tmp_path):
    (tmp_path / "study.yaml").write_text("factor: [", encoding="utf-8")
    write_image(tmp_path / "truth" / "images" / "a.png", synth.generate((32, 32), mpp=0.5).image)
    library = Library([tmp_path]).search()
    assert len(library.items) == 1
    with pytest.raises(ValueError, match="not readable YAML"):
        StudyPages(library).page(next(iter(library.studies)))


@pytest.fixture
def trained(folder, tmp_path):
    """A run of training, beside a data folder whose images it was tested on."""
    shutil.copytree(folder / "data", tmp_path / "data")
    run = tmp_path / "runs" / "first"
    models.save(models.create("unet", width=4, depth=2, mpp=0.5), run / "model")
    config = {"model": {"name": "unet"}, "train": {"seed": 3}, "data": {"root": "elsewhere/data"}}
    (run / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    names = sorted(path.stem for path in (tmp_path / "data" / "images").iterdir())
    scores = pd.DataFrame({"name": names, "patient": names, "source": names, "aji": [0.7, 0.3]})
    scores.to_csv(run / "per_image.csv", index=False)
    return tmp_path


def test_a_run_is_a_study_of_one_level_on_images_of_its_data_folder(trained):
    library = Library([trained]).search()
    (key,) = library.studies
    page = StudyPages(library).page(key)
    assert (page["name"], page["metric"], page["levels"][0]["name"]) == ("first", "aji", "first")
    assert page["numbers"][0]["mean"] == pytest.approx(0.5)
    worst, best = StudyPages(library).images(key, "unet", "first", "test", "aji")["images"]
    assert (worst["score"], best["score"], worst["model"]) == (0.3, 0.7, "runs/first/model")
    item = library.items[worst["slide"]]
    assert item.path.stem == worst["name"]
    assert item.results[0].id == worst["truth"]
    assert worst["seeds"] == [{"seed": 3, "score": 0.3, "results": None}]


def test_a_run_without_its_images_lists_their_scores(trained):
    shutil.rmtree(trained / "data")
    library = Library([trained]).search()
    (key,) = library.studies
    found = StudyPages(library).images(key, "unet", "first", "test", "aji")["images"]
    assert [one["slide"] for one in found] == [None, None]
    (trained / "runs" / "first" / "config.yaml").write_text("model: 3", encoding="utf-8")
    with pytest.raises(CorruptDataError, match="not a configuration"):
        StudyPages(Library([trained]).search()).page(key)


def test_the_report_is_served_where_it_reaches_nothing(tmp_path):
    testclient = pytest.importorskip("fastapi.testclient")
    from histoscope.viewer.server import create_app

    folder = tmp_path / "study"
    shutil.copytree(OLD / "nuclei", folder)
    (folder / "report.html").unlink(missing_ok=True)
    library = Library([tmp_path]).search()
    (key,) = library.studies
    client = testclient.TestClient(create_app(library), base_url="http://127.0.0.1")
    assert client.get(f"/api/studies/{key}/report").status_code == 404
    assert client.get(f"/api/studies/{key}").json()["has_report"] is False
    (folder / "report.html").write_text("<h1>All of it</h1><script>1</script>", encoding="utf-8")
    found = client.get(f"/api/studies/{key}/report")
    assert "All of it" in found.text
    (policy,) = found.headers.get_list("content-security-policy")
    assert policy.startswith("sandbox allow-scripts; default-src 'none'")
    outside = tmp_path.parent / f"{tmp_path.name}.html"
    outside.write_text("secret", encoding="utf-8")
    (folder / "report.html").unlink()
    (folder / "report.html").symlink_to(outside)
    assert client.get(f"/api/studies/{key}/report").status_code == 404
