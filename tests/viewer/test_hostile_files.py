"""Files that are damaged, made up, or lead elsewhere: each is told about, none is a fault of the server."""

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

import asyncio
import json
import shutil
import zlib

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from histoscope.jobs.naming import JOURNAL
from histoscope.viewer.library import Library
from histoscope.viewer.server import create_app

FILES = ("slide.tif", "out/slide/cells.parquet", "out/slide/tissue.geojson", "images/field.geojson")
PLACES = ("0/0/0", "1/0/0", "16/0/0", "0/7/7", "16/65535/65535")


def answers(folder):
    """What is answered to all that a page may ask of a folder."""

    async def ask():
        transport = httpx.ASGITransport(create_app(Library([folder]).search()))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            items = (await client.get("/api/library")).json()["items"]
            slides = [f"/api/slides/{item['id']}" for item in items]
            found = [f"/api/results/{one['id']}" for item in items for one in item["results"]]
            addresses = [
                *slides,
                *[
                    f"{one}/{what}"
                    for one in slides
                    for what in ("thumbnail", "tissue", "tiles/0/0/0", "tiles/1/1/0")
                ],
                *found,
                *[f"{one}/{what}/{at}" for one in found for what in ("outlines", "density") for at in PLACES],
                *[f"{one}/rows/{row}" for one in found for row in (0, 7, 299, 4_000_000_000)],
            ]
            return {address: await client.get(address) for address in addresses}

    return asyncio.run(ask())


def assert_no_fault(folder):
    found = answers(folder)
    faults = {address: one.text for address, one in found.items() if one.status_code not in {200, 404, 422}}
    assert faults == {}
    return found


@pytest.fixture
def copy(shown, tmp_path):
    shutil.copytree(shown, tmp_path / "copy")
    (tmp_path / "copy" / "broken.svs").unlink()
    return tmp_path / "copy"


def test_what_is_whole_is_answered(copy):
    assert {answer.status_code for answer in answers(copy).values()} == {200, 404}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", FILES)
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_file_is_told_about(copy, name, seed):
    rng, path = np.random.default_rng(seed), copy / name
    damaged = bytearray(path.read_bytes())
    for at in rng.integers(0, len(damaged), 1 + seed * seed):
        damaged[at] = rng.integers(0, 256)
    path.write_bytes(damaged[: len(damaged) if seed % 3 else rng.integers(1, len(damaged))])
    assert_no_fault(copy)


def changed(path, **columns):
    """Write a table anew with other columns."""
    table = pq.read_table(path)
    for name, column in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(column))
    pq.write_table(table, path)


ODD = {
    "numbers for shapes": {"geometry": np.arange(300)},
    "words for shapes": {"geometry": ["POINT (1 2)"] * 300},
    "no shapes": {"geometry": pa.array([None] * 300, pa.binary())},
    "bytes for shapes": {"geometry": [b"\x01\x03\x00\x00\x00\xff\xff\xff\xff"] * 300},
    "words for places": {"x_px": ["here"] * 300},
    "places that are no numbers": {"x_px": np.full(300, np.nan), "y_px": np.full(300, np.inf)},
    "places far away": {"x_px": np.full(300, 1e300), "y_px": np.full(300, -1e18)},
    "no places": {"x_px": pa.array([None] * 300, pa.float64())},
    "classes below zero": {"class_id": np.full(300, -3)},
    "a thousand classes": {"class_id": np.arange(300) + 1000},
    "words for classes": {"class_id": ["a"] * 300},
    "no classes": {"class_id": pa.array([None] * 300, pa.uint8())},
    "probabilities beyond": {"probability": np.linspace(-1e9, 1e9, 300)},
    "words for probabilities": {"probability": ["sure"] * 300},
    "lists for probabilities": {"probability": [[0.5]] * 300},
}


@pytest.mark.parametrize("what", ODD)
def test_a_table_of_other_things_is_told_about(copy, what):
    changed(copy / "out" / "slide" / "cells.parquet", **ODD[what])
    assert_no_fault(copy)


ABOUT = [
    *["", "[]", "null", "7", "{", "\xff", '{"classes": 3}', '{"classes": {"a": 1}}', "[" * 20_000],
    *['{"mpp": "wide"}', '{"mpp": [0]}', '{"mpp": []}', '{"mpp": -1}', '{"mpp": [NaN, NaN]}'],
    *['{"classes": ["a"], "size_px": "big"}', '{"slide": ["a"], "slide_hash": 5, "size_px": [1e400, -5]}'],
]


@pytest.mark.parametrize("about", ABOUT, ids=range(len(ABOUT)))
def test_a_table_that_says_other_things_of_itself_is_told_about(copy, about):
    path = copy / "out" / "slide" / "cells.parquet"
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({b"histoscope": about.encode("latin-1")}), path)
    assert_no_fault(copy)


def shape(coordinates, kind="Polygon", **properties):
    geometry = {"type": kind, "coordinates": coordinates}
    return json.dumps({"features": [{"geometry": geometry, "properties": properties}]})


