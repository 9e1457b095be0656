"""Nuclei that are called unsure have a name, a colour and a count of their own in all that is written."""

import gzip
import json
from dataclasses import replace

import numpy as np
import pandas as pd

from histoscope import export
from histoscope.export import result
from histoscope.export.cells import Cells
from histoscope.export.cells_geojson import features_of, write_centres
from histoscope.export.overlay import COLOURS, UNCLASSED, UNSURE_COLOUR, with_legend
from histoscope.types import Nuclei

CLASSES = ("a", "b", "unsure")


def nuclei():
    labels = np.zeros((40, 60), np.int32)
    for k in range(3):
        labels[10:30, 20 * k + 4 : 20 * k + 16] = k + 1
    probability = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]], np.float32)
    centre = np.array([[10, 20], [30, 20], [50, 20]], np.float32)
    return Nuclei(centre, np.array([1, 2, 0], np.uint8), np.ones(3, np.float32), labels, 0.5, probability)


def test_its_colour_is_no_other_class_and_moves_none():
    plain, with_unsure = export.colours(["a", "b"]), export.colours(CLASSES)
    assert with_unsure[:3] == plain
    assert with_unsure[3] == COLOURS[UNSURE_COLOUR]
    assert export.colours(["unsure", "a"])[2] == plain[1]
    assert export.colours(["a", "b"], unsure=True) == (with_unsure[3], *plain[1:])


def test_pictures_tell_it_with_and_without_its_name():
    image = np.full((400, 600, 3), 200, np.uint8)
    labels = np.kron(nuclei().instances, np.ones((10, 10), np.int32))
    large = replace(nuclei(), instances=labels, shape=labels.shape, mpp=0.1)
    drawn = export.draw(image, large, CLASSES)
    of_outline = {tuple(colour) for colour in drawn[:, 420:].reshape(-1, 3).tolist()}
    assert COLOURS[UNSURE_COLOUR] in of_outline
    assert UNCLASSED not in of_outline
    legend = with_legend(image, large, CLASSES)
    assert (legend == COLOURS[UNSURE_COLOUR]).all(axis=2).any()
    assert np.array_equal(drawn, export.draw(image, large, CLASSES[:2]))
    assert np.array_equal(legend, with_legend(image, large, CLASSES[:2]))


def test_class_0_that_no_model_gave_is_not_unsure():
    truth = Nuclei.from_labels(nuclei().instances, mpp=0.1, classes=[0, 1, 2, 0])
    image = np.full((40, 60, 3), 200, np.uint8)
    assert export.measure(truth, image, ["a", "b"])["class"].tolist() == ["a", "b", "nucleus"]
    assert UNCLASSED in {
        tuple(each) for each in export.draw(image, truth, ["a", "b"]).reshape(-1, 3).tolist()
    }


def test_files_and_summary_tell_it(tmp_path):
    image = np.full((40, 60, 3), 200, np.uint8)
    result.write(tmp_path / "tile", image, nuclei(), CLASSES)
    assert pd.read_csv(tmp_path / "tile.csv")["class"].tolist() == list(CLASSES)
    features = json.loads((tmp_path / "tile.geojson").read_text())["features"]
    told = [each["properties"]["classification"] for each in features]
    assert told[2] == {"name": "unsure", "color": list(COLOURS[UNSURE_COLOUR])}
    row = result.summarise(image, nuclei(), CLASSES)
    assert [row[f"n_{name}"] for name in CLASSES] == [1, 1, 1]


def test_cells_of_slides_keep_the_probabilities_of_the_classes(tmp_path):
    found, image = nuclei(), np.full((40, 60, 3), 200, np.uint8)
    cells = Cells.of(found, export.measure(found, image, CLASSES), CLASSES, corner=(0, 0), scale=(1.0, 1.0))
    table = cells.to_arrow(CLASSES[:2], part="p", slide="s")
    assert table["class"].to_pylist() == list(CLASSES)
    assert [name for name in table.column_names if name.startswith("p_")] == ["p_a", "p_b"]
    np.testing.assert_allclose(table["p_a"].to_numpy(), [0.9, 0.2, 0.5])
    assert table["class_id"].to_pylist() == [1, 2, 0]
    assert f'"unsure", "color": {list(COLOURS[UNSURE_COLOUR])}' in features_of(table, CLASSES)[2].as_py()
    write_centres(tmp_path / "centres.geojson.gz", [table], CLASSES)
    features = json.loads(gzip.decompress((tmp_path / "centres.geojson.gz").read_bytes()))["features"]
    of_name = {each["properties"]["classification"]["name"]: each for each in features}
    assert list(of_name) == ["unsure", "a", "b"]
    assert of_name["unsure"]["properties"]["classification"]["color"] == list(COLOURS[UNSURE_COLOUR])
    assert table.schema.equals(Cells.none(CLASSES[:2]).to_arrow(CLASSES[:2], part="", slide="").schema)
