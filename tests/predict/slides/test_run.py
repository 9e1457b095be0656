"""Slides: each nucleus exactly once, however the slide is cut; what is there is not done again."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import shapely

from histoscope import stain
from histoscope.errors import ConfigError
from histoscope.files import write_image
from histoscope.models import inference
from histoscope.predict import predict
from histoscope.predict.slides import part as part_module
from histoscope.predict.slides.run import plan_of, predict_slide
from histoscope.predict.slides.store import Store
from histoscope.slides import open_slide


def cells_of(slide, detector, folder, part_px=4096):
    with Store.hold(folder, plan_of(slide, detector, part_px=part_px)) as store:
        found = predict_slide(slide, detector, store, part_px=part_px)
        tables = [store.read(name) for name in found.parts]
    return pa.concat_tables(tables) if tables else None


def by_id(table):
    return dict(zip(table["id"].to_pylist(), table["geometry"].to_pylist(), strict=True))


@pytest.fixture(scope="module")
def whole(request, tmp_path_factory):
    """Give the cells of a slide in one part, by the name of the detector."""
    known = {}

    def give(slide, detector):
        if detector.fingerprint not in known:
            known[detector.fingerprint] = cells_of(slide, detector, tmp_path_factory.mktemp("whole"))
        return known[detector.fingerprint]

    return give


@pytest.mark.parametrize(("part_px", "tile_px"), [(160, 2048), (233, 96), (320, 128), (511, 256)])
def test_tiled_is_whole(slide, detector, whole, tmp_path, monkeypatch, part_px, tile_px):
    monkeypatch.setattr(part_module, "TILE_PX", tile_px)
    tiled = cells_of(slide, detector, tmp_path / "out", part_px)
    expected = whole(slide, detector)
    assert len(expected) > 80
    assert len(tiled) == len(expected)
    assert by_id(tiled) == by_id(expected)


@pytest.mark.slow
def test_tiled_is_whole_with_test_time_augmentation(slide, detector, tmp_path):
    turned = replace(detector, tta=True)
    one, many = (cells_of(slide, turned, tmp_path / str(px), px) for px in (4096, 256))
    assert by_id(one) == by_id(many)


def test_a_slide_has_the_nuclei_of_the_image(slide, image, detector, whole):
    """At the network's resolution nothing is resampled, so the two ways differ only by glass."""
    expected = predict(image, detector, mpp=0.5)
    polygons = shapely.from_wkb(whole(slide, detector)["geometry"].to_numpy(zero_copy_only=False))
    tree = shapely.STRtree(polygons)
    centres = expected.centroid_px + 0.5
    held = [len(tree.query(shapely.Point(*centre), predicate="within")) for centre in centres]
    assert np.mean(np.array(held) == 1) > 0.97
    assert len(polygons) <= len(expected)


