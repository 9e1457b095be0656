from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.measure import regionprops

from histoscope import export, stain
from histoscope.errors import ShapeError
from histoscope.synth import generate
from histoscope.types import Nuclei


def nuclei_of(labels, mpp=0.25, class_id=None):
    n = int(labels.max(initial=0))
    return Nuclei(
        centroid_px=np.zeros((n, 2), np.float32),
        class_id=np.zeros(n, np.uint8) if class_id is None else np.asarray(class_id, np.uint8),
        probability=np.linspace(0, 1, n, dtype=np.float32),
        instances=labels,
        mpp=mpp,
    )


def assert_as_skimage(labels, image, mpp):
    table = export.measure(nuclei_of(labels, mpp), image)
    amount = stain.separate(image, stain.RUIFROK[:2])[..., 0]
    regions = {region.label: region for region in regionprops(labels, intensity_image=amount)}
    for number, row in enumerate(table.to_dict("records"), start=1):
        if number not in regions:
            assert np.isnan(row["area_um2"])
            assert np.isnan(row["solidity"])
            continue
        region = regions[number]
        expected = {
            "x_um": (region.centroid[1] + 0.5) * mpp,
            "y_um": (region.centroid[0] + 0.5) * mpp,
            "area_um2": region.area * mpp**2,
            "perimeter_um": region.perimeter_crofton * mpp,
            "major_axis_um": region.axis_major_length * mpp,
            "minor_axis_um": region.axis_minor_length * mpp,
            "eccentricity": region.eccentricity,
            "solidity": region.area / region.area_convex,
            "haematoxylin_od": region.intensity_mean,
        }
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, rel=1e-5, abs=1e-5), (number, name)


def test_shapes_of_tissue_are_those_of_scikit_image():
    tissue = generate((256, 256), mpp=0.5, rng=np.random.default_rng(1))
    assert tissue.instances.max() > 30
    assert_as_skimage(tissue.instances, tissue.image, 0.5)


@given(arrays(np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3)))
@settings(max_examples=100, deadline=None)
@pytest.mark.filterwarnings("ignore:Failed to get convex hull")
def test_shapes_of_anything_are_those_of_scikit_image(labels):
    image = np.random.default_rng(0).integers(0, 256, (*labels.shape, 3), np.uint8)
    assert_as_skimage(labels, image, 1.0)


def test_a_disk_and_a_bar_have_the_shapes_that_geometry_says():
    labels = np.zeros((120, 200), np.int32)
    rows, columns = np.mgrid[:120, :200]
    labels[(rows - 60) ** 2 + (columns - 60) ** 2 <= 40**2] = 1
    labels[50:70, 110:190] = 2
    disk, bar = export.measure(nuclei_of(labels, 0.5), np.zeros((120, 200, 3), np.uint8)).to_dict("records")
    assert disk["area_um2"] == pytest.approx(np.pi * 20**2, rel=0.01)
    assert disk["perimeter_um"] == pytest.approx(2 * np.pi * 20, rel=0.01)
    assert disk["major_axis_um"] == pytest.approx(40, rel=0.01)
    assert disk["eccentricity"] < 0.05
    assert disk["circularity"] > 0.98
    assert (bar["x_um"], bar["y_um"]) == (75.0, 30.0)
    assert bar["solidity"] == 1.0
    assert bar["eccentricity"] > 0.95
    assert bar["circularity"] < 0.7


def test_more_haematoxylin_is_measured_as_more():
    amounts = np.zeros((20, 40, 2))
    amounts[:, :20, 0], amounts[:, 20:, 0] = 0.5, 1.2
    labels = np.repeat(np.repeat([[1, 2]], 20, axis=0), 20, axis=1).astype(np.int32)
    table = export.measure(nuclei_of(labels), stain.combine(amounts, stain.RUIFROK[:2]))
    assert table["haematoxylin_od"].tolist() == pytest.approx([0.5, 1.2], abs=0.02)


def test_classes_have_names():
    labels = np.arange(4, dtype=np.int32).reshape(2, 2)
    image = np.zeros((2, 2, 3), np.uint8)
    nuclei = nuclei_of(labels, class_id=[2, 0, 1])
    assert export.measure(nuclei, image, ["a", "b"])["class"].tolist() == ["b", "nucleus", "a"]
    assert export.measure(nuclei, image)["class"].tolist() == ["class 2", "nucleus", "class 1"]
    named = export.measure(nuclei, image, ["nucleus", "b"])["class"].tolist()
    assert named == ["b", "nucleus without a class", "nucleus"]
    with pytest.raises(ShapeError, match="class ids go up to 2"):
        export.measure(nuclei, image, ["a"])


def test_no_nuclei_are_an_empty_table_with_all_columns():
    table = export.measure(nuclei_of(np.zeros((5, 5), np.int32)), np.zeros((5, 5, 3), np.uint8))
    assert len(table) == 0
    assert {"id", "class", "area_um2", "haematoxylin_od"} <= set(table.columns)


@pytest.mark.parametrize(
    ("labels", "size"), [(np.zeros((4, 4), np.int32), 5), (np.array([[3, 0], [0, 0]], np.int32), 2)]
)
def test_what_does_not_fit_together_is_refused(labels, size):
    nuclei = nuclei_of(np.ones((2, 2), np.int32))
    wrong = Nuclei(nuclei.centroid_px, nuclei.class_id, nuclei.probability, labels, 0.25)
    with pytest.raises(ShapeError, match="expected"):
        export.measure(wrong, np.zeros((size, size, 3), np.uint8))


def test_outlines_that_reach_beyond_the_image_are_refused():
    nuclei = nuclei_of(np.ones((3, 3), np.int32))
    wrong = replace(nuclei, instances=nuclei.outlines, shape=(2, 3))
    with pytest.raises(ShapeError, match="expected"):
        export.measure(wrong, np.zeros((2, 3, 3), np.uint8))


def test_everything_is_exported_without_a_map(tmp_path):
    tissue = generate((256, 256), mpp=0.5, rng=np.random.default_rng(1))
    mapped = Nuclei.from_labels(tissue.instances, mpp=0.5, classes=tissue.classes)
    outlined = mapped.without_map()
    assert export.measure(outlined, tissue.image).equals(export.measure(mapped, tissue.image))
    assert np.array_equal(export.draw(tissue.image, outlined), export.draw(tissue.image, mapped))
    for name, nuclei in {"a": mapped, "b": outlined}.items():
        export.write_geojson(tmp_path / name, nuclei, name="x")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert not [value for value in vars(outlined).values() if np.shape(value) == (256, 256)]
