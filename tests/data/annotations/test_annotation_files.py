"""Annotation files: GeoJSON of QuPath in its shapes, XML of ImageScope and ASAP, and what is none of them."""

import gzip
import json
import zipfile
from collections import Counter
from contextlib import suppress

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from histoscope.data.annotations.files import of_slides, pair
from histoscope.data.annotations.qupath import read_qupath
from histoscope.data.annotations.reading import read_annotations
from histoscope.errors import CorruptDataError, DatasetNotFoundError

SQUARE = [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]
FEATURE = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [SQUARE]}, "properties": {}}


def feature(coordinates=(SQUARE,), kind="Polygon", **more):
    nucleus = {"nucleusGeometry": more.pop("nucleusGeometry")} if "nucleusGeometry" in more else {}
    name = {"id": more.pop("id")} if "id" in more else {}
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", **name, "geometry": geometry, **nucleus, "properties": more}


@pytest.fixture
def read(tmp_path):
    """Give a function that writes content to a file and reads it."""

    def read(content, name="a.geojson"):
        path = tmp_path / name
        if not isinstance(content, str | bytes):
            content = json.dumps(content)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        (found,) = read_annotations(path)
        return found

    return read


@pytest.mark.parametrize(
    "root",
    [
        [FEATURE],
        FEATURE,
        {"type": "FeatureCollection", "features": [FEATURE]},
        FEATURE["geometry"],
        [FEATURE["geometry"]],
        {"type": "GeometryCollection", "geometries": [FEATURE["geometry"]]},
        {"type": "MultiPolygon", "coordinates": [[SQUARE]]},
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_shapes_of_geojson(read, root, encoding):
    (one,) = read(json.dumps(root).encode(encoding)).objects
    assert one.polygon.bounds == (0, 0, 4, 4)
    assert one.polygon.area == 16
    assert (one.kind, one.class_name, one.name) == ("annotation", "", "")


def test_packed_files(tmp_path):
    text = json.dumps([FEATURE]).encode()
    (tmp_path / "a.geojson.gz").write_bytes(gzip.compress(text))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("one.geojson", text)
        archive.writestr("__MACOSX/one.geojson", b"\0\0")
        archive.writestr("deep/two.json.gz", gzip.compress(text))
        archive.writestr("notes.txt", "no")
    assert [len(each.objects) for each in read_annotations(tmp_path / "a.geojson.gz")] == [1]
    assert [len(each.objects) for each in read_annotations(tmp_path / "a.zip")] == [1, 1]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"objectType": "detection", "classification": {"name": "Tumor"}}, ("detection", "Tumor")),
        ({"object_type": "cell", "classification": {"names": ["Tumor", "Ki67"]}}, ("cell", "Tumor: Ki67")),
        ({"id": "PathDetectionObject", "classification": None}, ("detection", "")),
        ({"id": "PathCellObject", "classification": "stroma"}, ("cell", "stroma")),
        ({"type": "Annotation", "name": "x"}, ("annotation", "")),
        ({"type": "Lymphocyte"}, ("annotation", "Lymphocyte")),
    ],
)
def test_kinds_and_classes(read, more, expected):
    (one,) = read(feature(**more)).objects
    assert (one.kind, one.class_name) == expected


def test_what_is_no_nucleus_is_counted(read):
    found = read(
        [
            feature(objectType="tile"),
            feature(objectType="root"),
            feature(objectType="tmaCore"),
            feature([1, 2], "Point"),
            feature([[1, 2], [3, 4]], "MultiPoint"),
            feature([[1, 2], [3, 4]], "LineString"),
            feature([[[1, 2], [3, 4], [1, 2]]]),
            feature([[[1, 2], [3, 4], [5, 6], [1, 2]]]),
            feature([]),
            {"type": "Feature", "geometry": None, "properties": None},
        ]
    )
    assert not found.objects
    assert found.left_out == Counter(
        {
            "tile of QuPath": 1,
            "root of QuPath's hierarchy": 1,
            "core of a tissue microarray": 1,
            "point (a nucleus needs an outline)": 3,
            "line (no area)": 1,
            "outline without an area": 3,
            "object without a geometry": 1,
        }
    )


