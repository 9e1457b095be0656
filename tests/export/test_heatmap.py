"""Heat maps: colours stand where the tiles are."""

import numpy as np

from histoscope.export.heatmap import draw_heatmap, draw_probability
from histoscope.export.tilemap import TileMap

PROBABILITY = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
TILES = TileMap(
    np.array([[0, 0, 50, 100], [50, 0, 100, 100]]), PROBABILITY, np.ones(2, np.float32), 0, (100, 100), 0.5
)
GREY = np.full((200, 200, 3), 200, np.uint8)


def test_the_probability_of_a_class_is_blue_where_low_and_red_where_high():
    seen = draw_probability(GREY, TILES, 1, "tumour")[:200].astype(int)
    assert (seen[:, :100, 2] > seen[:, :100, 0] + 20).all()
    assert (seen[:, 100:, 0] > seen[:, 100:, 2] + 20).all()


def test_classes_have_their_colours_and_tiles_that_were_left_out_none():
    one = TileMap(TILES.box_px[1:], PROBABILITY[1:], TILES.tissue[1:], 1, (100, 100), 0.5)
    seen = draw_heatmap(GREY, one, ["stroma", "tumour"])[:200].astype(int)
    assert (seen[:, :100] == 200).all()
    assert (seen[:, 100:, 2] > seen[:, 100:, 0]).all()  # the second colour is blue
