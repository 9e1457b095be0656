"""The report: words that claim no more than the numbers, right numbers, nothing left out in silence."""

import dataclasses
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from histoscope.errors import CorruptDataError, DatasetNotFoundError, FormatVersionError
from histoscope.metrics import compare, holm, interval
from histoscope.report import glossary, learned, methods
from histoscope.report.effects import effects, stacked
from histoscope.report.results import read_study
from histoscope.report.summary import (
    Difference,
    Verdict,
    because,
    factor_noun,
    fewest_patients,
    judge,
    level_label,
    overall,
    sentence,
    signed,
)
from histoscope.report.write import write_report
from histoscope.studies.factors import FACTORS
from histoscope.train import TrainConfig

NAN = float("nan")


def stack(folder: Path, level: str, condition: str = "test") -> pd.DataFrame:
    """Stack the seeds of a level."""
    tables = [
        pd.read_csv(path).assign(seed=int(path.parent.name[-1]))
        for path in sorted(folder.glob(f"{level}-*/per_image.csv"))
    ]
    table = pd.concat(tables, ignore_index=True)
    return table[table["condition"] == condition].drop(columns="condition")


def text_of(page: Path) -> str:
    """Words of a page as a person reads them."""

    class Words(HTMLParser):
        words: list[str] = []  # noqa: RUF012
        hidden = 0

        def handle_starttag(self, tag, attrs):
            self.hidden += tag in {"style", "script"}

        def handle_endtag(self, tag):
            self.hidden -= tag in {"style", "script"}

        def handle_data(self, data):
            if not self.hidden:
                self.words.append(data)

    parser = Words()
    parser.words = []
    parser.feed(page.read_text(encoding="utf-8"))
    return re.sub(r"\s+", " ", " ".join(parser.words))


@pytest.fixture
def _without_figures(monkeypatch):
    """Leave figures out, which have tests of their own and take most of the time."""
    monkeypatch.setattr("histoscope.report.write.figures.forest", lambda *_, **__: "<svg/>")
    monkeypatch.setattr("histoscope.report.write.figures.learning_curves", lambda *_, **__: "")


plain = pytest.mark.usefixtures("_without_figures")


# -- words -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "better", "verdict"),
    [
        (Difference(0.03, 0.01, 0.05, 0.004, 14), True, Verdict.HELPS),
        (Difference(-0.03, -0.05, -0.01, 0.004, 14), True, Verdict.HARMS),
        (Difference(0.03, 0.01, 0.05, 0.004, 14), False, Verdict.HARMS),
        (Difference(-0.03, -0.05, -0.01, 0.004, 14), False, Verdict.HELPS),
        (Difference(0.012, -0.004, 0.029, 0.18, 14), True, Verdict.NO_DIFFERENCE),
        (Difference(0.03, 0.01, 0.05, 0.06, 14), True, Verdict.NO_DIFFERENCE),  # interval alone
        (Difference(0.03, -0.01, 0.07, 0.01, 14), True, Verdict.NO_DIFFERENCE),  # test alone
        (Difference(0.0, 0.0, 0.0, 1.0, 14), True, Verdict.NO_DIFFERENCE),
        (Difference(0.03, 0.01, 0.05, 0.004, 14, seeds=3, agreeing=2), True, Verdict.NO_DIFFERENCE),
        (Difference(0.03, 0.01, 0.05, 0.004, 14, seeds=3, agreeing=3), True, Verdict.HELPS),
        (Difference(0.3, 0.2, 0.4, 0.01, 5), True, Verdict.TOO_FEW),
        (Difference(0.3, NAN, NAN, NAN, 1), True, Verdict.TOO_FEW),
        (Difference(0.3, NAN, NAN, NAN, 20), True, Verdict.NO_DIFFERENCE),
        (Difference(NAN, NAN, NAN, NAN, 0), True, Verdict.NOT_MEASURED),
    ],
)
def test_a_verdict_needs_the_interval_and_the_test(found, better, verdict):
    assert judge(found, higher_is_better=better) is verdict


@pytest.mark.parametrize("comparisons", [1, 2, 3, 5])
def test_fewest_patients_is_where_the_best_possible_p_becomes_small_enough(comparisons):
    n = fewest_patients(comparisons)
    assert comparisons * 2.0 ** (1 - n) < 0.05 <= comparisons * 2.0 ** (2 - n)


