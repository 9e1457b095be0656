"""MoNuSeg as distributed: layouts, polygons against an independent test of insideness, broken annotations."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline

from histoscope import data
from histoscope.data.readers.aperio import rasterise, read_aperio
from histoscope.errors import CorruptDataError, DataError, DatasetNotFoundError

Write = Callable[[Path, list[list[tuple[float, float]]]], None]


def _circle(x: float, y: float, radius: float, n: int = 40) -> list[tuple[float, float]]:
    angles = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return [(x + radius * np.cos(a), y + radius * np.sin(a)) for a in angles]


def test_reads_both_archives(monuseg_tree: Path) -> None:
    dataset = data.open("monuseg", monuseg_tree)
    records = {record.name: record for record in dataset.records}
    test = records["TCGA-HC-7209-01A-01-TS1"]
    assert (test.split, test.patient, test.group("tcga_site")) == ("test", "TCGA-HC-7209", "HC")
    assert records["TCGA-A7-A13E-01Z-00-DX1"].split == "train"
    assert dataset.info.licence == "CC BY-NC-SA 4.0"
    assert dataset.info.counts == {"images": 3, "patients": 3, "sources": 3, "test": 1, "train": 2}
    assert [int(sample.instances.max()) for sample in dataset] == [2, 2, 2]
    assert dataset[0].mpp == 0.25
    assert dataset.verify() == []


@pytest.mark.parametrize("inner", ["MoNuSeg 2018 Training Data", "MoNuSegTestData"])
def test_each_archive_alone(monuseg_tree: Path, inner: str) -> None:
    assert len(data.open("monuseg", monuseg_tree / inner)) == (2 if "Training" in inner else 1)


def test_missing_annotation_is_an_error_of_that_tile(monuseg_tree: Path) -> None:
    (monuseg_tree / "MoNuSegTestData" / "TCGA-HC-7209-01A-01-TS1.xml").rename(
        monuseg_tree / "MoNuSegTestData" / "x.xml"
    )
    dataset = data.open("monuseg", monuseg_tree)
    with pytest.raises(DatasetNotFoundError, match=r"TCGA-HC-7209-01A-01-TS1\.xml"):
        dataset[2]
    found = [(problem.name, problem.severity) for problem in dataset.verify()]
    assert found == [("TCGA-HC-7209-01A-01-TS1", "error"), ("x", "warning")]


def test_odd_regions_are_left_out_and_reported(monuseg_tree: Path, write_aperio: Write) -> None:
    path = monuseg_tree / "MoNuSegTestData" / "TCGA-HC-7209-01A-01-TS1.xml"
    write_aperio(
        path,
        [
            _circle(20, 20, 6),
            [(1, 1), (5, 5)],  # two points
            [],
            _circle(-50, 20, 6),  # outside
            _circle(200, 20, 6),
            [(30.2, 30.2), (30.4, 30.2), (30.3, 30.4)],  # holds no pixel centre
            _circle(0, 0, 8),  # cut by the border
        ],
    )
    dataset = data.open("monuseg", monuseg_tree)
    assert dataset[2].instances.max() == 2
    assert dataset[2].instances[0, 0] == 2
    assert [problem.message for problem in dataset.verify()] == [
        "2 region(s) with fewer than 3 points left out",
        "2 region(s) wholly outside the image left out",
        "1 region(s) smaller than a pixel or hidden by others left out",
    ]


def test_annotation_without_regions_is_a_tile_without_nuclei(monuseg_tree: Path, write_aperio: Write) -> None:
    write_aperio(monuseg_tree / "MoNuSegTestData" / "TCGA-HC-7209-01A-01-TS1.xml", [])
    problems = data.open("monuseg", monuseg_tree).verify()
    assert [(p.severity, p.message) for p in problems] == [("warning", "the label map has no nuclei")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<Annotations><Annotation>",
        "<html/>",
        '<Annotations><Region><Vertex X="a" Y="1"/></Region></Annotations>',
        '<Annotations><Region><Vertex X="1"/></Region></Annotations>',
        '<Annotations><Region><Vertex X="nan" Y="1"/></Region></Annotations>',
        '<Annotations><Region><Vertex X="inf" Y="1"/></Region></Annotations>',
    ],
)
def test_broken_annotation(monuseg_tree: Path, text: str) -> None:
    path = monuseg_tree / "MoNuSegTestData" / "TCGA-HC-7209-01A-01-TS1.xml"
    path.write_text(text)
    with pytest.raises(CorruptDataError, match="TCGA-HC-7209"):
        read_aperio(path)
    assert [problem.severity for problem in data.open("monuseg", monuseg_tree).verify()] == ["error"]


def test_same_stem_with_two_suffixes(monuseg_tree: Path) -> None:
    import tifffile

    tifffile.imwrite(
        monuseg_tree / "MoNuSegTestData" / "TCGA-HC-7209-01A-01-TS1.tiff", np.zeros((9, 9, 3), np.uint8)
    )
    dataset = data.open("monuseg", monuseg_tree)
    found = [(problem.name, problem.message) for problem in dataset.verify()]
    assert found[0][0] == "TCGA-HC-7209-01A-01-TS1"
    assert "files that differ only in their suffix" in found[0][1]
    with pytest.raises(DataError, match="occur more than once"):
        data.split_published(dataset)


def test_folders_without_tiles(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match=r"Tissue Images.*downloads nothing.*monuseg"):
        data.open("monuseg", tmp_path / "gone")
    with pytest.raises(DatasetNotFoundError, match="no images"):
        data.open("monuseg", tmp_path)


def test_names_that_are_no_barcodes(tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "case_1.tif", np.zeros((9, 9, 3), np.uint8))
    record = data.open("monuseg", tmp_path).records[0]
    assert (record.patient, record.split, record.source) == ("", "", "case_1")


def test_smaller_polygons_stay_visible_whatever_the_order() -> None:
    large, small = np.array(_circle(20, 20, 12)), np.array(_circle(22, 20, 3))
    for polygons, number in (([large, small], 2), ([small, large], 1)):
        labels = rasterise(polygons, (40, 40))
        assert labels[20, 22] == number
        assert labels.max() == 2


def test_nothing_and_far_away_draw_nothing() -> None:
    assert rasterise([], (4, 5)).tolist() == np.zeros((4, 5), int).tolist()
    assert rasterise([np.array(_circle(1e9, -1e9, 5))], (4, 5)).max() == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(-5, 35), st.floats(-5, 35)), min_size=3, max_size=9))
def test_pixels_are_those_whose_centre_is_inside(points: list[tuple[float, float]]) -> None:
    """Against matplotlib's test of insideness, but for pixels on an edge."""
    centre = np.mean(points, axis=0)
    polygon = np.array(sorted(points, key=lambda p: np.arctan2(p[1] - centre[1], p[0] - centre[0])))
    y, x = np.mgrid[:30, :30]
    pixels = np.column_stack([x.ravel(), y.ravel()])
    inside = Outline(polygon).contains_points(pixels).reshape(30, 30)
    drawn = rasterise([polygon], (30, 30)) > 0
    edges = np.roll(polygon, -1, axis=0) - polygon
    offsets = pixels[:, None, :] - polygon[None]
    lengths = np.maximum((edges**2).sum(axis=1), 1e-12)
    along = np.clip((offsets * edges).sum(axis=2) / lengths, 0, 1)
    distance = np.linalg.norm(offsets - along[..., None] * edges, axis=2).min(axis=1).reshape(30, 30)
    assert np.array_equal(inside[distance > 1e-6], drawn[distance > 1e-6])


