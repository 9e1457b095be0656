"""The page of a cohort: what it says of slides that ran, failed, wait, and are far from the others."""

import re

import numpy as np
import pandas as pd
import pytest

from histoscope.errors import CorruptDataError, DatasetNotFoundError
from histoscope.files import write_text
from histoscope.jobs.naming import COHORT
from histoscope.predict.slides.cohort_table import write_cohort
from histoscope.report.cohort import write_cohort_report
from histoscope.report.cohort.outliers import distances, outliers, thumbnail
from histoscope.report.cohort.results import read_cohort


def text_of(page):
    """Words of a page, without tags and pictures."""
    html = page.read_text(encoding="utf-8")
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL).split())


def test_the_page_says_what_ran_and_what_failed(out):
    page, found = write_cohort_report(out, planned=["P00-0", "later"])
    text = text_of(page)
    assert "24 slides done, 2 failed, 1 not done yet." in text
    assert found["waiting"] == ["later"]
    assert "open 2 cut off after 7 bytes; copy it again P00-x, Q1-x" in text  # once, for they failed alike
    assert "nuclei-free" in text
    assert "Reading and network 3 min" in text.replace("  ", " ")
    html = page.read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=\"(?!data:|#)", html), "the page asks for another file"


def test_outliers_are_shown_where_they_are_farthest(out):
    _, found = write_cohort_report(out)
    assert {(one["image"], one["column"]) for one in found["outliers"]} == {
        ("P01-1", "haematoxylin_od"),
        ("P04-0", "focus"),
    }
    assert all(one["distance"] < -3.5 for one in found["outliers"])
    text = text_of(out / "cohort.html")
    assert "low haematoxylin (optical density): 0.2" in text
    assert "no picture" in text  # of the one whose picture is broken


def test_a_thumbnail_is_the_left_half(out):
    picture = thumbnail(out, "P01-1")
    assert picture.shape == (200, 200, 3)
    assert picture.min() > 100  # nothing of the right half
    assert thumbnail(out, "P04-0") is None
    assert thumbnail(out, "never") is None


def test_few_or_equal_slides_have_no_outliers(rows, tmp_path):
    write_cohort(tmp_path / COHORT, rows[:9], {})
    assert outliers(read_cohort(tmp_path)) == []
    same = pd.Series([1.0] * 10)
    assert np.array_equal(distances(same), np.zeros(10))
    assert np.isnan(distances(pd.Series([0.0, 0.0]))).all()


@pytest.mark.parametrize("kept", [0, 1])
def test_a_cohort_without_finished_slides_has_a_page(rows, tmp_path, kept):
    failed = [row for row in rows if row["error"]]
    write_cohort(tmp_path / COHORT, failed[: kept + 1], {})
    page, found = write_cohort_report(tmp_path)
    assert (found["done"], len(found["failed"])) == (0, kept + 1)
    assert "No slide is done." in text_of(page)


def test_classified_tiles_are_compared_by_shares(tmp_path):
    rows = [
        {"image": f"s{k}", "slide": f"s{k}.svs", "tissue_mm2": 3.0, "tiles": 9, "error": ""}
        | {"mm2_fat": 1.0 + k, "share_fat": 0.5, "mm2_stroma": 1.0, "share_stroma": 0.5, "problems": 0}
        for k in range(3)
    ]
    write_cohort(tmp_path / COHORT, rows, {})
    cohort = read_cohort(tmp_path)
    assert [one.name for one in cohort.measures] == ["share_fat", "share_stroma"]
    assert cohort.table["seen_mm2"].tolist() == [2.0, 3.0, 4.0]
    assert "27 tiles in 9 mm²" in text_of(write_cohort_report(tmp_path)[0])


def test_words_of_slides_are_no_html(rows, tmp_path):
    bad = {"image": "<b>x</b>", "slide": "<b>x</b>", "stage": "open", "error": "<script>"}
    write_cohort(tmp_path / COHORT, [*rows, bad], {})
    html = write_cohort_report(tmp_path)[0].read_text(encoding="utf-8")
    assert "<script>" not in html
    assert "<b>x</b>" not in html


def test_what_is_no_cohort_is_refused(tmp_path):
    with pytest.raises(
        DatasetNotFoundError, match=r"no cohort\.parquet in .*histoscope predict MODEL SLIDES"
    ):
        read_cohort(tmp_path)
    write_text(tmp_path / COHORT, "no table")
    with pytest.raises(CorruptDataError, match="is not a cohort table"):
        read_cohort(tmp_path)
