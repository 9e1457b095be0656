"""One edit: what it must say, and the line that it is."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histoscope.edits import Edit
from histoscope.errors import DataError, FormatVersionError

NUCLEUS = {"nucleus": "n1", "centre_px": (1.5, 2.0)}
TRIANGLE = ((0.0, 0.0), (4.0, 0.0), (0.0, 3.0))


@given(
    author=st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable() and text.strip()),
    x=st.floats(-1e6, 1e6),
    side=st.floats(0.5, 1e4),
)
def test_a_line_gives_the_edit_back(author, x, side):
    shape = [(x, x), (x + side, x), (x, x + side)]
    one = Edit.new("draw", author, polygon_px=shape, class_name="tumour", of="d")
    assert "\n" not in one.to_line()
    assert Edit.from_line(one.to_line()) == one


def test_a_closed_outline_is_opened():
    assert Edit.new("draw", "ada", polygon_px=(*TRIANGLE, TRIANGLE[0])).polygon_px == TRIANGLE


def test_an_edit_is_later_than_what_its_author_has_seen():
    seen = "2999-12-31T23:59:59.999999Z"
    assert Edit.new("delete", "ada", **NUCLEUS, after=seen).time == "3000-01-01T00:00:00.000000Z"
    assert Edit.new("delete", "ada", **NUCLEUS, after="2020-01-01T00:00:00.000000Z").time[:4] != "2020"


def test_ids_are_random():
    assert Edit.new("delete", "ada", **NUCLEUS).id != Edit.new("delete", "ada", **NUCLEUS).id


@pytest.mark.parametrize(
    ("kind", "what", "words"),
    [
        ("merge", {}, "expected one of confirm"),
        ("delete", {"nucleus": "n1"}, "lacks the nucleus, or its centre_px"),
        ("delete", {"centre_px": (1, 2)}, "lacks the nucleus, or its centre_px"),
        ("reclassify", NUCLEUS, "lacks class_name"),
        ("undo", {}, "lacks undoes"),
        ("draw", {}, "lacks polygon_px"),
        ("confirm", {"polygon_px": TRIANGLE}, "lacks results"),
        ("draw", {"polygon_px": TRIANGLE[:2]}, "2 points, expected 3"),
        ("draw", {"polygon_px": ((0, 0), (2, 2), (2, 0), (0, 2))}, "not a simple polygon"),
        ("draw", {"polygon_px": ((0, 0), (1, 1), (2, 2))}, "no area"),
        ("draw", {"polygon_px": ((0, 0), (1, math.nan), (2, 2))}, "expected x and y"),
        ("draw", {"polygon_px": ((0, 0), (1, 1e12), (2, 2))}, "expected x and y"),
        ("confirm", {**NUCLEUS, "class_name": "a\nb"}, "on one line"),
        ("confirm", {**NUCLEUS, "class_name": "a" * 501}, "500 characters"),
    ],
)
def test_what_is_no_edit_is_refused(kind, what, words):
    with pytest.raises(DataError, match=words):
        Edit.new(kind, "ada", **what)


def test_nobody_is_no_author():
    with pytest.raises(DataError, match="no author"):
        Edit.new("delete", "  ", **NUCLEUS)


@pytest.mark.parametrize(
    "change",
    [
        {"time": "yesterday"},
        {"time": "2026-13-41T00:00:00.000000Z"},
        {"time": 5},
        {"colour": "red"},
        {"nucleus": None},
        {"nucleus": ["n1"]},
        {"polygon_px": 5},
        {"polygon_px": [[1, 2, 3]]},
        {"centre_px": "here"},
        {"id": ""},
    ],
    ids=str,
)
def test_a_line_of_something_else_is_refused(change, edit):
    said = json.loads(edit().to_line()) | change
    with pytest.raises(DataError):
        Edit.from_line(json.dumps(said))


@pytest.mark.parametrize("line", ["[]", "5", "{", "", '"a"'])
def test_a_line_that_is_no_object_is_refused(line):
    with pytest.raises(DataError):
        Edit.from_line(line)


@pytest.mark.parametrize("number", [2, None, "1"])
def test_another_format_is_refused_by_number(number, edit):
    said = json.loads(edit().to_line()) | {"format": number, "new": "key"}
    with pytest.raises(FormatVersionError, match="this version of Histoscope reads 1"):
        Edit.from_line(json.dumps(said))
