"""Each image has its own files, on every disk."""

import unicodedata
from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histoscope.errors import ConfigError
from histoscope.jobs.naming import ENDINGS, JOURNAL, PREDICTIONS, SUMMARY, files_of, unique_names


def names(*paths, kept=None):
    return unique_names([PurePath(path) for path in paths], kept)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a.png", "b/c.v2.tif"], ["a", "b/c.v2"]),
        (["slide.tif", "slide.png", "slide.tif.png"], ["slide.tif", "slide.png", "slide.tif.png"]),
        (["a.png", "a_overlay.png"], ["a", "a_overlay"]),
        (["summary.png", "predictions.tif"], ["summary.png", "predictions.tif"]),
        (["sub/summary.png"], ["sub/summary"]),
        (["a.png", "a.csv/b.png"], ["a.png", "a.csv/b"]),  # a.csv is a folder
        (["tissue 1 'x'.png", "größe😀.png"], ["tissue 1 'x'", "größe😀"]),
    ],
)
def test_names(paths, expected):
    assert names(*paths) == expected


def test_one_letter_in_two_ways_is_told_apart_where_disks_do_not():
    upper, lower, *both = names("A.png", "a.png", "b/é.png", unicodedata.normalize("NFD", "b/é.png"))
    assert upper.startswith("A.png-")
    assert lower.startswith("a.png-")
    assert len({name[-6:] for name in both}) == 2


def test_names_that_cannot_be_written_everywhere_are_made_plain():
    line, tab, bytes_ = names("two\nlines.png", "two\tlines.png", "a\udcff.png")
    assert line.startswith("two_lines-")
    assert tab.startswith("two_lines-")
    assert line != tab
    bytes_.encode()
    first, second = names("x" * 250 + "1.png", "x" * 250 + "2.png")
    assert first != second
    assert all(len(file.encode()) < 230 for file in files_of(first))
    (wide,) = names("é" * 125 + ".png")
    assert len(wide.encode()) < 230


def test_names_of_earlier_calls_stay():
    assert names("slide.png", "slide.tif", kept={0: "slide"}) == ["slide", "slide.tif"]
    with pytest.raises(ConfigError, match="no free names can be found"):
        names("a.png", "b.png", kept={0: "a", 1: "a"})


parts = st.sampled_from(
    ["a", "A", "a.png", "a.tif", "a_overlay", "a_labels", "summary", "a.csv", "é", "e\u0301"]
)


@given(
    st.lists(
        st.tuples(st.lists(parts, max_size=2), parts, st.sampled_from([".png", ".tif", ""])), max_size=12
    )
)
def test_no_two_images_share_a_file(images):
    paths = list(dict.fromkeys(PurePath(*folders, stem + suffix) for folders, stem, suffix in images))
    found = unique_names(paths)
    files = [file for name in found for file in files_of(name)]
    plain = {unicodedata.normalize("NFC", unicodedata.normalize("NFC", file).casefold()) for file in files}
    assert len(plain) == len(files) == len(paths) * len(ENDINGS)
    folders = {parent.as_posix().casefold() for name in found for parent in PurePath(name).parents}
    assert not plain & {JOURNAL, SUMMARY, PREDICTIONS}
    assert not plain & folders