RING = [[0, 0], [9, 9], [0, 9], [0, 0]]
ODD_RINGS = [[], [[]], [[[1]]], [[["a", "b"], [1, 2], [3, 1], ["a", "b"]]], [[[1e999, 0], *RING]]]
JSON = [
    *["", "[]", "{}", "null", '"x"', "7", "[" * 50_000],
    *['{"features": 7}', '{"features": [7]}', '{"features": [{}]}', '{"features": [null]}'],
    '{"features": [{"geometry": null, "properties": null}]}',
    '{"features": [{"geometry": {}, "properties": {}}]}',
    *[shape(one) for one in ODD_RINGS],
    *[shape([1, 2], "Point"), shape([], "GeometryCollection"), shape([RING], "Circle"), shape([RING], 5)],
    *[shape([RING], classification=one) for one in ("a", ["a"], {"name": ["a"]}, {"name": None})],
    *[shape([RING], measurements=one) for one in ([1], "x", {"probability": "x"}, {"probability": [1]})],
    '{"features": [{"geometry": {"type": "Polygon", "coordinates": ' + "[" * 3000 + "]" * 3000 + "}}]}",
    '{"metadata": 5, "features": []}',
    '{"metadata": {"offset_px": [1]}, "features": []}',
]


@pytest.mark.parametrize("text", JSON, ids=range(len(JSON)))
@pytest.mark.parametrize("name", ["out/slide/tissue.geojson", "images/field.geojson"])
@pytest.mark.filterwarnings("ignore")
def test_json_of_other_things_is_told_about(copy, name, text):
    (copy / name).write_text(text, encoding="utf-8")
    assert_no_fault(copy)


def begin_journal(folder, *lines):
    """A journal as `histoscope predict` leaves it, with lines that it does not write."""
    head = {"format": 1, "settings": {}}
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in (head, *lines))
    (folder / JOURNAL).write_text(text + "\n", encoding="utf-8")


LINES = [
    *["[]", "7", "{", '{"files": 5}', {"name": "field"}, {"name": 7, "image": ["a\0b", "x"]}],
    *[{"name": "field", "image": one} for one in (5, [], [None, 1], [[], []])],
    {"name": ["a"], "image": ["a", "x"]},
]


@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
def test_a_journal_of_other_things_is_told_about(copy, line):
    begin_journal(copy / "images", line)
    found = Library([copy]).search()
    assert "slide.tif" in {item.name for item in found.items.values()}
    assert_no_fault(copy)


@pytest.fixture
def outside(copy, shown, tmp_path):
    """Files beside the folder, which nobody was given."""
    place = tmp_path / "outside"
    shutil.copytree(shown, place)
    return place


def test_links_and_names_that_lead_out_are_not_followed(copy, outside):
    secret = outside / "images" / "field.geojson"
    image = copy / "images" / "field.png"
    (copy / "images" / "field.geojson").unlink()
    (copy / "images" / "field.geojson").symlink_to(secret)
    (copy / "linked.tif").symlink_to(outside / "slide.tif")
    (copy / "linked").symlink_to(outside)
    tissue = copy / "out" / "slide" / "tissue.geojson"
    tissue.unlink()
    tissue.symlink_to(outside / "out" / "slide" / "tissue.geojson")
    begin_journal(copy / "images", {"name": "../../outside/images/field", "image": [str(image), "x"]})
    library = Library([copy]).search()
    names = {item.name: item for item in library.items.values()}
    assert set(names) == {"slide.tif", "field.png"}
    assert names["field.png"].results == []
    assert names["slide.tif"].tissue is None
    assert {path for path, why in library.left_out if "points outside" in why} == {
        "images/field.geojson", "linked.tif", "out/slide/tissue.geojson",
    }  # fmt: skip


def test_what_becomes_a_link_later_is_not_followed(copy, outside):
    """The folder was looked at when these were files of their own."""
    library = Library([copy]).search()
    app = create_app(library)
    for name in FILES:
        (copy / name).unlink()
        (copy / name).symlink_to(outside / name)

    async def ask():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            addresses = []
            for item in library.items.values():
                addresses += [f"/api/results/{one.id}" for one in item.results]
                if item.name == "slide.tif":
                    addresses += [f"/api/slides/{item.id}{what}" for what in ("", "/tissue", "/tiles/0/0/0")]
            return [await client.get(address) for address in addresses]

    found = asyncio.run(ask())
    assert len(found) == 5
    assert {answer.status_code for answer in found} == {404}
    assert all("outside the folder" in answer.json()["detail"] for answer in found)


def test_an_image_that_would_fill_the_memory_is_refused(copy):
    side = (200_000).to_bytes(4, "big")
    head = b"IHDR" + side + side + bytes([8, 2, 0, 0, 0])
    data = b"IDAT" + zlib.compress(bytes(10_000))

    def chunk(said):
        return (len(said) - 4).to_bytes(4, "big") + said + zlib.crc32(said).to_bytes(4, "big")

    for name in ("images/field.png", "images/field_labels.png"):
        (copy / name).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(head) + chunk(data))
    (copy / "images" / "field.geojson").unlink()
    found = assert_no_fault(copy)
    assert 422 in {answer.status_code for answer in found.values()}
