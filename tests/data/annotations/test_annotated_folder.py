"""Labelled folders from slides and annotations: what was exported comes back, and nothing is lost unsaid."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

import histoscope as hs
from histoscope.data.annotations.drawing import draw_polygons
from histoscope.data.annotations.folder import Cutting, write_annotated
from histoscope.data.views import compact
from histoscope.errors import ConfigError, DataError
from histoscope.export.cells import Cells
from histoscope.export.cells_geojson import write_cells_geojson
from histoscope.files import write_image
from histoscope.nuclei import Nuclei
from histoscope.slides import open_slide

CLASSES = ("stroma", "tumour")


def polygon(*points, **properties):
    ring = [list(map(float, point)) for point in (*points, points[0])]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def box(x0, y0, x1, y1, *, of="", kind="annotation", **more):
    named = {"classification": {"name": of}} if of else {}
    return polygon((x0, y0), (x1, y0), (x1, y1), (x0, y1), objectType=kind, **named, **more)


@pytest.fixture
def cut(tmp_path):
    """Give a function that cuts images out of 200 x 120 px and reads what was written."""

    def cut(features, *, bounds=(0, 0), plain=True, to="out", **options):
        image = np.random.default_rng(0).integers(0, 250, (120, 200, 3)).astype(np.uint8)
        path = tmp_path / "slide.png"
        write_image(path, image)
        notes = tmp_path / "notes.geojson"
        notes.write_text(json.dumps(features), encoding="utf-8")
        scene = open_slide(path, mpp=0.5)
        fake = SimpleNamespace(
            size=(200, 120),
            bounds=(*bounds, 1, 1),
            reader_name="picture" if plain else "openslide",
            known_mpp=lambda: (0.5, 0.5),
            **{name: getattr(scene, name) for name in ("scale_at", "size_at", "read", "read_at")},
        )
        out = tmp_path / to
        outcome = write_annotated(out, [(path, [notes])], lambda _: nullcontext(fake), Cutting(**options))
        return outcome, hs.data.open("folder", out), image

    return cut


def labels_of(seed: int, height: int, width: int) -> np.ndarray:
    """Label map of discs and noise: nuclei with holes and in several pieces, also at the edges."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((height, width), np.int32)
    rows, columns = np.ogrid[:height, :width]
    for k in range(1, rng.integers(2, 9)):
        y, x, r = rng.integers(0, height), rng.integers(0, width), rng.integers(1, 9)
        labels[(rows - y) ** 2 + (columns - x) ** 2 <= r * r] = k
    noise = rng.integers(0, 12, labels.shape)
    labels[noise == 0] = 0
    labels[noise == 1] = rng.integers(1, 9)
    return labels


