"""All that there is to see is found, with its results; nothing that lies outside."""

import json
import shutil

import pytest

from histoscope import synth
from histoscope.errors import ConfigError, HistoscopeError
from histoscope.files import write_image
from histoscope.jobs.naming import JOURNAL
from histoscope.viewer.library import Library
from histoscope.viewer.shelf import Shelf


def by_name(library):
    return {item.name: item for item in library.items.values()}


@pytest.fixture
def library(shown):
    return Library([shown]).search()


def test_slides_and_images_are_found_with_their_results(library):
    items = by_name(library)
    assert sorted(items) == ["broken.svs", "field.png", "slide.tif"]
    (found,) = items["slide.tif"].results
    assert (found.label, found.n, found.kind, found.problem) == ("out", 300, "nuclei", "")
    assert items["slide.tif"].tissue is not None
    assert [one.label for one in items["field.png"].results] == ["beside"]
    assert not items["broken.svs"].results


@pytest.mark.parametrize(("mpp", "known"), [(0.3, 0.3), ("wide", None), (-1, None), (None, None)])
def test_images_are_as_large_as_they_were_predicted_at(tmp_path, mpp, known):
    image = tmp_path / "field.png"
    write_image(image, synth.generate((32, 40), mpp=0.5).image)
    lines = {"format": 2, "settings": {}}, {"name": "field", "image": [str(image), "x"], "row": {"mpp": mpp}}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / JOURNAL).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (item,) = Library([tmp_path]).search().items.values()
    assert item.mpp == known


def test_ids_follow_from_places_and_stay(library, shown):
    again = Library([shown]).search()
    assert list(again.items) == list(library.items)
    assert all(len(key) == 12 for key in library.items)


def test_two_folders_may_hold_files_of_the_same_name(library, shown, tmp_path):
    other = shutil.copytree(shown, tmp_path / "another place")
    both = Library([shown, other]).search()
    assert len(both.items) == 2 * len(library.items)
    assert [len(item.results) for item in both.items.values() if item.name == "slide.tif"] == [1, 1]
    assert set(library.items) < set(both.items)  # links to what lies in the first folder stay
    assert {item.folder.split("/")[0] for key, item in both.items.items() if key not in library.items} == {
        other.name
    }


def test_who_reads_while_the_folders_are_looked_at_again_sees_what_was_found(library, monkeypatch):
    n, seen, files = len(library.items), [], Library._files

    def watched(self, folder):
        seen.append(len(library.items))
        return files(self, folder)

    monkeypatch.setattr(Library, "_files", watched)
    before = library.items
    library.search()
    assert seen == [n]
    assert len(before) == n


def test_a_broken_slide_is_one_answer_and_the_others_open(library):
    shelf, items = Shelf(library), by_name(library)
    with pytest.raises(HistoscopeError, match="broken"):
        shelf.pyramid(items["broken.svs"])
    assert shelf.pyramid(items["slide.tif"]).slide.size == (512, 512)


def test_links_that_lead_out_are_not_followed(shown, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "near.tif").symlink_to(inside / "own.tif")
    shutil.copy(shown / "slide.tif", inside / "own.tif")
    (inside / "out.tif").symlink_to(shown / "slide.tif")
    (inside / "folder").symlink_to(shown)
    library = Library([inside]).search()
    assert sorted(by_name(library)) == ["near.tif", "own.tif"]
    assert [path for path, _ in library.left_out] == ["out.tif"]


def test_results_without_their_slide_are_shown_alone(tmp_path, cells):
    cells(tmp_path / "out" / "gone", slide="gone.svs")
    library = Library([tmp_path]).search()
    (item,) = library.items.values()
    assert (item.name, item.path) == ("gone.svs", None)
    with pytest.raises(ConfigError, match="histoscope view RESULTS SLIDES"):
        Shelf(library).pyramid(item)


def planned(out, slide):
    """The plan of a folder of results that names a slide elsewhere."""
    plan = {"format": 1, "settings": {}, "slides": {"slide": {"path": str(slide)}}}
    from histoscope.ledger import agree

    agree(out / ".ledger" / "plan", lambda _: plan)


@pytest.mark.parametrize("beyond", [True, False])
def test_a_slide_elsewhere_is_opened_if_the_results_are_of_it(shown, tmp_path, cells, beyond):
    from histoscope.slides import open_slide

    cells(tmp_path / "out" / "slide")
    planned(tmp_path / "out", shown / "slide.tif")
    library = Library([tmp_path / "out"], beyond=beyond).search()
    (item,) = library.items.values()
    if not beyond:
        assert item.path is None
        return
    with pytest.raises(ConfigError, match="not the slide of these results"):
        Shelf(library).pyramid(item)
    with open_slide(shown / "slide.tif") as slide:
        digest = slide.quick_hash
    rewrite(tmp_path / "out" / "slide" / "cells.parquet", slide_hash=digest)
    library.search()
    (item,) = library.items.values()
    assert Shelf(library).pyramid(item).slide.size == (512, 512)


def rewrite(path, **changes):
    """Change what a table says of itself."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    about = json.loads(table.schema.metadata[b"histoscope"]) | changes
    metadata = {**table.schema.metadata, b"histoscope": json.dumps(about).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), path)


@pytest.mark.parametrize("column", ["geometry", "class_id"])
def test_a_table_of_another_version_is_named_and_not_shown(tmp_path, cells, column):
    import pyarrow.parquet as pq

    cells(tmp_path / "out" / "slide")
    path = tmp_path / "out" / "slide" / "cells.parquet"
    pq.write_table(pq.read_table(path).drop_columns([column]), path)
    (item,) = Library([tmp_path]).search().items.values()
    assert f"written by histoscope 0 and lacks {column}" in item.results[0].problem


def test_a_table_that_is_none_is_named(tmp_path):
    (tmp_path / "cells.parquet").write_bytes(b"PAR1 no table")
    (item,) = Library([tmp_path]).search().items.values()
    assert "damaged" in item.results[0].problem


def test_an_image_of_scores_is_found_by_class_and_name_below_its_root(tmp_path):
    for place in ("data/patches/pink/2_0", "data/patches/blue/2_0", "elsewhere/pink/7", "elsewhere/a__b"):
        write_image(tmp_path / f"{place}.png", synth.generate((32, 32), mpp=0.5).image)
    library = Library([tmp_path]).search()
    found = library.image("pink__2_0", "data/patches")
    assert found.path == tmp_path / "data" / "patches" / "pink" / "2_0.png"
    assert library.image("2_0", "data/patches") is None  # two are called so
    assert library.image("pink__7", "data/patches") is None  # of other data
    assert library.image("b", "elsewhere") is None
    assert library.image("a__b", "elsewhere").path.stem == "a__b"