def test_sentences_say_what_is_shown():
    found = Difference(0.012, -0.004, 0.029, 0.18, 14, seeds=3)
    assert sentence("Macenko normalisation", "AJI", found, judge(found)) == (
        "Macenko normalisation changed AJI by +0.012 (95 % interval −0.004 to +0.029, 14 patients, 3 seeds, "
        "p = 0.18): no difference is shown."
    )
    helps = Difference(0.03, 0.01, 0.05, 0.0004, 14)
    assert sentence("X", "AJI", helps, judge(helps)).endswith(
        "1 seed, p < 0.001): it helps, in the one training run compared."
    )
    split = Difference(0.03, 0.01, 0.05, 0.004, 14, seeds=3, agreeing=2)
    assert sentence("X", "AJI", split, judge(split)).endswith("as only 2 of 3 seeds point that way.")
    doubt = Difference(0.03, 0.01, 0.05, 0.06, 14, comparisons=3)
    assert "corrected for 3 comparisons, does not confirm" in sentence("X", "AJI", doubt, judge(doubt))
    few = Difference(0.03, NAN, NAN, NAN, 1, comparisons=3)
    assert sentence("X", "AJI", few, judge(few)) == (
        "X changed AJI by +0.030 (1 patient, 1 seed): too few patients to say; "
        "at least 7 are needed before any difference could be shown."
    )
    assert "not measured" in sentence("X", "AJI", Difference(NAN, NAN, NAN, NAN, 0), Verdict.NOT_MEASURED)


@pytest.mark.parametrize("factor", sorted(FACTORS))
def test_a_level_and_its_noun_read_as_one_thing(factor):
    assert len(factor_noun(factor).split()) <= 1  # "Macenko normalisation", never "Both remedy for colour"
    if "none" in FACTORS[factor].levels:
        assert re.match(r"No \w", level_label("none", factor))


def test_one_line_for_all_comparisons():
    rows = [
        ("Macenko", "U-Net", 0.03, Verdict.HELPS),
        ("Macenko", "Residual U-Net", 0.02, Verdict.HELPS),
        ("Vahadane", "U-Net", -0.04, Verdict.HARMS),
        ("Vahadane", "Residual U-Net", 0.0, Verdict.NO_DIFFERENCE),
    ]
    assert overall(rows, "AJI", "normalisation") == (
        "Macenko helps with both networks (AJI +0.030 and +0.020). Vahadane harms with U-Net (AJI −0.040). "
        "No other difference is shown."
    )
    assert overall([], "AJI", "normalisation") == "Not measured yet."
    few = [("A", "M", 0.1, Verdict.TOO_FEW)]
    assert "Too few patients" in overall(few, "AJI", "normalisation")
    assert "Too few images" in overall(few, "AJI", "normalisation", unit="image")
    nothing = [("A", "M", 0.0, Verdict.NO_DIFFERENCE), ("B", "M", 0.0, Verdict.NO_DIFFERENCE)]
    assert overall(nothing, "AJI", "normalisation") == "None of A and B is shown to change AJI."


def test_signs_are_never_lost_or_invented():
    assert [signed(v) for v in (0.5, -0.5, 0.0004, -0.0004, NAN)] == [
        "+0.500",
        "−0.500",
        "0.000",
        "0.000",
        "–",
    ]


# -- numbers ---------------------------------------------------------------------------------------------


@plain
def test_numbers_are_those_of_the_statistics(fabricate):
    folder = fabricate(noise=0.05, all_metrics=True)
    write_report(folder)
    table = pd.read_csv(folder / "results.csv").set_index(["metric", "condition", "level"])
    base = stack(folder, "none")
    found = {
        level: compare(stack(folder, level), base, "aji", rng=np.random.default_rng(0))
        for level in ("reinhard", "macenko")
    }
    corrected = dict(zip(found, holm([one.p_permutation for one in found.values()]), strict=True))
    for level, one in found.items():
        row = table.loc["aji", "test", level]
        assert (row.difference, row.diff_low, row.diff_high) == pytest.approx(
            (one.difference, one.low, one.high)
        )
        assert (row.p, row.p_wilcoxon, row.d_z) == pytest.approx((one.p_permutation, one.p_wilcoxon, one.d_z))
        assert row.p_holm == pytest.approx(corrected[level])
        assert (row.n_pairs, row.paired_seeds, row.comparisons) == (8, 2, 2)
        mean = interval(stack(folder, level), "aji", rng=np.random.default_rng(0))
        assert (row["mean"], row.low, row.high) == pytest.approx((mean.estimate, mean.low, mean.high))
    assert np.isnan(table.loc["aji", "test", "none"].difference)
    assert set(table.index.get_level_values("metric")) == {"aji", "dice", "pq", "f1_50"}


