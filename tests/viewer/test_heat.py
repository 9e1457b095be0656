"""Heat maps: each tile on its place with its probability, and not flat in a browser."""

import numpy as np
import pytest

from histoscope.errors import ConfigError, CorruptDataError
from histoscope.viewer.heat import Heat
from histoscope.viewer.library import Library
from histoscope.viewer.shelf import Shelf


def test_each_tile_is_on_its_place_with_its_probability(tmp_path, tiles):
    heat = Heat.of(tiles(tmp_path / "out"), 1)
    assert heat.value.shape == (8, 8)
    assert heat.step == pytest.approx((64.13, 64.13))
    assert (heat.value[:, 2] == 0).all()  # no tile there
    assert heat.value[3].tolist() == [1, 37, 0, 110, 146, 182, 219, 255]
    other = Heat.of(tmp_path / "out" / "tiles.parquet", 2).value
    assert other[3].tolist() == [255, 219, 0, 146, 110, 74, 37, 1]


def test_classes_that_are_not_there_are_refused(tmp_path, tiles):
    path = tiles(tmp_path / "out")
    with pytest.raises(ConfigError, match="expected 1 to 2"):
        Heat.of(path, 3)
    path.write_bytes(b"no table")
    with pytest.raises(CorruptDataError):
        Heat.of(path, 1)


def test_nuclei_have_no_heat_map(shown):
    library = Library([shown]).search()
    found = next(one for item in library.items.values() for one in item.results if one.n == 300)
    with pytest.raises(ConfigError, match="heat maps are of tiles"):
        Shelf(library).heat(found, 1)


def test_a_single_tile_and_none_are_pictures():
    assert Heat.on_grid(np.array([[0.0, 0, 9, 9]]), np.array([0.5])).value.tolist() == [[128]]
    with pytest.raises(ConfigError, match="too large"):
        Heat.on_grid(np.array([[0.0, 0, 1, 1], [1e4, 1e4, 10_001, 10_001]]), np.array([0.5, 0.5]))