@pytest.mark.parametrize(("mpp", "shift"), [(0.25, 0), (0.5, 37), (0.37, 11), (1.0, 0)])
def test_places_are_those_of_level_0(rays, tmp_path, mpp, shift):
    """A dark disc at the far corner of a slide of any resolution stands where it was drawn."""
    height, width = round(350 / mpp), round(450 / mpp)
    rows, columns = np.mgrid[:height, :width]
    image = np.full((height, width, 3), 225, np.uint8)
    image[..., 1] = 190
    image[:, : width // 3] = 250  # glass
    centre = np.array([width - 80.0 - shift, height - 70.0 - shift])
    for x, y in [centre, centre - 150 / mpp]:
        disc = (columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2 < (5.0 / mpp) ** 2
        image[disc] = 90, 60, 140
    write_image(tmp_path / "a.tif", image, mpp=mpp)
    cells = cells_of(open_slide(tmp_path / "a.tif"), rays, tmp_path / "out", 300)
    places = np.stack([cells["x_px"].to_numpy(), cells["y_px"].to_numpy()], axis=1)
    nearest = np.abs(places - centre).sum(axis=1).argmin()
    assert np.abs(places[nearest] - centre).max() < 0.5 * max(0.5 / mpp, 1)  # the network's own error
    polygon = shapely.from_wkb(cells["geometry"][int(nearest)].as_py())
    assert np.abs(np.array(polygon.centroid.coords[0]) - places[nearest]).max() < 0.05 * 0.5 / mpp


def test_finished_parts_are_kept(slide, rays, tmp_path, monkeypatch):
    before = cells_of(slide, rays, tmp_path, 320)
    parts = sorted((tmp_path / "parts").iterdir())
    times = {part: part.stat().st_mtime_ns for part in parts}
    parts[2].unlink()
    parts[3].write_bytes(parts[3].read_bytes()[:100])  # as if the disk had been full
    asked = []
    read = part_module.read_part
    monkeypatch.setattr(part_module, "read_part", lambda *a: asked.append(a[1].name) or read(*a))
    assert cells_of(slide, rays, tmp_path, 320).equals(before)
    assert asked == [part.stem for part in parts[2:4]]
    assert all(parts[k].stat().st_mtime_ns == times[parts[k]] for k in (0, 1, 4))


def test_another_plan_is_refused_with_what_differs(slide, rays, tmp_path):
    cells_of(slide, rays, tmp_path, 320)
    other = replace(rays, tta=True)
    with pytest.raises(ConfigError, match="tta: False there, True now"):
        cells_of(slide, other, tmp_path, 320)
    assert json.loads((tmp_path / "plan.json").read_text())["tta"] is False


def test_a_place_that_cannot_be_read_is_a_problem_and_the_rest_is_kept(slide, rays, whole, tmp_path):
    from histoscope.errors import CorruptDataError

    crop = slide.reader.crop

    def broken(box, level):
        if box.x <= 300 < box.x + box.width and box.y <= 200 < box.y + box.height:
            raise CorruptDataError("a tile is broken")
        return crop(box, level)

    slide.reader.crop = broken
    with Store.hold(tmp_path, {}) as store:
        found = predict_slide(slide, rays, store, part_px=4096)
    (problem,) = found.problems
    assert problem["error"] == "a tile is broken"
    assert problem["x_px"] <= 300 < problem["x_px"] + problem["width_px"] <= 300 + 64
    assert 0.9 * len(whole(slide, rays)) < found.n_rows < len(whole(slide, rays))


def test_a_slide_of_glass_has_no_parts(rays, tmp_path):
    write_image(tmp_path / "glass.tif", np.full((500, 500, 3), 243, np.uint8), mpp=0.5)
    with Store.hold(tmp_path / "out", {}) as store:
        found = predict_slide(open_slide(tmp_path / "glass.tif"), rays, store)
    assert (found.n_rows, found.parts, found.tissue.area_mm2) == (0, (), 0)


def test_glass_never_reaches_the_network(slide, rays, tmp_path, monkeypatch):
    seen = []
    tiles_of = part_module.tiles_of
    monkeypatch.setattr(part_module, "tiles_of", lambda *a, **k: seen.append(k["inner"]) or tiles_of(*a, **k))
    cells_of(slide, rays, tmp_path, 128)
    assert len(seen) < 0.75 * 6 * 8


def test_nor_does_glass_of_a_part_with_tissue(slide, rays, whole, tmp_path, monkeypatch):
    seen, tile = [], inference._tile
    monkeypatch.setattr(inference, "_tile", lambda *a, **k: seen.append(a[3]) or tile(*a, **k))
    monkeypatch.setattr(part_module, "TILE_PX", 64)
    found = cells_of(slide, rays, tmp_path)
    right = [window for window in seen if window.left >= 662 + 128]
    assert right
    assert min(window.bottom for window in right) > 500 - 128
    assert by_id(found) == by_id(whole(slide, rays))


def test_an_overview_is_refused(tmp_path, rays):
    write_image(tmp_path / "a.tif", np.full((50, 50, 3), 243, np.uint8), mpp=4.0)
    with Store.hold(tmp_path / "out", {}) as store, pytest.raises(ConfigError, match="it is an overview"):
        predict_slide(open_slide(tmp_path / "a.tif"), rays, store)


def test_a_slide_outside_the_pixel_sizes_of_a_model_is_warned_of_and_done(slide, rays, whole, tmp_path):
    points = {"aji": [[0.2, 0.6], [0.4, 0.6], [0.45, 0.3]]}
    outside = replace(rays, card={"name": "rays", "pixel sizes": points})
    with pytest.warns(UserWarning, match=r"0\.5 um/px is outside the range of rays, 0\.2 to 0\.41 um/px"):
        found = cells_of(slide, outside, tmp_path / "a")
    assert by_id(found) == by_id(whole(slide, rays))
    inside = replace(rays, card={"pixel sizes": {"aji": [[0.2, 0.6], [0.5, 0.6]]}})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(cells_of(slide, inside, tmp_path / "b")) == len(found)


def test_stains_are_estimated_once_for_all_parts(slide, rays, tmp_path, monkeypatch):
    asked = []
    measure = stain.Macenko.measure
    monkeypatch.setattr(stain.Macenko, "measure", lambda self, im: asked.append(len(im)) or measure(self, im))
    normalizing = replace(rays, normalizer=stain.Macenko.default())
    one, many = (cells_of(slide, normalizing, tmp_path / str(px), px) for px in (4096, 256))
    assert len(asked) == 2
    assert min(asked) > 3
    assert by_id(one) == by_id(many)


def test_a_nucleus_larger_than_the_halo_is_named(regions, tmp_path):
    image = np.full((1200, 1200, 3), 244, np.uint8)
    image[100:1100, 100:1100] = 215, 180, 215
    image[300:900, 560:640] = 90, 60, 140  # 300 um long
    write_image(tmp_path / "a.tif", image, mpp=0.5)
    with Store.hold(tmp_path / "out", {}) as store:
        found = predict_slide(open_slide(tmp_path / "a.tif"), regions, store, part_px=300)
    assert found.problems
    assert all("larger than the halo of 64 um" in problem["error"] for problem in found.problems)
    with Store.hold(tmp_path / "whole", {}) as store:
        assert not predict_slide(open_slide(tmp_path / "a.tif"), regions, store).problems


def test_parts_go_round_the_devices_and_give_the_same(slide, detector, whole, tmp_path, monkeypatch):
    seen = []
    gather = part_module.gather
    monkeypatch.setattr(
        part_module, "gather", lambda *a: seen.append((a[0].part.name, id(a[1].network))) or gather(*a)
    )
    with Store.hold(tmp_path, {}) as store:
        found = predict_slide(slide, detector, store, part_px=200, devices=("cpu", "cpu", "cpu"))
        tables = [store.read(name) for name in found.parts]
    assert by_id(pa.concat_tables(tables)) == by_id(whole(slide, detector))
    networks = dict(seen)
    assert len(set(networks.values())) == 3
    for k, name in enumerate(found.parts):
        assert networks[name] == networks[found.parts[k % 3]]
