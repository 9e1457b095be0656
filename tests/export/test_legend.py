"""Legends: every class has a place inside of the picture, and a scale runs from blue to red."""

import itertools

from PIL import ImageFont

from histoscope.export.legend import _rows, legend, ramp, scale

FONT = ImageFont.load_default(size=12)


def test_a_legend_wider_than_the_picture_takes_more_rows():
    words = [f"a long name of class {k}" for k in range(9)]
    places = _rows(words, FONT, 12, 400)
    rows = [row for row, _ in places]
    assert rows == sorted(rows)
    assert rows[0] == 0
    assert rows[-1] > 1
    for (_, x), word in zip(places, words, strict=True):
        assert x + 1.4 * 12 + FONT.getlength(word) <= 400 + 1
    for row in set(rows):  # words of one row do not lie on each other
        own = [(x, word) for (r, x), word in zip(places, words, strict=True) if r == row]
        for (x, word), (after, _) in itertools.pairwise(own):
            assert x + 1.4 * 12 + FONT.getlength(word) < after


def test_a_short_legend_takes_one_row():
    assert {row for row, _ in _rows(["a", "b", "c"], FONT, 12, 400)} == {0}


def test_a_word_wider_than_the_picture_has_a_row_of_its_own():
    places = _rows(["a name that is much too long for so small a picture", "b"], FONT, 12, 60)
    assert [row for row, _ in places] == [0, 1]


def test_swatches_have_the_colours_that_were_given():
    seen = {tuple(pixel) for pixel in legend(400, ["a", "b"], [(255, 255, 0), (0, 51, 204)]).reshape(-1, 3)}
    assert {(255, 255, 0), (0, 51, 204), (255, 255, 255)} <= seen


def test_the_scale_runs_from_the_first_colour_of_the_ramp_to_the_last():
    seen = {tuple(pixel) for pixel in scale(400, "probability of a").reshape(-1, 3)}
    assert {tuple(int(v) for v in ramp()[end]) for end in (0, -1)} <= seen