@plain
def test_known_differences_are_found_and_said(fabricate):
    page = write_report(fabricate())
    words = text_of(page)
    assert re.search(r"Macenko helps \(AJI \+0\.10\d, from 0\.6\d\d to 0\.7\d\d\)", words)
    macenko = (
        r"Macenko normalisation changed AJI by \+0\.(09|10)\d, [^:]* 8 patients, 2 seeds, p = \S+\): it helps"
    )
    assert re.search(macenko, words)
    assert re.search(r"Reinhard normalisation changed AJI by −0\.(09|10)\d, [^:]*: it harms", words)
    assert re.search(r"Reinhard normalisation changed AJI by \S+ [^:]*: no difference is shown", words)
    table = pd.read_csv(page.parent / "results.csv")
    row = table[(table.metric == "aji") & (table.level == "macenko") & (table.condition == "test")].iloc[0]
    assert row.difference == pytest.approx(0.1, abs=0.01)
    assert f"+{row.difference:.3f}" in words
    assert f"{row['mean']:.3f}" in words


@plain
def test_seeds_that_contradict_each_other_show_nothing(fabricate):
    folder = fabricate(seeds=[0, 1])
    for seed, gain in ((0, 0.3), (1, -0.05)):
        path = folder / f"reinhard-unet-seed{seed}" / "per_image.csv"
        table = pd.read_csv(path)
        table.loc[table["condition"] == "test", "aji"] += gain
        table.to_csv(path, index=False)
    words = text_of(write_report(folder))
    table = pd.read_csv(folder / "results.csv").set_index(["metric", "condition", "level"])
    row = table.loc["aji", "test", "reinhard"]
    assert (row.agreeing_seeds, row.paired_seeds) == (1, 2)
    assert row.diff_low > 0
    assert row.p_holm < 0.05
    assert row.verdict == "no difference shown"
    assert "as only 1 of 2 seeds point that way" in words
    assert table.loc["aji", "test", "macenko"].agreeing_seeds == 2


@plain
def test_only_seeds_that_both_have_are_compared(fabricate):
    folder = fabricate(seeds=[0, 1, 2])
    (folder / "macenko-unet-seed1" / "per_image.csv").unlink()
    write_report(folder)
    table = pd.read_csv(folder / "results.csv").set_index(["metric", "condition", "level"])
    row = table.loc["aji", "test", "macenko"]
    base = stack(folder, "none")
    fair = compare(stack(folder, "macenko"), base[base["seed"] != 1], "aji", rng=np.random.default_rng(0))
    assert (row.n_seeds, row.paired_seeds) == (2, 2)
    assert row.difference == pytest.approx(fair.difference)
    assert table.loc["aji", "test", "reinhard"].paired_seeds == 3


# -- studies that are not as they should be --------------------------------------------------------------


@plain
def test_missing_failed_and_half_done_runs_are_named(fabricate):
    folder = fabricate()
    shutil.rmtree(folder / "reinhard-unet-seed1")
    failed = folder / "macenko-unet-seed1"
    (failed / "per_image.csv").unlink()
    (failed / "error.txt").write_text("Traceback\n  here\nTrainingError: loss became nan <at> step 40\n")
    (folder / "none-unet-seed1" / "per_image.csv").unlink()
    words = text_of(write_report(folder))
    assert "not complete: 3 of 6 runs are finished" in words.replace(" :", ":")
    assert re.search(r"reinhard-unet-seed1 ?: not started", words)
    assert re.search(r"macenko-unet-seed1 ?: failed – TrainingError: loss became nan <at> step 40", words)
    assert re.search(r"none-unet-seed1 ?: started, not finished", words)


@plain
def test_a_run_that_died_before_its_configuration_is_named(fabricate):
    folder = fabricate()
    for path in (folder / "macenko-unet-seed0").iterdir():
        path.unlink()
    (folder / "macenko-unet-seed0" / "error.txt").write_text("MemoryError: no room")
    words = text_of(write_report(folder))
    assert re.search(r"macenko-unet-seed0 ?: failed – MemoryError: no room", words)


