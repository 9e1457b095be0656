"""The lab's own table: what belongs together, and groups of patients compared."""

import math

import pytest

from histoscope.errors import DataError, UnknownNameError
from histoscope.files import write_text
from histoscope.jobs.naming import COHORT
from histoscope.metrics import compare_groups, holm
from histoscope.predict.slides.cohort_table import write_cohort
from histoscope.report.cohort import write_cohort_report
from histoscope.report.cohort.clinical import join
from histoscope.report.cohort.groups import compare_densities
from histoscope.report.cohort.results import read_cohort


def lab(tmp_path, text):
    write_text(tmp_path / "lab.csv", text)
    return tmp_path / "lab.csv"


def test_slides_belong_to_the_patient_that_their_name_begins_with(out, patients):
    joined = join(read_cohort(out), patients, "patient")
    assert (len(joined.slides), joined.n_rows, joined.key) == (24, 14, "patient")
    assert joined.without_slide == ("P77",)
    assert joined.without_row == ()
    assert joined.only_failed == ("Q1",)


def test_the_patient_is_the_unit_and_holm_corrects(out, patients):
    cohort = read_cohort(out)
    joined = join(cohort, patients, "patient")
    found = compare_densities(cohort, joined, "arm")
    assert [(one.column, one.first, one.second) for one in found] == [
        (name, "drug", "none") for name in ("nuclei_per_mm2", "per_mm2_a", "per_mm2_b")
    ]
    assert [one.verdict for one in found] == ["differs", "differs", "no difference shown"]
    assert [one.found.n_a for one in found] == [6, 6, 6]  # patients, not slides
    assert [one.p_holm for one in found] == pytest.approx(holm([one.found.p for one in found]))
    slides = cohort.done.assign(patient=cohort.done["image"].str[:3]).groupby("patient")
    pooled = slides["n_a"].sum() / slides["tissue_mm2"].sum()
    assert found[1].found == compare_groups(pooled.iloc[::2], pooled.iloc[1::2], limits=(0.0, math.inf))


def test_the_page_says_it(out, patients):
    page, found = write_cohort_report(out, clinical=patients, group="arm")
    html = page.read_text(encoding="utf-8")
    assert "a per mm² is higher in drug than in none (difference +" in html
    assert "No other difference is shown." in html
    assert "Do the slides differ in other ways?" in html
    assert "1 row without a slide: P77." in html
    assert found["rows_without_slide"] == ["P77"]
    assert found["comparisons"][1]["verdict"] == "differs"
    without, _ = write_cohort_report(out, clinical=patients)
    assert "Use <code>--group</code> to compare them, by arm." in without.read_text(encoding="utf-8")


def test_patients_without_tissue_are_named_and_left_out(rows, patients, tmp_path):
    bare = [row if row["image"][:3] != "P05" else row | {"tissue_mm2": 0.0, "nuclei": 0} for row in rows]
    write_cohort(tmp_path / COHORT, bare, {})
    cohort = read_cohort(tmp_path)
    joined = join(cohort, patients, "patient")
    assert joined.without_tissue == ("P05",)
    assert compare_densities(cohort, joined, "arm")[0].found.n_b == 5
    html = write_cohort_report(tmp_path, clinical=patients)[0].read_text(encoding="utf-8")
    assert "1 patient without tissue, left out of densities: P05." in html
    assert "P05-0, P05-1" in html  # the slides, too


def test_few_patients_cannot_show_anything(out, patients, tmp_path):
    few = lab(tmp_path, "patient,arm\nP00,drug\nP01,none\nP02,drug\nP03,none\n")
    cohort = read_cohort(out)
    assert {one.verdict for one in compare_densities(cohort, join(cohort, few, "patient"), "arm")} == {
        "too few patients to say"
    }


def test_a_row_a_slide_by_name_or_file(out, tmp_path):
    cohort = read_cohort(out)
    by_file = lab(tmp_path, "slide,case\nP00-0.svs,1\nP00-1,1\nP01-0.svs,2\nzz.svs,3\n")
    joined = join(cohort, by_file, "case")
    assert sorted(joined.slides["image"]) == ["P00-0", "P00-1", "P01-0"]
    assert joined.slides["lab.case"].tolist() == ["1", "1", "2"]
    assert joined.without_slide == ("zz.svs",)
    assert len(joined.without_row) == len(cohort.table) - 3


@pytest.mark.parametrize(
    ("text", "by", "error", "message"),
    [
        ("patient,arm\nX1,a\n", "patient", DataError, "no row of .* belongs to a slide"),
        ("patient,arm\nP00,a\n", "case", UnknownNameError, "case"),
        ("patient,arm\nP00,a\n,b\n", "patient", DataError, "patient is empty in 1 of 2 rows"),
        ("patient,arm\nP00,a\nP00,b\n", "patient", DataError, "'P00' is in several rows"),
        (
            "patient,arm\nP00,a\nP00-1,b\n",
            "patient",
            DataError,
            "slide P00-1 could be of patient P00 or P00-1",
        ),
        ("slide,patient\nP00-0,1\nP00-0.svs,1\n", "patient", DataError, "slide P00-0 has two rows"),
        ("patient;arm\nP00;a\n", "patient", DataError, "separate columns with commas"),
    ],
)
def test_tables_that_leave_something_open_are_refused(out, tmp_path, text, by, error, message):
    with pytest.raises(error, match=message):
        join(read_cohort(out), lab(tmp_path, text), by)


@pytest.mark.parametrize(
    ("column", "error", "message"),
    [
        ("stage", UnknownNameError, "stage"),
        ("age", DataError, "age has 12 different values .* expected 2 to 6 groups; bin it into groups"),
        ("patient", DataError, "12 different values"),
    ],
)
def test_columns_that_are_no_groups_are_refused(out, patients, column, error, message):
    cohort = read_cohort(out)
    with pytest.raises(error, match=message):
        join(cohort, patients, "patient").groups(column)


def test_a_patient_in_two_groups_is_refused_and_an_empty_group_left_out(out, tmp_path):
    cohort = read_cohort(out)
    two = lab(tmp_path, "slide,patient,arm\nP00-0,1,a\nP00-1,1,b\nP01-0,2,a\n")
    with pytest.raises(DataError, match="patient 1 has 2 values of arm: a, b; expected one"):
        join(cohort, two, "patient").groups("arm")
    empty = lab(tmp_path, "patient,arm\nP00,a\nP01,b\nP02,\n")
    assert join(cohort, empty, "patient").groups("arm")["patient"].tolist() == ["P00", "P01"]


def test_slides_of_one_file_name_need_their_folder(rows, tmp_path):
    twice = [{**rows[0], "image": f"{folder}/one", "slide": "one.svs"} for folder in "ab"]
    write_cohort(tmp_path / COHORT, twice, {})
    cohort = read_cohort(tmp_path)
    with pytest.raises(DataError, match=r"'one.svs' is the name of 2 slides \(a/one, b/one\)"):
        join(cohort, lab(tmp_path, "slide,patient\none.svs,1\n"), "patient")
    joined = join(cohort, lab(tmp_path, "image,patient\na/one,1\nb/one,2\n"), "patient")
    assert joined.slides["lab.patient"].tolist() == ["1", "2"]
    by_folder = join(cohort, lab(tmp_path, "patient\na\nb\n"), "patient")
    assert by_folder.slides["lab.patient"].tolist() == ["a", "b"]
