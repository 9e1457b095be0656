"""Corrections through the server: what one says all see, nothing is written twice, and refusals say why."""

import asyncio
import errno
import io
import json

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

import httpx
from PIL import Image as Pillow

from histoscope.edits import Corrections
from histoscope.viewer.library import Library
from histoscope.viewer.notebook import outline_of
from histoscope.viewer.server import create_app

NAME = "epithelial"


class Person:
    """Somebody at a page of a folder."""

    def __init__(self, folder, author="ada"):
        self.app = create_app(Library([folder]).search(), author=author)
        items = {item["name"]: item for item in self.get("/api/library").json()["items"]}
        self.items = items
        self.results = next(one["id"] for item in items.values() for one in item["results"])
        self.number = 0
        self.author = author

    def get(self, address, method="GET", **more):
        async def ask():
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.request(method, address, **more)

        return asyncio.run(ask())

    def state(self):
        answer = self.get(f"/api/results/{self.results}/edits")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def send(self, *edits, digest=None):
        body = {"digest": digest or self.state()["digest"], "edits": list(edits)}
        return self.get(f"/api/results/{self.results}/edits", "POST", json=body)

    def say(self, kind, **what):
        """Make an edit; give its id and what became of it."""
        self.number += 1
        name = what.pop("id", f"{ord(self.author[0]):08x}{self.number:08x}")
        answer = self.send({"id": name, "kind": kind, **what})
        assert answer.status_code == 200, answer.text
        return name, answer.json()["answers"][0]["problem"]


@pytest.fixture
def folder(tmp_path, cells):
    cells(tmp_path / "out" / "slide", n=40)
    return tmp_path


@pytest.fixture
def ada(folder):
    return Person(folder)


def box_at(x, y, half=5):
    return [(x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half)]


def test_what_is_corrected_is_in_the_next_answer_and_in_the_file(ada, folder):
    before = ada.state()
    assert (before["author"], before["found"], before["read_only"]) == ("ada", [], "")
    ada.say("reclassify", row=0, class_name="inflammatory")
    ada.say("delete", row=1)
    found = {one["row"]: one for one in ada.state()["found"]}
    assert (found[0]["was"], found[0]["class_id"], found[0]["author"]) == (1, 2, "ada")
    assert found[1]["kind"] == "delete"
    table = Corrections(folder / "out" / "slide" / "cells.parquet").found.table
    assert found[1]["x"] == pytest.approx(table["x_px"][1].as_py(), abs=1e-3)
    applied = Corrections(folder / "out" / "slide" / "cells.parquet").applied()
    assert len(applied) == 39
    assert applied.table["class"][0].as_py() == "inflammatory"


def test_an_answer_that_was_lost_is_asked_for_again_and_nothing_is_there_twice(ada):
    name, _ = ada.say("delete", row=3)
    assert ada.say("delete", row=3, id=name) == (name, "")
    assert ada.state()["n_edits"] == 1