@plain
def test_an_unreadable_table_is_a_failed_run(fabricate):
    folder = fabricate()
    (folder / "macenko-unet-seed0" / "per_image.csv").write_text("nothing,here\n1,2\n")
    words = text_of(write_report(folder))
    assert "per_image.csv has no condition and no name" in words


def test_a_study_without_any_result_still_has_a_report(fabricate):
    folder = fabricate()
    for path in folder.glob("*-seed*"):
        shutil.rmtree(path)
    page = write_report(folder)
    words = text_of(page)
    assert "0 of 6 runs are finished" in words
    assert "Not measured yet." in words
    assert "not complete" in (folder / "report.md").read_text()


@plain
def test_one_seed_has_no_spread(fabricate):
    folder = fabricate(seeds=[3])
    words = text_of(write_report(folder))
    assert "1 seed" in words
    assert pd.read_csv(folder / "results.csv")["seed_sd"].isna().all()


@plain
def test_one_patient_is_too_few(fabricate):
    folder = fabricate(patients=1, images_per_patient=6)
    words = text_of(write_report(folder))
    assert "too few patients to say" in words
    assert "it helps" not in words
    assert "nan" not in words.lower().split()


@plain
def test_few_patients_with_a_huge_difference_are_still_too_few(fabricate):
    words = text_of(write_report(fabricate(patients=5, gains={("macenko", "test"): 0.4})))
    assert "it helps" not in words
    assert "at least 7 are needed" in words


@plain
def test_undefined_scores_are_left_out_not_counted_as_zero(fabricate):
    folder = fabricate()
    for level in ("none", "reinhard", "macenko"):
        for path in folder.glob(f"{level}-*/per_image.csv"):
            table = pd.read_csv(path)
            table.loc[table["name"] == "image_00_0", "aji"] = np.nan
            if level == "reinhard":
                table.loc[table["condition"] == "shift_purple", "aji"] = np.nan
            table.to_csv(path, index=False)
    words = text_of(write_report(folder))
    table = pd.read_csv(folder / "results.csv").set_index(["metric", "condition", "level"])
    assert table.loc["aji", "test", "macenko"].n_images == 15
    assert table.loc["aji", "test", "macenko"].difference == pytest.approx(0.1, abs=0.01)
    assert table.loc["aji", "shift_purple", "reinhard"].verdict == "not measured"
    assert "Reinhard normalisation: not measured" in words


@plain
def test_patients_that_are_not_recorded_are_not_invented(fabricate):
    folder = fabricate()
    for path in folder.glob("*/per_image.csv"):
        pd.read_csv(path).assign(patient="").to_csv(path, index=False)
    words = text_of(write_report(folder))
    assert "16 source images" in words
    assert "Patients are not recorded for every image" in words


@plain
def test_numbers_as_names_stay_as_they_are(fabricate):
    folder = fabricate(pictures=True)
    for path in folder.rglob("image_00_0*"):
        path.rename(path.with_name(path.name.replace("image_00_0", "007")))
    for path in folder.glob("*/per_image.csv"):
        path.write_text(path.read_text().replace("image_00_0", "007"))
    words = text_of(write_report(folder))
    assert "no image or outlines" not in words.lower()


@pytest.mark.parametrize("version", [2, None, "1"])
def test_another_format_is_refused(fabricate, version):
    folder = fabricate(format=version)
    with pytest.raises(FormatVersionError, match="reads format 1"):
        write_report(folder)


def test_a_run_of_another_format_is_refused(fabricate):
    folder = fabricate()
    path = folder / "macenko-unet-seed0" / "environment.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 9}))
    with pytest.raises(FormatVersionError, match=r"environment\.json"):
        write_report(folder)


def test_a_folder_that_is_no_study_is_refused(tmp_path):
    with pytest.raises(DatasetNotFoundError, match=r"no study\.yaml"):
        write_report(tmp_path / "nowhere")
    (tmp_path / "study.yaml").write_text("format: 1\nlevels: [a]\n")
    with pytest.raises(CorruptDataError, match="has no factor"):
        write_report(tmp_path)
    (tmp_path / "study.yaml").write_text("{")
    with pytest.raises(CorruptDataError, match="not readable"):
        write_report(tmp_path)


# -- the page --------------------------------------------------------------------------------------------


