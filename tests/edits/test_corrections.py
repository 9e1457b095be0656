"""Corrections of one file of results, as a page and a command line make them."""

import numpy as np
import pytest

import histoscope as hs
from histoscope.edits import Corrections, Wanted, read_cells
from histoscope.edits.cells import read_rows
from histoscope.errors import (
    CorruptDataError,
    DataError,
    DatasetNotFoundError,
    FormatVersionError,
    UnknownNameError,
)
from histoscope.files import write_labels
from histoscope.nuclei import Nuclei

TRIANGLE = [(100, 80), (110, 80), (100, 90)]


def test_an_edit_is_there_for_the_next_who_opens(results):
    one = Corrections(results).add("delete", "ada", row=0)
    assert Corrections(results).read().edits == (one,)
    assert len(Corrections(results).applied()) == 11
    Corrections(results).add("undo", "bob", undoes=one.id)
    assert len(Corrections(results).applied()) == 12
    assert results.with_name("edits").is_dir()


def test_what_is_drawn_can_be_corrected(results):
    corrections = Corrections(results)
    drawn = corrections.add("draw", "ada", polygon_px=TRIANGLE, class_name="Tumour ")
    assert drawn.class_name == "tumour"
    corrections.add("reclassify", "bob", drawn=drawn.id, class_name="stroma")
    assert corrections.applied().table["class"].to_pylist()[-1] == "stroma"
    corrections.add("delete", "ada", drawn=drawn.id)
    assert len(corrections.applied()) == 12
    with pytest.raises(DataError, match="no drawn nucleus"):
        corrections.add("delete", "ada", drawn=drawn.id)


def test_a_confirmed_nucleus_keeps_the_class_that_was_shown(results):
    corrections = Corrections(results)
    assert corrections.add("confirm", "ada", row=0).class_name == "stroma"
    corrections.add("reclassify", "ada", row=0, class_name="tumour")
    assert corrections.add("confirm", "bob", row=0).class_name == "tumour"
    assert not corrections.state().conflicts


def test_an_edit_is_later_than_all_that_is_there(results):
    corrections = Corrections(results)
    times = [corrections.add("confirm", "ada", row=0).time for _ in range(5)]
    assert times == sorted(set(times))


def test_who_was_looked_at_is_not_asked_again(results):
    corrections = Corrections(results)
    first = int(corrections.least_sure(1)[0])
    corrections.add("confirm", "ada", row=first)
    assert first not in corrections.least_sure(12)


@pytest.mark.parametrize(
    ("what", "error", "words"),
    [
        ({"kind": "delete", "row": 12}, DataError, "no nucleus in row 12"),
        ({"kind": "delete", "row": -1}, DataError, "no nucleus in row -1"),
        ({"kind": "delete"}, DataError, "lacks the nucleus"),
        ({"kind": "reclassify", "row": 0, "class_name": "tumor"}, UnknownNameError, "did you mean 'tumour'"),
        ({"kind": "draw", "polygon_px": TRIANGLE[:2]}, DataError, "2 points"),
        ({"kind": "undo", "undoes": "nothing"}, DataError, "no edit 'nothing'"),
    ],
)
def test_what_makes_no_sense_is_refused_and_not_written(results, what, error, words):
    with pytest.raises(error, match=words):
        Corrections(results).add(author="ada", **what)
    assert not results.with_name("edits").exists()


def test_further_classes_may_be_named(results):
    assert Corrections(results, ("mitosis",)).add("reclassify", "ada", row=0, class_name="mitosis")


@pytest.fixture
def nuclei():
    labels = np.zeros((40, 60), np.int32)
    labels[5:15, 5:15], labels[20:30, 30:42] = 1, 3
    return Nuclei.from_labels(labels, mpp=0.5, classes=[0, 1, 0, 2])