def test_the_same_edit_sent_many_times_at_once_is_one(ada):
    edit = {"id": "0123456789abcdef", "kind": "delete", "row": 2}
    body = {"digest": ada.state()["digest"], "edits": [edit]}

    async def all_at_once():
        transport = httpx.ASGITransport(ada.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            address = f"/api/results/{ada.results}/edits"
            return await asyncio.gather(*[client.post(address, json=body) for _ in range(8)])

    assert {answer.status_code for answer in asyncio.run(all_at_once())} == {200}
    assert ada.state()["n_edits"] == 1


def test_one_that_is_refused_does_not_stop_the_others(ada):
    edits = [
        {"id": "00000000000000a1", "kind": "delete", "row": 400},
        {"id": "00000000000000a2", "kind": "reclassify", "row": 1, "class_name": "stroma"},
        {"id": "00000000000000a3", "kind": "draw", "polygon_px": box_at(60, 60)},
        {
            "id": "00000000000000a4",
            "kind": "reclassify",
            "drawn": "00000000000000a3",
            "class_name": "epithelial",
        },
        {"id": "00000000000000a5", "kind": "draw", "polygon_px": box_at(9000, 60)},
        {"id": "00000000000000a6", "kind": "undo", "undoes": "gone"},
    ]
    answer = ada.send(*edits).json()
    problems = [one["problem"] for one in answer["answers"]]
    assert "no nucleus in row 400" in problems[0]
    assert "epithelial" in problems[1]
    assert problems[2] == problems[3] == ""
    assert "outside the slide" in problems[4]
    assert "no edit 'gone'" in problems[5]
    (drawn,) = answer["state"]["drawn"]
    assert (drawn["class_name"], drawn["class_id"]) == ("epithelial", 1)


def test_what_is_drawn_over_a_nucleus_takes_its_place(ada, folder):
    table = Corrections(folder / "out" / "slide" / "cells.parquet").found.table
    x, y = table["x_px"][7].as_py(), table["y_px"][7].as_py()
    ada.say("draw", polygon_px=box_at(x, y, 6), class_name="inflammatory")
    taken = [one["row"] for one in ada.state()["covered"]]
    assert 7 in taken
    applied = Corrections(folder / "out" / "slide" / "cells.parquet").applied()
    assert applied.replaced == len(taken)


def test_undone_and_done_again(ada):
    name, _ = ada.say("delete", row=5)
    undo, _ = ada.say("undo", undoes=name)
    assert ada.state()["found"] == []
    ada.say("undo", undoes=undo)
    assert [one["row"] for one in ada.state()["found"]] == [5]
    assert [one["kind"] for one in ada.state()["last"]] == ["delete"]


def test_two_people_at_one_nucleus_are_both_kept_and_told(ada, folder):
    bob = Person(folder, "bob")
    ada.say("delete", row=5)
    bob.say("reclassify", row=5, class_name="epithelial")
    for one in (ada, bob):
        state = one.state()
        (conflict,) = state["conflicts"]
        assert conflict["row"] == 5
        assert [said["author"] for said in conflict["said"]] == ["ada", "bob"]
        assert state["found"][0]["kind"] == "reclassify"
        assert state["n_edits"] == 2


def test_a_region_counts_with_the_nuclei_that_were_shown(ada, folder):
    ada.say("confirm", polygon_px=box_at(200, 200, 80))
    assert len(ada.state()["regions"]) == 1
    assert len(Corrections(folder / "out" / "slide" / "cells.parquet").applied().regions) == 1


def test_nuclei_of_an_image_are_corrected_beside_it(shown, tmp_path):
    import shutil

    shutil.copytree(shown / "images", tmp_path / "images")
    ada = Person(tmp_path)
    ada.say("delete", row=0)
    assert [one["row"] for one in ada.state()["found"]] == [0]
    assert (tmp_path / "images" / "field.edits").is_dir()
    least = ada.get(f"/api/results/{ada.results}/least-sure?n=3").json()
    rows = {one["row"] for one in least["nuclei"]}
    assert len(rows) == 3
    assert 0 not in rows


def test_corrections_of_other_nuclei_than_shown_are_refused(ada):
    answer = ada.send({"id": "0" * 16, "kind": "delete", "row": 1}, digest="other")
    assert answer.status_code == 409
    assert "reload" in answer.json()["detail"]


def test_tiles_are_not_corrected(folder):
    table = folder / "out" / "slide" / "cells.parquet"
    table.rename(table.with_name("tiles.parquet"))
    answer = Person(folder).get(f"/api/results/{Person(folder).results}/edits")
    assert answer.status_code == 404
    assert "tiles: only nuclei" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("number", "status"), [(errno.ENOSPC, 507), (errno.EROFS, 403), (errno.EACCES, 403), (errno.EIO, 507)]
)
def test_a_disk_that_takes_nothing_says_so_and_later_takes_it(ada, monkeypatch, number, status):
    def refuse(*_):
        raise OSError(number, "no more")

    with monkeypatch.context() as patched:
        patched.setattr("histoscope.edits.corrections.write", refuse)
        answer = ada.send({"id": "0" * 16, "kind": "delete", "row": 1})
        assert answer.status_code == status
        assert "cannot be kept" in answer.json()["detail"]
    assert ada.state()["n_edits"] == 0
    assert ada.send({"id": "0" * 16, "kind": "delete", "row": 1}).status_code == 200


def test_a_folder_that_is_read_only_is_told_before_and_after(ada, monkeypatch):
    from histoscope.errors import ConfigError

    def refuse(_):
        raise ConfigError("cannot write to out: it is read-only; choose another place")

    for module in ("notebook", "correcting"):
        monkeypatch.setattr(f"histoscope.viewer.{module}.require_writable", refuse)
    assert "read-only" in ada.state()["read_only"]
    answer = ada.send({"id": "0" * 16, "kind": "delete", "row": 1})
    assert answer.status_code == 403
    assert "read-only" in answer.json()["detail"]


def test_a_torn_line_is_a_note_and_a_newer_one_is_refused(ada, folder):
    ada.say("delete", row=1)
    (journal,) = (folder / "out" / "slide" / "edits").glob("*.jsonl")
    with journal.open("a", encoding="utf-8") as file:
        file.write('{"format": 1, "kind": "del')
    assert any("cut short" in note for note in ada.state()["notes"])
    ada.say("delete", row=2)
    assert [one["row"] for one in ada.state()["found"]] == [1, 2]
    with journal.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"format": 2}) + "\n")
    answer = ada.get(f"/api/results/{ada.results}/edits")
    assert answer.status_code == 422
    assert "version" in answer.json()["detail"]
    assert ada.send({"id": "1" * 16, "kind": "delete", "row": 1}, digest="x").status_code == 409