@plain
def test_names_with_markup_are_text(fabricate):
    evil = "<script>alert('x')</script>|`*"
    folder = fabricate(question=f"Is {evil} safe?", levels=["none", "a<b>&c"], pictures=True)
    for path in folder.glob("*/per_image.csv"):
        path.write_text(path.read_text().replace("patient_03", '"<img src=x onerror=alert(1)>"'))
    page = write_report(folder)
    html = page.read_text(encoding="utf-8")
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert html.count("<script>") == 1
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in html
    assert "A<b>&c" in text_of(page)
    markdown = (folder / "report.md").read_text(encoding="utf-8")
    assert "<script>" not in markdown
    assert r"\|\`\*" in markdown


def test_the_page_needs_nothing_but_itself(fabricate):
    page = write_report(fabricate(pictures=True))
    html = page.read_text(encoding="utf-8")
    links = re.findall(r"""(?:src|srcset|href)=["']([^"']*)""", html)
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    assert "url(" not in html
    assert "@import" not in html


def test_pictures_and_tables_are_described(fabricate):
    html = write_report(fabricate(pictures=True)).read_text(encoding="utf-8")
    assert not [tag for tag in re.findall(r"<img[^>]*>", html) if not re.search(r'alt="[^"]{10,}"', tag)]
    assert (
        html.count('role="img"') == html.count("<title>") - 1 == 12
    )  # three images: the truth and three levels
    targets = set(re.findall(r'id="([^"]+)"', html))
    assert set(re.findall(r'href="#([^"]+)"', html)) <= targets
    assert set(re.findall(r'aria-labelledby="([^"]+)"', html)) <= targets
    assert re.search(r'<html lang="en">', html)


def test_where_a_difference_starts_and_ends_is_said_of_the_same_images(fabricate):
    folder = fabricate()
    path = folder / "macenko-unet-seed0" / "per_image.csv"
    table = pd.read_csv(path)
    table[table["name"] != "image_00_0"].to_csv(path, index=False)  # one image less
    row = next(r for r in effects(read_study(folder)) if (r.level, r.condition) == ("macenko", "test"))
    tables = {
        level: stacked(read_study(folder), "unet", "test", level, "aji") for level in ("none", "macenko")
    }
    both = (
        tables["none"]
        .merge(tables["macenko"], on=["name", "seed"])
        .groupby("name")[["aji_x", "aji_y"]]
        .mean()
    )
    assert row.before == pytest.approx(both["aji_x"].mean())
    assert row.before + row.difference == pytest.approx(both["aji_y"].mean())


def test_no_verdict_reads_like_its_opposite(fabricate):
    words = text_of(write_report(fabricate(gains={("macenko", "test"): 0.001}, noise=0.05)))
    assert "no difference shown" in words
    assert "agree" not in words


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Difference(0.1, 0.05, 0.15, 0.001, 14, seeds=2, agreeing=2), "in all 2 seeds"),
        (Difference(0.1, 0.05, 0.15, 0.001, 14), "in 1 seed"),
        (Difference(0.1, -0.05, 0.15, 0.2, 14, seeds=2, agreeing=2), "the interval includes zero"),
        (Difference(0.1, 0.05, 0.15, 0.2, 14, seeds=2, agreeing=2), "p is not below 0.05"),
        (Difference(0.1, 0.05, 0.15, 0.001, 14, seeds=2, agreeing=1), "only 1 of 2 seeds point that way"),
        (Difference(0.1, NAN, NAN, NAN, 14), "no interval"),
        (Difference(0.1, 0.05, 0.15, 0.2, 3), "6 are needed"),
        (Difference(NAN, NAN, NAN, NAN, 0), ""),
    ],
)
def test_a_verdict_says_what_it_rests_on(found, said):
    assert because(judge(found), found) == said


def test_networks_that_learned_nothing_are_named(fabricate):
    assert "Nothing was learned" not in text_of(write_report(fabricate()))


def test_scores_near_zero_are_no_comparison(fabricate):
    folder = fabricate()
    for path in folder.glob("*/per_image.csv"):
        table = pd.read_csv(path)
        table["aji"] = 0.012
        table.to_csv(path, index=False)
    words = text_of(write_report(folder))
    assert "Nothing was learned under No normalisation" in words
    assert "nothing can be compared" in words