def test_cells_give_the_outline_of_their_nucleus(read):
    nucleus = {"type": "Polygon", "coordinates": [[[1, 1], [2, 1], [2, 2], [1, 1]]]}
    found = read([feature(objectType="cell", nucleusGeometry=nucleus), feature(objectType="cell")])
    assert [one.polygon.area for one in found.objects] == [0.5, 16]
    assert found.notes == {"cell without a nucleus outline: its own outline is used": 1}


def test_children_holes_and_pieces(read):
    hole = [[1, 1], [2, 1], [2, 2], [1, 2], [1, 1]]
    far = [[9, 9], [10, 9], [10, 10], [9, 9]]
    child = feature([[SQUARE, hole], [far]], "MultiPolygon")
    found = read([feature(name="outer", childObjects=[child, {**FEATURE, "childObjects": [child]}])])
    assert [one.polygon.area for one in found.objects] == [16, 15.5, 16, 15.5]
    assert found.objects[0].name == "outer"


def test_crossing_outlines_are_repaired(read):
    bow = [[0, 0], [4, 4], [4, 0], [0, 4], [0, 0]]
    found = read([feature([bow]), FEATURE])
    assert found.objects[0].polygon.is_valid
    assert found.objects[0].polygon.area == 8
    assert found.notes == {"outline that crosses itself was repaired": 1}


def test_our_offset_is_known(read):
    found = read({"type": "FeatureCollection", "metadata": {"offset_px": [7, 9.5]}, "features": [FEATURE]})
    assert (found.offset_px, found.origin) == ((7, 9.5), "qupath")
    assert read([FEATURE]).offset_px is None


@pytest.mark.parametrize("value", ["NaN", "Infinity", "null", '"a"', "1e300"])
def test_coordinates_that_are_no_numbers(read, value):
    text = json.dumps([FEATURE, feature([[[0, 0], [5, -77], [5, 5]]])]).replace("-77", value)
    with pytest.raises(CorruptDataError, match="object 2 has a coordinate that is not a finite number"):
        read(text)


def test_measurements_may_be_no_numbers(read):
    assert len(read(json.dumps(feature(measurements={"a": 5.5})).replace("5.5", "NaN")).objects) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"{", "is not JSON"),
        (b"[" * 20000, "is not JSON"),
        (b"12", "neither JSON nor XML"),
        (b"\x89PNG", "neither JSON nor XML"),
        (b"\xac\xed\0\5", "qpdata"),
        (b"{}", "holds an object with nothing, expected GeoJSON"),
        (b'{"version": 1, "item": 2}', "an object with version, item"),
        (b"[3]", "holds a int"),
        (b'{"type": "FeatureCollection"}', "without an array of features"),
        (b'{"type": "Feature", "geometry": {"type": "Circle"}}', "'Circle'"),
        (b"<Annotations>", "broken XML"),
        (b"<svg/>", "XML with root <svg>"),
        (b'<Annotations><Annotation><Region><V X="1" Y="2"/></Region></Annotation></Annotations>', "HALO"),
        (b"\x1f\x8b\x08\0", "cannot be unpacked"),
        (gzip.compress(b"[]" * 99)[:-9], "cannot be unpacked"),
        (b"PK\3\4", "cannot be unpacked"),
    ],
)
def test_what_is_no_annotation_file_is_told(read, content, words):
    with pytest.raises(CorruptDataError, match=words):
        read(content)


def places(value, place=()):
    """Give the place of each value in nested lists and dictionaries."""
    yield place
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*place, key))


ODD = [None, 5, "x", True, [], {}, [[]], [None], [[1]], float("nan"), {"type": "Polygon"}]