def test_classes_that_only_edits_name_are_listed_after_those_of_the_model(ada, folder):
    Corrections(folder / "out" / "slide" / "cells.parquet", ("mitosis",)).add(
        "reclassify", "bob", row=4, class_name="mitosis"
    )
    state = ada.state()
    assert state["classes"] == ["epithelial", "inflammatory", "mitosis"]
    assert state["found"][0]["class_id"] == 3
    assert len(state["colours"]) == 4


def test_least_sure_nuclei_have_an_outline_in_a_square_and_leave_when_looked_at(ada):
    address = f"/api/results/{ada.results}/least-sure"
    first = ada.get(address, params={"n": 5}).json()
    assert (len(first["nuclei"]), first["n"], first["n_looked_at"]) == (5, 40, 0)
    for one in first["nuclei"]:
        left, top, side = one["crop_px"]
        ring = np.array(one["rings"][0])
        assert ((ring >= (left, top)) & (ring <= (left + side, top + side))).all()
        assert one["closest"] == [["epithelial", 0.5], ["inflammatory", 0.5]]
    ada.say("confirm", row=first["nuclei"][0]["row"])
    again = ada.get(address, params={"n": 40}).json()
    assert first["nuclei"][0]["row"] not in [one["row"] for one in again["nuclei"]]
    assert (len(again["nuclei"]), again["n_looked_at"]) == (39, 1)


def test_a_crop_is_a_picture_of_the_slide_and_white_beyond(shown):
    ada = Person(shown)
    slide = ada.items["slide.tif"]["id"]
    inside = np.asarray(Pillow.open(io.BytesIO(ada.get(f"/api/slides/{slide}/crops/100/100/64").content)))
    assert inside.shape == (64, 64, 3)
    assert inside.std() > 5
    beyond = np.asarray(Pillow.open(io.BytesIO(ada.get(f"/api/slides/{slide}/crops/-64/-64/64").content)))
    assert beyond.min() > 250


def test_a_selection_is_exported_as_it_is_after_corrections(ada, folder):
    ada.say("reclassify", row=0, class_name="inflammatory")
    ada.say("delete", row=1)
    name, _ = ada.say("draw", polygon_px=box_at(400, 400), class_name="epithelial")
    answer = ada.get(
        f"/api/results/{ada.results}/geojson", "POST", json={"rows": [0, 1, 2], "drawn": [name, "other"]}
    )
    features = answer.json()["features"]
    assert [one["properties"]["classification"]["name"] for one in features] == [
        "inflammatory",
        "epithelial",
        "epithelial",
    ]
    assert features[2]["id"] == name
    assert features[0]["properties"]["measurements"]["probability"] == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[1]",
        b'{"digest": "", "edits": []}',
        b'{"digest": "x", "edits": [{"id": "0000000000000000", "kind": "smudge"}]}',
        b'{"digest": "x", "edits": [{"id": "zz", "kind": "delete", "row": 1}]}',
        b'{"digest": "x", "edits": [{"id": "0000000000000000", "kind": "draw", "polygon_px": [[NaN, 1]]}]}',
        b'{"digest": "\\ud800", "edits": 1}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_edit_is_refused_in_words(ada, body):
    answer = ada.get(f"/api/results/{ada.results}/edits", "POST", content=body)
    assert answer.status_code == 400
    assert isinstance(answer.json()["detail"], str)


def test_more_than_is_needed_is_not_taken(ada):
    answer = ada.get(f"/api/results/{ada.results}/edits", "POST", content=b" " * 5_000_000)
    assert answer.status_code == 413


def test_pages_of_elsewhere_correct_nothing(ada):
    answer = ada.get(f"/api/results/{ada.results}/edits", "POST", headers={"Origin": "https://example.org"})
    assert answer.status_code == 403


def test_what_has_not_changed_is_not_sent_again(ada):
    address = f"/api/results/{ada.results}/edits"
    tag = ada.get(address).headers["etag"]
    assert ada.get(address, headers={"If-None-Match": tag}).status_code == 304
    ada.say("delete", row=1)
    assert ada.get(address, headers={"If-None-Match": tag}).status_code == 200


def test_hands_cross_the_outline_at_its_end():
    circle = [(np.cos(t) * 10 + 20, np.sin(t) * 10 + 20) for t in np.linspace(0, 6.6, 60)]
    import shapely

    shape = shapely.Polygon(outline_of(circle, (100, 100)))
    assert shape.is_valid
    assert shape.area == pytest.approx(np.pi * 100, rel=0.03)
    from histoscope.errors import DataError

    for bad in ([(0, 0), (10, 10), (10, 0), (0, 10)], [(0, 0), (5, 5), (9, 9)], [(0, 0), (1, 1)]):
        with pytest.raises(DataError, match="draw it again"):
            outline_of(bad, None)