def test_nuclei_of_an_image_are_corrected_in_its_geojson(tmp_path, nuclei):
    path = tmp_path / "a.geojson"
    hs.export.write_geojson(path, nuclei, classes=("stroma", "tumour"), name="a")
    corrections = Corrections(path)
    assert corrections.found.classes == ("stroma", "tumour")
    corrections.add("reclassify", "ada", row=1, class_name="stroma")
    assert corrections.applied().table["class"].to_pylist() == ["stroma", "stroma"]
    assert (tmp_path / "a.edits").is_dir()
    # Found anew at another place: the edit is told, not applied.
    moved = Nuclei.from_labels(np.roll(nuclei.instances, 5, axis=1), mpp=0.5, classes=[0, 1, 0, 2])
    hs.export.write_geojson(path, moved, classes=("stroma", "tumour"), name="a")
    assert len(Corrections(path).applied().unmatched) == 1


def test_nuclei_of_a_label_map_are_corrected(tmp_path, nuclei):
    path = tmp_path / "a_labels.png"
    write_labels(path, nuclei.instances)
    corrections = Corrections(path)
    assert corrections.found.table["id"].to_pylist() == ["1", "2", "3"]
    corrections.add("delete", "ada", row=2)
    assert corrections.applied().table["id"].to_pylist() == ["1", "2"]
    assert corrections.add("confirm", "ada", row=0).class_name == ""


def test_files_that_are_no_results_are_refused(tmp_path, results):
    with pytest.raises(DatasetNotFoundError):
        read_cells(tmp_path / "none.parquet")
    for name, text in (("a.geojson", "{"), ("b.geojson", '{"features": [5]}'), ("c.parquet", "no")):
        (tmp_path / name).write_text(text)
        with pytest.raises(CorruptDataError):
            read_cells(tmp_path / name)
    import pyarrow.parquet as pq

    pq.write_table(pq.read_table(results).drop_columns(["geometry"]), tmp_path / "d.parquet")
    with pytest.raises(FormatVersionError, match="lacks geometry"):
        read_cells(tmp_path / "d.parquet")


def test_a_table_without_a_nucleus_can_be_drawn_on(tmp_path, write_cells):
    corrections = Corrections(write_cells(tmp_path / "cells.parquet", 0))
    corrections.add("draw", "ada", polygon_px=TRIANGLE, class_name="stroma")
    assert len(corrections.applied()) == 1
    assert len(corrections.least_sure(5)) == 0


def test_several_are_written_together_and_one_that_is_refused_stops_none(results):
    corrections = Corrections(results, outlines=False)
    wanted = [
        Wanted("draw", polygon_px=TRIANGLE, id="d1"),
        Wanted("reclassify", drawn="d1", class_name="tumour"),
        Wanted("delete", row=99),
        Wanted("reclassify", row=0, class_name="tumour"),
        Wanted("confirm", row=0),
        Wanted("undo", undoes="d1"),
        Wanted("confirm", drawn="d1"),
    ]
    answers = corrections.add_all("ada", wanted)
    assert [str(one)[:8] for one in answers if isinstance(one, DataError)] == ["there is", "there is"]
    assert answers[4].class_name == "tumour"
    assert len(corrections.read().edits) == 5
    assert not corrections.state().drawn


def test_an_id_that_is_there_is_not_written_again(results):
    corrections = Corrections(results, outlines=False)
    first = corrections.add_all("ada", [Wanted("delete", row=0, id="a"), Wanted("delete", row=0, id="a")])
    again = corrections.add_all("bob", [Wanted("delete", row=0, id="a")])
    assert first[0] == first[1] == again[0]
    assert len(corrections.read().edits) == 1


def test_without_outlines_the_same_nuclei_are_there(results):
    whole, light = read_cells(results), read_cells(results, outlines=False)
    assert light.digest == whole.digest
    assert "geometry" not in light.table.column_names
    assert light.table["p_tumour"].equals(whole.table["p_tumour"])


def test_some_rows_are_read_with_all_that_is_known(results):
    few = read_rows(results, [2, 5, 400])
    assert few.table["id"].to_pylist() == read_cells(results).table["id"].take([2, 5]).to_pylist()
    assert "geometry" in few.table.column_names