def test_a_poor_score_and_a_loss_that_does_not_fall_are_nothing_learned(fabricate):
    folder = fabricate()
    for path in folder.glob("macenko*/per_image.csv"):
        table = pd.read_csv(path)
        table["aji"] = 0.1
        table.to_csv(path, index=False)
    assert not learned.unlearned(read_study(folder))
    for path in folder.glob("macenko*/log.jsonl"):
        path.write_text("\n".join(json.dumps({"step": k, "loss": 0.7}) for k in range(20)))
    assert list(learned.unlearned(read_study(folder))) == [("unet", "macenko")]
    assert "comparisons with these say nothing" in learned.warning(read_study(folder))


def test_settings_are_called_what_people_call_them():
    fields = {field.name for field in dataclasses.fields(TrainConfig)} - {"seed"}
    assert fields == set(methods.TRAIN_LABELS)


def test_every_interval_has_its_number_of_patients(fabricate):
    html = write_report(fabricate(all_metrics=True)).read_text(encoding="utf-8")
    intervals = re.findall(r"<small>[^<]*\d to [^<]*\d(.*?)</small>", html)
    assert len(intervals) > 20
    assert all(re.fullmatch(r'<span class="n"> n = 8</span>', rest) for rest in intervals)


def test_no_interval_is_printed_where_there_is_none(fabricate):
    page = write_report(fabricate(patients=1))
    for words in (text_of(page), page.with_suffix(".md").read_text(encoding="utf-8")):
        assert "no interval" in words
        assert not re.search(r"\bnan\b|– to –", words)


def test_no_interval_leaves_what_a_score_can_be(fabricate):
    folder = fabricate(patients=2, gains={("macenko", "test"): 0.3}, noise=0.2)
    for row in effects(read_study(folder)):
        ends = np.array([row.low, 1 - row.high, row.diff_low + 1, 1 - row.diff_high])
        assert (ends[np.isfinite(ends)] >= 0).all(), row


def test_words_are_explained_where_they_stand(fabricate):
    html = write_report(fabricate(all_metrics=True)).read_text(encoding="utf-8")
    for word in ("AJI", "PQ", "Holm", "d_z"):
        place = glossary.anchor(word)
        assert f'href="#{place}"' in html
        assert f'<dt id="{place}">' in html


def test_markdown_shows_files_that_exist(fabricate):
    folder = fabricate(pictures=True)
    write_report(folder)
    markdown = (folder / "report.md").read_text(encoding="utf-8")
    shown = re.findall(r"\]\((report_files/[^)]+)\)", markdown)
    assert len(shown) == 3  # forest, curves and the gallery
    assert all((folder / name).is_file() for name in shown)
    tables = re.findall(r"(?:^\|.*\n)+", markdown, re.M)
    assert len(tables) == 2
    for table in tables:
        assert len({line.count("|") for line in table.strip().splitlines()}) == 1


def test_methods_are_those_of_the_baseline_and_units_those_of_the_test_part(fabricate):
    folder = fabricate(levels=["macenko", "none"])
    for run in folder.glob("macenko-*"):  # a level may learn from other images, in fewer steps
        text = (run / "config.yaml").read_text()
        (run / "config.yaml").write_text(text.replace("steps: 200", "steps: 77"))
    for path in folder.glob("*/per_image.csv"):  # an external test set has other patients, and more of them
        table = pd.read_csv(path)
        other = table[table["condition"] == "shift_purple"]
        more = other.assign(patient=other["patient"] + "b", name=other["name"] + "b")
        pd.concat([table, more]).to_csv(path, index=False)
    study = read_study(folder)
    facts = dict(fact for _, block in methods.sections(study) for fact in block)
    assert facts["Training steps"] == "200"
    assert "The test part has 8 patients." in methods.limits(study, effects(study))[0]


@plain
def test_methods_say_what_the_runs_recorded(fabricate):
    words = text_of(write_report(fabricate()))
    for fact in (
        "3 for training, 1 for validation, 16 for testing",
        "6 min in all, 60 s a run",
        "torch 2.13.0",
        "200",
    ):
        assert fact in words
    assert "no GPU, 2 cores" in words
    assert re.search(r"Licence not recorded", words)


def test_the_report_is_the_same_every_time(fabricate):
    folder = fabricate(pictures=True)
    names = ("report.html", "report.md", "results.csv")
    write_report(folder)
    first = [(folder / name).read_bytes() for name in names]
    write_report(folder)
    assert first == [(folder / name).read_bytes() for name in names]


# -- in a browser ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_readable_on_every_screen(fabricate, in_browser, scheme):
    folder = fabricate(pictures=True, models=["unet", "resunet"])
    in_browser(write_report(folder), scheme)