def test_a_negative_region_is_a_hole_of_the_nucleus_around_it() -> None:
    large, hole = np.array(_circle(20, 20, 12)), np.array(_circle(20, 20, 6))
    within, beside = np.array(_circle(20, 20, 2)), np.array(_circle(27, 20, 3))
    labels = rasterise([large, within, beside], (40, 40), holes=[hole])
    assert [labels[20, x] for x in (20, 23, 25, 11)] == [2, 0, 3, 1]
    outside = np.array(_circle(4, 36, 3))
    assert np.array_equal(rasterise([large], (40, 40), holes=[outside]), rasterise([large], (40, 40)))
    assert rasterise([hole], (40, 40), holes=[np.array(_circle(20, 20, 5.9))]).any()
    corner = np.array([(22.0, 22.0), (39.0, 22.0), (39.0, 39.0), (22.0, 39.0)])  # more of it is outside
    assert not rasterise([large], (40, 40), holes=[corner])[22:, 22:].any()


@pytest.mark.parametrize("flag", ["1", "true", "True"])
def test_negative_regions_are_read_as_holes(tmp_path: Path, flag: str) -> None:
    square = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in ((1, 1), (9, 1), (9, 9), (1, 9)))
    inner = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in ((3, 3), (6, 3), (6, 6), (3, 6)))
    (tmp_path / "a.xml").write_text(
        f'<Annotations><Region NegativeROA="0"><Vertices>{square}</Vertices></Region>'
        f'<Region NegativeROA="{flag}"><Vertices>{inner}</Vertices></Region></Annotations>'
    )
    annotation = read_aperio(tmp_path / "a.xml")
    assert (len(annotation.outlines), len(annotation.holes)) == (1, 1)
    labels = annotation.drawn((12, 12))
    assert (labels[4, 4], labels[2, 2], labels.max()) == (0, 1, 1)


def test_archives_with_suffixes_in_capitals(monuseg_tree: Path) -> None:
    for path in [path for path in monuseg_tree.rglob("*") if path.is_file()]:
        path.rename(path.with_name(path.stem + path.suffix.upper()))
    dataset = data.open("monuseg", monuseg_tree)
    assert [int(sample.instances.max()) for sample in dataset] == [2, 2, 2]
    assert dataset.verify() == []