def round_trip(labels: np.ndarray, write: Callable[[Path, np.ndarray], Path], mpp: float, to: float | None):
    """Write annotations of an image, read them back, and give the sample."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "image.png"
        scale = round((to or mpp) / mpp)
        image = np.full((labels.shape[0] * scale, labels.shape[1] * scale, 3), 200, np.uint8)
        write_image(path, image, mpp=mpp)
        notes = write(Path(folder) / "notes.geojson", image)
        outcome = write_annotated(Path(folder) / "out", [(path, [notes])], open_slide, Cutting(mpp=to))
        dataset = hs.data.open("folder", Path(folder) / "out")
        return outcome, dataset[0], dataset.info.classes


@given(seed=st.integers(0, 10_000), height=st.integers(3, 40), width=st.integers(3, 40))
@examples(max_examples=40)
def test_what_was_exported_comes_back(seed, height, width):
    labels = compact(labels_of(seed, height, width))[0]
    n = int(labels.max())
    if not n:
        return
    kinds = np.random.default_rng(seed).integers(0, 3, n + 1).astype(np.uint8)
    kinds[0] = 0
    nuclei = Nuclei.from_labels(labels, mpp=0.5, classes=kinds)

    def write(path, image):
        hs.export.write_geojson(path, nuclei, classes=CLASSES)
        return path

    outcome, sample, classes = round_trip(labels, write, 0.5, None)
    assert np.array_equal(sample.instances, labels)
    names = [classes.get(k, "") for k in (sample.classes if classes else np.zeros(n + 1, int))]
    assert names == [("", *CLASSES)[k] for k in kinds]
    assert (outcome.images, outcome.nuclei, sum(outcome.counts.values())) == (1, n, 0)


@given(
    seed=st.integers(0, 10_000),
    scale=st.sampled_from([1, 2, 4]),
    offset=st.tuples(st.integers(0, 900), st.integers(0, 900)),
)
@examples(max_examples=20)
def test_cells_of_a_slide_come_back_at_the_resolution_of_the_network(seed, scale, offset):
    labels = compact(labels_of(seed, 30, 40))[0]
    n = int(labels.max())
    if not n:
        return
    kinds = np.append(0, np.random.default_rng(seed).integers(1, 3, n)).astype(np.uint8)
    nuclei = Nuclei.from_labels(labels, mpp=0.25 * scale, classes=kinds)

    def write(path, image):
        small = np.ascontiguousarray(image[::scale, ::scale])
        measured = hs.export.measure(nuclei, small, CLASSES)
        cells = Cells.of(nuclei, measured, CLASSES, corner=(0, 0), scale=(scale, scale))
        table = cells.to_arrow(CLASSES, part="a", slide="b")
        (file,) = write_cells_geojson(path.parent, [table], CLASSES, offset_px=offset)
        return file

    outcome, sample, classes = round_trip(labels, write, 0.25, 0.25 * scale)
    assert np.array_equal(sample.instances, labels)
    assert [classes.get(k, "") for k in sample.classes] == [("", *CLASSES)[k] for k in kinds]
    assert (outcome.nuclei, sum(outcome.counts.values())) == (n, 0)


@given(seed=st.integers(0, 10_000))
@examples(max_examples=25)
def test_pixels_are_those_whose_centres_are_inside(seed):
    rng = np.random.default_rng(seed)
    shapes = [
        shapely.Point(rng.uniform(-3, 33, 2)).buffer(rng.uniform(0.2, 9), quad_segs=3) for _ in range(6)
    ]
    shapes[0] = shapes[0].difference(shapes[0].centroid.buffer(1))
    shapes[1] = shapely.MultiPolygon([shapes[1], shapely.box(40, 40, 43, 43)])
    drawn = draw_polygons(np.array(shapes, object), (30, 28))
    x, y = np.meshgrid(np.arange(28) + 0.5, np.arange(30) + 0.5)
    inside = np.stack([shapely.contains_xy(shape, x, y) for shape in shapes])
    order = np.argsort([-shape.area for shape in shapes])
    expected = np.zeros((30, 28), np.int32)
    for k in order:
        expected[inside[k]] = k + 1
    assert np.array_equal(drawn.labels, expected)
    assert drawn.own_px.tolist() == inside.sum(axis=(1, 2)).tolist()
    assert drawn.seen_px.tolist() == [int((expected == k + 1).sum()) for k in range(6)]


def test_neighbours_that_share_an_edge_share_no_pixel():
    left = shapely.Polygon([(0, 0), (5, 0), (2.5, 5), (0, 5)])
    right = shapely.Polygon([(5, 0), (9, 0), (9, 5), (2.5, 5)])
    drawn = draw_polygons(np.array([left, right], object), (5, 9))
    assert (drawn.labels > 0).all()
    assert drawn.own_px.sum() == 45


def test_regions_of_interest_become_images(cut):
    outcome, found, image = cut(
        [
            box(10, 20, 60, 70, of="Region*", name="first"),
            box(100, 20, 140.4, 69.6, name="ROI 2"),
            box(15, 25, 25, 35, of="tumour"),
            box(50, 60, 70, 80, of="tumour"),  # reaches out of the first
            box(110, 30, 120, 40),
            box(180, 100, 190, 110, of="stroma"),  # in no region
            box(1, 1, 9, 9, of="Ignore*"),
        ]
    )
    assert [record.name for record in found.records] == ["slide_x10_y20", "slide_x100_y20"]
    assert [dict(record.tags) for record in found.records] == [
        {"n_nuclei": "2", "x_px": "10", "y_px": "20", "region": "first"},
        {"n_nuclei": "1", "x_px": "100", "y_px": "20", "region": "ROI 2"},
    ]
    assert {record.patient for record in found.records} == {"slide"}
    assert np.array_equal(found[0].image, image[20:70, 10:60])
    assert found[1].image.shape == (50, 40, 3)
    assert found.info.classes == {1: "stroma", 2: "tumour"}
    assert found[0].classes.tolist() == [0, 2, 2]
    assert found[1].classes.tolist() == [0, 0]
    assert (found[0].instances == 1).sum() == 100
    assert np.argwhere(found[0].instances == 1).min(axis=0).tolist() == [5, 5]
    assert (outcome.images, outcome.nuclei) == (2, 3)
    assert outcome.counts == {
        "region of interest": 2,
        "object of the class Ignore* was left out": 1,
        "nucleus outside of all images": 1,
        "nucleus cut by the edge of an image": 1,
    }
    assert outcome.of_class == {"tumour": 2, "no class": 1}


def test_beyond_a_region_that_is_no_rectangle_all_is_white(cut):
    outcome, found, image = cut(
        [
            polygon((10, 10), (90, 10), (10, 90), name="region"),
            box(20, 20, 30, 30),
            box(45, 45, 55, 55),  # on the slanted edge
            box(75, 75, 85, 85),  # in the box of the region, beyond the region
        ]
    )
    white = (found[0].image == 255).all(axis=2)
    rows, columns = np.mgrid[:80, :80]
    assert np.array_equal(white, rows + columns + 1 >= 80)
    assert np.array_equal(found[0].image[~white], image[10:90, 10:90][~white])
    assert not found[0].instances[white].any()
    assert outcome.nuclei == 2
    assert outcome.counts["nucleus cut by the edge of an image"] == 1
    assert outcome.counts["nucleus outside of all images"] == 1


def test_names_of_regions_can_be_chosen(cut):
    features = [box(0, 0, 50, 50, of="field"), box(60, 60, 99, 99, of="field"), box(5, 5, 9, 9)]
    outcome, found, _ = cut(features, roi_class="Field")
    assert (len(found), outcome.nuclei) == (2, 1)
    assert not found[1].instances.any()


def test_an_unknown_region_is_told(cut):
    with pytest.raises(DataError, match="no annotation has the class or name 'x'; there are A and b"):
        cut([box(0, 0, 5, 5, of="A"), box(0, 0, 5, 5, name="b")], roi_class="x")


def test_regions_at_one_corner_and_overlaps(cut):
    outcome, found, _ = cut(
        [box(0, 0, 50, 50, of="ROI"), box(0, 0, 90, 90, of="ROI"), box(5, 5, 9, 9), box(5, 5, 9, 9, of="b")]
    )
    assert [record.name for record in found.records] == ["slide_x0_y0", "slide_x0_y0_2"]
    assert outcome.counts["nucleus hidden by others"] == 1
    assert outcome.counts["nucleus in several images"] == 1
    assert outcome.of_class == {"b": 1}  # of equals the later is on top


def test_overlaps_and_small_nuclei_are_counted(cut):
    outcome, found, _ = cut(
        [box(5, 5, 15, 15), box(10, 10, 30, 30), box(12, 2, 14, 4), box(50.6, 50.6, 51.4, 51.4)]
    )
    assert [(found[0].instances == k).sum() for k in (1, 2, 3)] == [100, 375, 4]
    assert outcome.counts == {
        "nucleus smaller than a pixel": 1,
        "nucleus under smaller ones, which keep their pixels": 1,
    }
    assert found[0].image.shape == (120, 200, 3)  # a plain image is taken whole


def test_a_slide_without_regions_is_cut_in_tiles(cut):
    nuclei = [box(40, 40, 48, 48), box(60, 44, 68, 52), box(190, 110, 198, 118)]
    outcome, found, image = cut(nuclei, plain=False, tile_px=64)
    # x 8 to 200 in three tiles, y 8 to 120 in two; those without a nucleus are left out
    assert [record.name for record in found.records] == ["slide_x8_y8", "slide_x136_y64"]
    assert outcome.nuclei == 3
    assert np.array_equal(found[0].image, image[8:64, 8:72])


def test_nuclei_cut_by_the_edges_of_tiles_are_counted(cut):
    outcome, found, _ = cut(
        [box(0, 0, 128, 64, of="ROI"), box(60, 10, 70, 20), box(20, 20, 30, 30)], tile_px=64
    )
    assert [(each.instances > 0).sum() for each in found] == [140, 60]
    assert outcome.nuclei == 2
    assert outcome.counts["nucleus cut by the edge of an image"] == 1
    assert outcome.counts["nucleus in several images"] == 1


def test_another_resolution(cut):
    features = [box(20, 20, 60, 60, of="ROI"), box(30, 30, 50, 40)]
    _, found, image = cut(features, mpp=1.0)
    assert (found[0].mpp, found[0].image.shape) == (1, (20, 20, 3))
    rows, columns = np.nonzero(found[0].instances)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 9, 5, 14)
    means = image[20:60, 20:60].reshape(20, 2, 20, 2, 3).mean(axis=(1, 3))
    assert np.abs(found[0].image - means).max() <= 0.5


def test_pixels_that_are_no_squares_are_resampled(tmp_path):
    image, notes = tmp_path / "a.png", tmp_path / "a.geojson"
    write_image(image, np.full((40, 40, 3), 200, np.uint8))
    notes.write_text(json.dumps([box(10, 10, 20, 20)]), encoding="utf-8")
    with open_slide(image) as slide:
        slide.reader.mpp = (0.5, 0.25)
        write_annotated(tmp_path / "out", [(image, [notes])], lambda _: nullcontext(slide))
    (sample,) = hs.data.open("folder", tmp_path / "out")
    assert (sample.mpp, sample.image.shape) == (0.25, (40, 80, 3))
    assert (sample.instances > 0).sum() == 200


def test_which_objects_are_nuclei(cut):
    features = [
        box(5, 5, 15, 15, kind="detection"),
        box(25, 5, 35, 15, kind="cell"),
        box(45, 5, 55, 15),
    ]
    for objects, n in (("auto", 2), ("detections", 2), ("annotations", 1), ("all", 3)):
        outcome, _, _ = cut(features, objects=objects, to=objects)
        assert outcome.nuclei == n
        left = [m for reason, m in outcome.counts.items() if reason.startswith("other object was left out")]
        assert left == ([] if n == 3 else [3 - n])


def test_classes_are_chosen_and_ordered(cut):
    features = [box(5, 5, 15, 15, of=" Tumor "), box(25, 5, 35, 15, of="b"), box(45, 5, 55, 15, of="a")]
    outcome, found, _ = cut(features, classes=["tumor", "a"])
    assert found.info.classes == {1: "tumor", 2: "a"}
    assert found[0].classes.tolist() == [0, 1, 0, 2]
    assert outcome.of_class == {"tumor": 1, "a": 1, "no class": 1}


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (["x"], "no nucleus has the class 'x'; there are b and nuclei without a class"),
        (["b", "B"], "is given twice"),
    ],
)
def test_classes_that_are_not_there(cut, classes, words):
    with pytest.raises(DataError, match=words):
        cut([box(5, 5, 15, 15), box(25, 5, 35, 15, of="b")], classes=classes)


def test_nuclei_of_no_class(cut):
    words = ("nucleus", "Unclassified", "", "unknown", "Nucleus", "Cell")
    features = [box(20 * k, 5, 20 * k + 9, 15, of=word) for k, word in enumerate(words)]
    for spelt, classes, numbers in (
        (features[:4], {}, None),
        (features[1:], {1: "Cell", 2: "Nucleus"}, [0, 0, 0, 0, 2, 1]),
    ):
        _, found, _ = cut(spelt, to=str(len(classes)))
        assert found.info.classes == classes
        assert (found[0].classes if numbers is None else found[0].classes.tolist()) == numbers
    _, found, _ = cut(features[:1], classes=["nucleus"])
    assert found.info.classes == {1: "nucleus"}


def test_too_many_classes(cut):
    with pytest.raises(DataError, match="256 classes, expected at most 255"):
        cut([box(5, 5, 15, 15, of=f"cell {k}") for k in range(256)])


@pytest.mark.parametrize(
    ("origin", "metadata", "corner"),
    [
        (None, None, (35, 45)),
        ("qupath", None, (35, 45)),
        ("slide", None, (5, 5)),
        (None, [20, 10], (25, 15)),
        ("slide", [20, 10], (5, 5)),
    ],
)
def test_where_coordinates_begin(cut, origin, metadata, corner):
    root = {"type": "FeatureCollection", "features": [box(5, 5, 15, 15)]}
    if metadata:
        root["metadata"] = {"offset_px": metadata}
    _, found, _ = cut(root, bounds=(30, 40), origin=origin)
    assert np.argwhere(found[0].instances)[0][::-1].tolist() == list(corner)


def test_annotations_of_another_image_are_refused(cut):
    words = r"2 of 3 annotations lie outside the image; they span x 5 to 1,010 and y 5 to 500, but the "
    words += r"image has 200 x 120 px: is it from another image"
    with pytest.raises(DataError, match=words):
        cut([box(5, 5, 15, 15), box(1000, 5, 1010, 15), box(5, 490, 15, 500)])


def test_the_wrong_origin_is_named(cut):
    with pytest.raises(DataError, match="with --origin slide all of them would lie inside it"):
        cut([box(190, 5, 195, 15)], bounds=(30, 40))


def test_a_stray_outline_is_counted(cut):
    strays = [box(-9, -9, -1, -1)]
    outcome, _, _ = cut([*strays, *(box(x, 5, x + 1, 6) for x in range(100))])
    assert (outcome.nuclei, outcome.counts["nucleus outside of all images"]) == (100, 1)


def test_beyond_the_edge_of_the_image_nuclei_are_cut(cut):
    outcome, found, _ = cut([box(-5, -5, 5, 5), box(195, 115, 205, 125)])
    assert [(found[0].instances == k).sum() for k in (1, 2)] == [25, 25]
    assert outcome.counts["nucleus cut by the edge of an image"] == 2


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ([], "no outlines; expected polygons"),
        (
            [{"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}, "properties": {}}],
            "no outlines .1 object: point",
        ),
        ([box(0, 0, 50, 50, of="ROI")], "1 region of interest but no nuclei"),
    ],
)
def test_without_nuclei_nothing_is_written(cut, tmp_path, features, words):
    with pytest.raises(DataError, match=words):
        cut(features)
    assert not (tmp_path / "out").exists()


def test_areas_for_nuclei_are_said(cut):
    outcome, _, _ = cut([box(0, 0, 199, 110)])
    assert [reason for reason in outcome.counts if "is it a region of interest" in reason]


def test_a_label_map_beside_its_nuclei_is_said(tmp_path):
    sample = hs.synth.generate((300, 300), mpp=0.5, rng=1)
    write_image(tmp_path / "a.png", sample.image, mpp=0.5)
    for name, labels in (("right", sample.instances), ("turned", np.rot90(sample.instances).copy())):
        notes = tmp_path / f"{name}.geojson"
        hs.export.write_geojson(notes, Nuclei.from_labels(labels, mpp=0.5))
        outcome = write_annotated(tmp_path / name, [(tmp_path / "a.png", [notes])], open_slide)
        assert [each for each, _ in outcome.doubts] == ["a"] * (name == "turned")


def test_patients_and_several_slides(tmp_path):
    pairs = []
    for k in range(3):
        image, notes = tmp_path / f"{k}.png", tmp_path / f"{k}.geojson"
        pixels = np.full((40, 40, 3), 200, np.uint8)
        pixels[10:20, 10:20] = 90
        write_image(image, pixels, mpp=0.5)
        notes.write_text(json.dumps([box(10, 10, 20, 20, of="ab"[k % 2])]), encoding="utf-8")
        pairs.append((image, [notes]))
    seen = []
    outcome = write_annotated(
        tmp_path / "own", pairs, open_slide, on_sample=lambda sample, names: seen.append((sample.name, names))
    )
    found = hs.data.open("folder", tmp_path / "own")
    assert [record.patient for record in found.records] == ["0", "1", "2"]
    assert [sample.classes.tolist() for sample in found] == [[0, 1], [0, 2], [0, 1]]
    assert seen == [(str(k), {1: "a", 2: "b"}) for k in range(3)]
    assert outcome.of_class == {"a": 2, "b": 1}
    assert not found.verify()
    write_annotated(tmp_path / "one", pairs, open_slide, Cutting(patient="p7"))
    found = hs.data.open("folder", tmp_path / "one")
    assert {(record.patient, record.source) for record in found.records} == {("p7", str(k)) for k in range(3)}


def test_patients_of_tcga(tmp_path):
    image, notes = tmp_path / "TCGA-2Z-A9J9-01A-01-TS1.png", tmp_path / "a.geojson"
    write_image(image, np.full((40, 40, 3), 200, np.uint8), mpp=0.5)
    notes.write_text(json.dumps([box(1, 1, 5, 5)]), encoding="utf-8")
    write_annotated(tmp_path / "out", [(image, [notes])], open_slide)
    (record,) = hs.data.open("folder", tmp_path / "out").records
    assert (record.patient, record.source) == ("TCGA-2Z-A9J9", image.stem)


def test_several_files_of_one_slide(tmp_path):
    image = tmp_path / "a.png"
    write_image(image, np.full((40, 40, 3), 200, np.uint8), mpp=0.5)
    paths = [tmp_path / f"{k}.geojson" for k in range(2)]
    for k, path in enumerate(paths):
        root = {"type": "FeatureCollection", "features": [box(1, 1, 5, 5)]}
        path.write_text(json.dumps(root | {"metadata": {"offset_px": [10 * k, 0]}}), encoding="utf-8")
    assert write_annotated(tmp_path / "out", [(image, paths)], open_slide).nuclei == 2


def test_an_image_that_cannot_be_decoded_is_left_out(tmp_path):
    image, notes = tmp_path / "a.png", tmp_path / "a.geojson"
    write_image(image, np.full((40, 40, 3), 200, np.uint8), mpp=0.5)
    regions = [box(0, 0, 9, 9, of="ROI"), box(20, 20, 29, 29, of="ROI")]
    notes.write_text(json.dumps([*regions, box(1, 1, 5, 5), box(21, 21, 25, 25)]), encoding="utf-8")
    slide = open_slide(image)

    def crop(box, level, crop=slide.reader.crop):
        if box.x == 0:
            raise ValueError("tile 7")
        return crop(box, level)

    slide.reader.crop = crop
    outcome = write_annotated(tmp_path / "out", [(image, [notes])], lambda _: nullcontext(slide))
    assert [(name, "tile 7" in text) for name, text in outcome.failed] == [("a_x0_y0", True)]
    assert (outcome.images, outcome.nuclei) == (1, 1)
    assert [record.name for record in hs.data.open("folder", tmp_path / "out").records] == ["a_x20_y20"]


def test_wrong_calls(tmp_path):
    image, notes = tmp_path / "a.png", tmp_path / "a.geojson"
    write_image(image, np.full((40, 40, 3), 200, np.uint8))
    notes.write_text(json.dumps([box(1, 1, 5, 5)]), encoding="utf-8")
    with pytest.raises(ConfigError, match="tile_px is 10, expected at least 64"):
        Cutting(tile_px=10)
    with pytest.raises(ConfigError, match="does not give its resolution"):
        write_annotated(tmp_path / "out", [(image, [notes])], open_slide)
    with pytest.raises(DataError, match="is not an empty folder"):
        write_annotated(tmp_path, [(image, [notes])], open_slide)