@given(st.data())
@examples(max_examples=300)
def test_files_that_are_wrong_somewhere_are_read_or_told(drawn):
    cell = feature([[SQUARE], [SQUARE]], "MultiPolygon", objectType="cell", classification={"names": ["a"]})
    cell["properties"]["childObjects"] = [feature([[1, 2]], "MultiPoint")]
    both = {"type": "GeometryCollection", "geometries": [FEATURE["geometry"], {"type": "Point"}]}
    features = [cell, {"type": "Feature", "geometry": both, "nucleusGeometry": FEATURE["geometry"]}]
    root = {"type": "FeatureCollection", "metadata": {"offset_px": [1, 2]}, "features": features}
    text = json.dumps(root)
    for _ in range(drawn.draw(st.integers(1, 3))):
        root = json.loads(text)
        *way, last = drawn.draw(st.sampled_from([place for place in places(root) if place]))
        inner = root
        for key in way:
            inner = inner[key]
        inner[last] = drawn.draw(st.sampled_from(ODD))
        text = json.dumps(root)
    with suppress(CorruptDataError):
        read_qupath(text.encode(), "a.geojson")


def test_archive_without_annotations(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("notes.txt", "no")
    with pytest.raises(CorruptDataError, match="holds no annotation file"):
        read_annotations(tmp_path / "a.zip")
    with pytest.raises(DatasetNotFoundError, match="no annotation file at"):
        read_annotations(tmp_path / "b.geojson")


def vertices(points):
    return "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in points)


def region(points, **more):
    words = " ".join(f'{key}="{value}"' for key, value in more.items())
    return f"<Region {words}><Vertices>{vertices(points)}</Vertices></Region>"


def imagescope(*layers):
    return f"<Annotations MicronsPerPixel='0.5'>{''.join(layers)}</Annotations>"


def test_imagescope(read):
    square = [(0, 0), (4, 0), (4, 4), (0, 4)]
    inner = [(1, 1), (2, 1), (2, 2), (1, 2)]
    found = read(
        imagescope(
            f'<Annotation Name="tumour">{region(square)}{region(inner, NegativeROA="1")}</Annotation>',
            f'<Annotation Name=""><Attributes><Attribute Name="Epithelial" Value=""/></Attributes>'
            f"{region(square)}</Annotation>",
            f'<Annotation><Attributes><Attribute Name="Description" Value="stroma"/></Attributes>'
            f"{region(square, Type='1')}</Annotation>",
            f"<Annotation>{region([(0, 0), (8, 4)], Type='2', Text='ROI 1')}</Annotation>",
            f"<Annotation>{region([(0, 0), (8, 4)], Type='1')}</Annotation>",
            f"<Annotation>{region([(0, 0), (8, 4)], Type='4')}{region([(0, 0)])}</Annotation>",
        ),
        "a.xml",
    )
    assert [one.class_name for one in found.objects] == ["tumour", "Epithelial", "stroma", "ROI 1", ""]
    assert found.objects[0].polygon.bounds == pytest.approx((0.5, 0.5, 4.5, 4.5), abs=1e-3)
    assert found.objects[0].polygon.area == pytest.approx(15, abs=0.01)
    centres = shapely.points([(4.5, 4.5), (4.6, 4.5)])
    assert found.objects[0].polygon.contains(centres).tolist() == [True, False]
    assert found.objects[3].polygon.area == pytest.approx(np.pi * 4 * 2, rel=0.01)
    assert found.objects[4].polygon.area == pytest.approx(32, abs=0.01)
    assert found.origin == "slide"
    assert found.left_out == {"line (no area)": 1, "outline without an area": 1}
    with pytest.raises(CorruptDataError, match="not a pair of numbers"):
        read(imagescope("<Annotation><Region><Vertex X='a' Y='1'/></Region></Annotation>"))


def test_asap(read):
    def one(kind, group, points):
        places = "".join(
            f'<Coordinate Order="{k}" X="{x}" Y="{y}"/>' for k, (x, y) in reversed(list(enumerate(points)))
        )
        return (
            f'<Annotation Name="A" Type="{kind}" PartOfGroup="{group}"><Coordinates>{places}</Coordinates>'
            "</Annotation>"
        )

    square = [(0, 0), (4, 0), (4, 4), (0, 4)]
    body = [
        one("Polygon", "tumour", square),
        one("Spline", "None", square),
        one("Dot", "None", [(1, 1)]),
        one("PointSet", "None", [(1, 1)]),
        one("Measurement", "None", [(1, 1)]),
    ]
    head, end = "<ASAP_Annotations><Annotations>", "</Annotations></ASAP_Annotations>"
    found = read(head + "".join(body) + end)
    assert [(each.class_name, each.polygon.area) for each in found.objects] == [("tumour", 16), ("", 16)]
    assert found.left_out == {"point (a nucleus needs an outline)": 2, "line (no area)": 1}
    assert found.notes == {"spline was read as the polygon of its points": 1}
    with pytest.raises(CorruptDataError, match="not a pair of numbers"):
        read(head + one("Polygon", "None", [("x", 0)]) + end)


def test_images_and_annotations_are_paired_by_name(tmp_path):
    images, notes = tmp_path / "images", tmp_path / "notes"
    for folder in (images / "d.mrxs.data", images / "e", notes / "e", notes / "empty"):
        folder.mkdir(parents=True)
    for name in ("a.svs", "b.SVS", "c.tif", "lone.svs", ".hidden", "e/1.dcm"):
        (images / name).touch()
    for name in (
        "a.geojson",
        "B.svs.geojson.gz",
        "c.0001.geojson.gz",
        "c.0002.geojson.gz",
        "z.xml",
        "no.txt",
    ):
        (notes / name).touch()
    (notes / "e" / "cells.0001.geojson.gz").touch()
    found = pair(images, notes)
    assert [(image.name, [path.name for path in paths]) for image, paths in found.found] == [
        ("a.svs", ["a.geojson"]),
        ("b.SVS", ["B.svs.geojson.gz"]),
        ("c.tif", ["c.0001.geojson.gz", "c.0002.geojson.gz"]),
        ("e", ["cells.0001.geojson.gz"]),
    ]
    assert [path.name for path in found.lone_images] == ["lone.svs"]
    assert [path.name for path in found.lone_annotations] == ["z.xml"]


def test_one_image(tmp_path):
    (tmp_path / "a.svs").touch()
    notes = tmp_path / "notes"
    notes.mkdir()
    with pytest.raises(DatasetNotFoundError, match="none of 1 image"):
        pair(tmp_path / "a.svs", notes)
    for name in ("a.json", "b.json"):
        (notes / name).touch()
    assert pair(tmp_path / "a.svs", notes).found == [(tmp_path / "a.svs", [notes / "a.json"])]
    assert pair(tmp_path / "a.svs", notes / "b.json").found == [(tmp_path / "a.svs", [notes / "b.json"])]
    assert not pair(tmp_path / "a.svs", notes).lone_annotations
    (notes / "cells.0001.geojson.gz").touch()  # what predict wrote of one slide
    assert pair(tmp_path / "a.svs", notes).found[0][1] == [notes / "cells.0001.geojson.gz"]
    for image, note in ((tmp_path / "no.svs", notes), (tmp_path / "a.svs", tmp_path / "no.json")):
        with pytest.raises(DatasetNotFoundError, match=r"no (image|annotation file) at"):
            pair(image, note)
    with pytest.raises(DatasetNotFoundError, match="give the folder of their annotation files"):
        pair(tmp_path, notes / "b.json")


def test_a_folder_is_listed_once_for_all_slides_and_gives_each_what_it_has_alone(tmp_path, monkeypatch):
    marks, slides = tmp_path / "marks", [tmp_path / f"{k}.svs" for k in range(30)]
    marks.mkdir()
    for slide in slides:
        slide.write_bytes(b"")
        (marks / f"{slide.stem}{'.xml' if slide.stem > '2' else '.svs.geojson'}").write_bytes(b"")
    nothing = tmp_path / "nothing.svs"
    alone = {slide: pair(slide, marks).found[0][1] for slide in slides}
    listed, iterdir = [], type(marks).iterdir
    monkeypatch.setattr(type(marks), "iterdir", lambda self: listed.append(self) or iterdir(self))
    assert of_slides([*slides, nothing], marks) == alone
    assert listed == [marks]


def test_one_file_or_the_parts_of_predict_belong_to_all_slides(tmp_path):
    slides = [tmp_path / "a.svs", tmp_path / "b.svs"]
    part = tmp_path / "cells.0000.geojson.gz"
    part.write_bytes(b"")
    assert of_slides(slides, part) == of_slides(slides, tmp_path) == {each: [part] for each in slides}
    assert of_slides(slides, tmp_path / "gone") == {}
