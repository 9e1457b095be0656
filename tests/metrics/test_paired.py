import io
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from histoscope.errors import ConfigError, DataError, ShapeError, UnknownNameError
from histoscope.metrics import compare, effect_size, holm, paired_permutation, wilcoxon

SCORES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=9)


def scores(rng, n_patients=8, images=3, seeds=(0, 1), shift=0.0):
    """Give one row an image and seed: patients differ most, then images, then seeds."""
    rows = [
        {
            "name": f"{patient}-{image}",
            "patient": f"p{patient}",
            "seed": seed,
            "pq": 0.5 + shift + 0.1 * math.sin(patient) + 0.02 * image + rng.normal(0, 0.02),
        }
        for patient in range(n_patients)
        for image in range(images)
        for seed in seeds
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("seed", range(4))
def test_exact_permutation_equals_scipy(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0.3, 1, 9), rng.normal(0, 1, 9)
    theirs = stats.permutation_test(
        (a, b), lambda x, y, axis: (x - y).mean(axis), permutation_type="samples", vectorized=True
    )
    assert paired_permutation(a, b, rng=rng) == pytest.approx(theirs.pvalue)


def test_drawn_permutation_is_near_the_exact_one(rng):
    a, b = rng.normal(0.5, 1, 14), np.zeros(14)
    exact = paired_permutation(a, b, rng=rng)
    drawn = paired_permutation(a, b, n=10_000, rng=rng)
    assert drawn != exact
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact / 10_000))
    assert paired_permutation(np.ones(80), np.zeros(80), n=999, rng=rng) == 1 / 1000


def test_clusters_flip_together(rng):
    a, clusters = rng.normal(0.5, 1, 30), np.repeat(np.arange(6), 5)
    sums = a.reshape(6, 5).sum(1)
    together = paired_permutation(a, np.zeros(30), clusters=clusters, rng=rng)
    assert together == paired_permutation(sums, np.zeros(6), rng=rng)
    assert together == paired_permutation(a, np.zeros(30), clusters=clusters.astype(str), rng=rng)
    assert together * 2**6 == int(together * 2**6)


@settings(max_examples=25)
@given(SCORES)
def test_tests_do_not_care_about_order_or_direction(pairs):
    a, b = np.array(pairs).T
    rng = np.random.default_rng(0)
    p = paired_permutation(a, b, rng=rng)
    assert 2 / 2 ** len(a) <= p <= 1
    assert p == paired_permutation(b, a, rng=rng) == paired_permutation(a[::-1], b[::-1], rng=rng)
    assert wilcoxon(a, b) == pytest.approx(wilcoxon(b, a))
    forth, back = effect_size(a, b), effect_size(b, a)
    assert forth.d_z == pytest.approx(-back.d_z, nan_ok=True)
    assert forth.rank_biserial == pytest.approx(-back.rank_biserial, nan_ok=True)
    assert math.isnan(forth.rank_biserial) or abs(forth.rank_biserial) <= 1


def test_permutation_p_is_uniform_where_nothing_differs(rng):
    ps = np.array([paired_permutation(rng.normal(0, 1, 8), np.zeros(8), rng=rng) for _ in range(600)])
    for level in (0.05, 0.1, 0.5):
        assert (ps <= level).mean() == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / 600))


def test_wilcoxon_equals_scipy(rng):
    a, b = rng.normal(0.4, 1, 20), rng.normal(0, 1, 20)
    assert wilcoxon(a, b) == stats.wilcoxon(a, b).pvalue
    ties = np.round(a, 1), np.round(b, 1)
    assert 0 < wilcoxon(*ties) <= 1


@pytest.mark.parametrize("n", [1, 2, 3, 8, 60])
def test_wilcoxon_says_nothing_unasked(n, rng):
    assert 0 < wilcoxon(rng.integers(0, 4, n), np.zeros(n)) <= 1


def test_effect_sizes_by_hand(rng):
    a, b = rng.normal(0.4, 1, 15), rng.normal(0, 1, 15)
    got = effect_size(a, b)
    assert got.d_z == pytest.approx(stats.ttest_rel(a, b).statistic / math.sqrt(15))
    larger, total = stats.wilcoxon(a, b, alternative="greater").statistic, 15 * 16 / 2
    assert got.rank_biserial == pytest.approx(2 * larger / total - 1)


@pytest.mark.parametrize(
    ("a", "d_z", "rank_biserial"),
    [
        ([0.0, 0.0, 0.0], math.nan, math.nan),
        ([2.0, 2.0, 2.0], math.nan, 1.0),
        ([2.0], math.nan, 1.0),
        ([], math.nan, math.nan),
        ([-1.0, 0.0, 1.0], 0.0, 0.0),
    ],
)
def test_effect_sizes_without_spread_are_undefined(a, d_z, rank_biserial):
    got = effect_size(a, np.zeros(len(a)))
    assert (got.d_z, got.rank_biserial) == pytest.approx((d_z, rank_biserial), nan_ok=True)


def test_no_difference_and_no_pairs(rng):
    assert paired_permutation([1.0, 2.0], [1.0, 2.0], rng=rng) == 1.0
    assert wilcoxon([1.0, 2.0], [1.0, 2.0]) == 1.0
    assert math.isnan(paired_permutation([], [], rng=rng))
    assert math.isnan(paired_permutation([np.nan], [1.0], rng=rng))
    assert math.isnan(wilcoxon([np.nan], [1.0]))


def test_undefined_pairs_are_left_out(rng):
    a, b = np.array([0.5, np.nan, 0.6, 0.7]), np.array([0.4, 0.3, np.nan, 0.5])
    kept = [0, 3]
    assert paired_permutation(a, b, rng=rng) == paired_permutation(a[kept], b[kept], rng=rng)
    assert paired_permutation(a, b, clusters=list("xxyy"), rng=rng) == 0.5
    assert wilcoxon(a, b) == wilcoxon(a[kept], b[kept])
    assert effect_size(a, b) == effect_size(a[kept], b[kept])


# Worked by hand: sorted p times (m, m - 1, ..., 1), made to rise, capped at 1.
@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        ([], []),
        ([0.2], [0.2]),
        ([0.01, 0.02, 0.03, 0.04], [0.04, 0.06, 0.06, 0.06]),
        ([0.04, 0.001, 0.3, 0.012], [0.08, 0.004, 0.3, 0.036]),
        ([0.5, 0.6, 0.9], [1.0, 1.0, 1.0]),
        ([0.01, math.nan, 0.04], [0.02, math.nan, 0.04]),
        ([0.02, 0.02], [0.04, 0.04]),
        ([math.nan], [math.nan]),
    ],
)
def test_holm_by_hand(p, adjusted):
    assert holm(p) == pytest.approx(adjusted, nan_ok=True)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_lies_between_nothing_and_bonferroni(p):
    adjusted = holm(p)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(np.array(p) * len(p), 1) + 1e-15).all()
    assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()


@pytest.mark.parametrize(
    ("p", "error"), [([1.2], DataError), ([-0.1, 0.5], DataError), ([[0.1]], ShapeError)]
)
def test_holm_refuses_what_is_no_list_of_p_values(p, error):
    with pytest.raises(error, match="p values"):
        holm(p)


def test_compare_by_hand(rng):
    """Pair by name and seed, average over seeds, test sums of patients: each step written out."""
    a, b = scores(rng, shift=0.01), scores(rng)
    got = compare(a, b.sample(frac=1, random_state=0), "pq", rng=rng)
    difference = (a["pq"] - b["pq"]).to_numpy().reshape(8, 3, 2).mean(2)
    by_patient = difference.mean(1)
    assert got.difference == pytest.approx(difference.mean())
    assert got.difference == pytest.approx(a["pq"].mean() - b["pq"].mean())
    assert got.p_permutation == paired_permutation(by_patient, np.zeros(8), rng=rng)
    assert got.p_wilcoxon == pytest.approx(wilcoxon(by_patient, np.zeros(8)))
    assert got.d_z == pytest.approx(effect_size(by_patient, np.zeros(8)).d_z)
    assert (got.n, got.n_images, got.n_dropped) == (8, 24, 0)
    assert got.low < got.difference < got.high


def test_more_seeds_are_not_more_patients(rng):
    """Ten copies of each run change neither p values nor interval."""
    a, b = scores(rng, seeds=(0,)), scores(rng, seeds=(0,))
    one = compare(a, b, "pq", rng=np.random.default_rng(0))

    def copies(table):
        return pd.concat([table.assign(seed=seed) for seed in range(10)])

    ten = compare(copies(a), copies(b), "pq", rng=np.random.default_rng(0))
    for name in ("difference", "low", "high", "p_permutation", "p_wilcoxon", "d_z"):
        assert getattr(ten, name) == pytest.approx(getattr(one, name))
    assert (ten.n, ten.n_images) == (one.n, one.n_images) == (8, 24)


def test_a_real_difference_is_found_and_its_sign_is_first_minus_second(rng):
    better, worse = scores(rng, shift=0.1), scores(rng)
    got = compare(better, worse, "pq", rng=rng)
    assert got.low > 0
    assert got.p_permutation == 2 / 2**8
    assert got.rank_biserial == 1.0
    assert compare(worse, better, "pq", rng=rng).high < 0
    assert str(got).startswith("+0.")


def test_different_seeds_are_averaged_on_each_side(rng):
    a, b = scores(rng, seeds=(0, 1, 2)), scores(rng, seeds=(7,))
    got = compare(a, b, "pq", rng=rng)
    assert got.difference == pytest.approx(a["pq"].mean() - b["pq"].mean())
    assert (got.n_images, got.n_dropped) == (24, 0)
    without = compare(a, b.drop(columns="seed"), "pq", rng=rng)
    assert without.difference == pytest.approx(got.difference)


def test_conditions_are_paired(rng):
    def both(table):
        return pd.concat(
            [table.assign(condition="test"), table.assign(condition="shift", pq=table["pq"] - 0.2)]
        )

    a, b = scores(rng, shift=0.01), scores(rng)
    plain, stacked = compare(a, b, "pq", rng=rng), compare(both(a), both(b), "pq", rng=rng)
    assert stacked.difference == pytest.approx(plain.difference)
    assert (stacked.n, stacked.n_images) == (8, 48)
    with pytest.raises(DataError, match="occurs more than once"):
        compare(both(a), b, "pq", rng=rng)


def test_dropped_rows_are_counted(rng):
    a, b = scores(rng, seeds=(0,)), scores(rng, seeds=(0,))
    a.loc[3, "pq"] = np.nan
    got = compare(a, b.iloc[2:], "pq", rng=rng)
    assert (got.n_images, got.n_dropped) == (21, 3)


WORDS = ["None", "NA", "nan", "macenko", "", None]


@pytest.mark.parametrize("column", ["condition", "seed"])
@pytest.mark.parametrize("words", [WORDS, ["NA"] * 6, [None] * 6, [math.nan] * 6, [0, 1, 2, 3, 4, None]])
def test_no_row_is_lost_whatever_its_condition_or_seed_is_called(words, column, rng):
    a = scores(rng, n_patients=3, images=2, seeds=(0,)).drop(columns="seed")
    a[column] = words
    for one, other in ((a, a), (reread(a), reread(a))):
        got = compare(one, other.assign(pq=other["pq"] - rng.uniform(0, 0.2, 6)), "pq", rng=rng)
        assert (got.n_images, got.n_dropped) == (6, 0)


def reread(table):
    """What pandas makes of a CSV file: None, NA and nan are gaps, 005 is 5."""
    return pd.read_csv(io.StringIO(table.to_csv(index=False)))


def test_a_table_that_lost_its_names_is_refused_beside_one_that_has_them(rng):
    a = scores(rng, n_patients=3, images=2, seeds=(0,)).assign(condition=["None"] * 3 + ["macenko"] * 3)
    for tables in ((a, reread(a)), (reread(a), a)):
        with pytest.raises(DataError, match=r"condition is empty .* 'None' in the other.*read_table"):
            compare(*tables, "pq", rng=rng)
    b = a.assign(condition="", name=[f"00{k}" for k in range(6)])
    for tables in ((b, reread(b)), (reread(b), b)):
        with pytest.raises(DataError, match=r"name '000' of one table is 0 in the other.*read_table"):
            compare(*tables, "pq", rng=rng)
    assert compare(reread(b), reread(b), "pq", rng=rng).n_images == 6
    nobody = reread(a.assign(patient="NA"))
    with pytest.raises(DataError, match=r"patient is empty in 6 of 6 rows.*read_table"):
        compare(nobody, nobody, "pq", rng=rng)


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("kind", [int, float, str, "category", "string"])
@pytest.mark.parametrize("column", ["name", "seed", "patient", "condition"])
def test_names_are_the_same_whatever_they_were_read_as(column, kind, pooled, rng):
    a = scores(rng, n_patients=3, images=2).assign(condition=1)
    a["name"], a["patient"] = (pd.factorize(a[key])[0] for key in ("name", "patient"))
    a = a.assign(tp=rng.integers(1, 9, len(a)), fp=1, fn=1, sum_iou=lambda table: 0.8 * table["tp"])
    b = a.assign(pq=a["pq"] + rng.normal(0, 0.1, len(a)), tp=rng.integers(1, 9, len(a)))
    plain = compare(a, b, "pq", pooled=pooled, rng=np.random.default_rng(0))
    other = b.assign(**{column: b[column].astype(kind)})
    assert compare(a, other, "pq", pooled=pooled, rng=np.random.default_rng(0)) == plain
    assert (plain.n_images, plain.n_dropped) == (6, 0)


@pytest.mark.parametrize("pooled", [False, True])
def test_every_row_is_used_or_counted(pooled, rng):
    a = scores(rng, n_patients=4, images=2, seeds=(0, 1)).assign(tp=3, fp=1, fn=1, sum_iou=2.4)
    b = a.assign(seed=a["seed"] + 5)  # other runs: averages of each side are compared
    column = "sum_iou" if pooled else "pq"
    one_run_gone = b.copy()
    one_run_gone.loc[0, column] = np.nan  # its image keeps the other run
    assert compare(a, one_run_gone, "pq", pooled=pooled, rng=rng).n_dropped == 1
    image_gone = one_run_gone.copy()
    image_gone.loc[1, column] = np.nan
    got = compare(a, image_gone, "pq", pooled=pooled, rng=rng)
    assert (got.n_images, got.n_dropped) == (7, 1)
    apart = compare(a, b.assign(name="x" + b["name"]), "pq", pooled=pooled, rng=rng)
    assert (apart.n_images, apart.n_dropped) == (0, 16)
    assert str(apart).endswith("[no interval], p = nan (0 patients; 16 rows left out)")


def test_an_image_is_of_one_patient(rng):
    a = scores(rng, n_patients=3, images=2, seeds=(0, 1))
    renamed = a.assign(patient="lab " + a["patient"])
    assert compare(a, renamed, "pq", rng=rng).n == 3
    moved = a.copy()
    moved.loc[moved["name"] == "0-0", "patient"] = "p1"
    with pytest.raises(DataError, match="differ in patient: 'p0' of one is 'p0' and 'p1' in the other"):
        compare(a, moved, "pq", rng=rng)
    mixed = a.copy()
    mixed.loc[0, "patient"] = "p1"
    with pytest.raises(DataError, match=r"name \['0-0'\] is of 2 different patient names"):
        compare(mixed, a.assign(seed=7).drop_duplicates("name"), "pq", rng=rng)


def test_equal_rows_in_other_words_are_still_twice_the_same(rng):
    a = scores(rng, n_patients=3, images=2, seeds=(0, 1))
    a["seed"] = ["0", 0.0] * 6
    with pytest.raises(DataError, match="occurs more than once"):
        compare(a, a, "pq", rng=rng)


def test_the_number_of_patients_stands_beside_the_difference(rng):
    a, b = scores(rng, seeds=(0,)), scores(rng, seeds=(0,))
    assert str(compare(a, b, "pq", rng=rng)).endswith(" (8 patients)")
    assert str(compare(a, b.iloc[1:], "pq", rng=rng)).endswith(" (8 patients; 1 row left out)")
    by_image = compare(a, b, "pq", cluster="name", rng=rng)
    assert (by_image.unit, by_image.basis) == ("name", "24 images")


def test_ends_of_a_difference_are_cut_where_scores_end(rng):
    a = pd.DataFrame({"name": list("ab"), "patient": list("ab"), "pq": [0.1, 0.9]})
    got = compare(a, a.assign(pq=[0.5, 0.4]), "pq", rng=rng)
    assert (got.low, got.high) == (-1, 1)


def test_the_cluster_may_be_the_image(rng):
    a, b = scores(rng), scores(rng)
    assert compare(a, b, "pq", cluster="name", rng=rng).n == 24


def test_same_generator_same_result(rng):
    a, b = scores(rng, n_patients=20), scores(rng, n_patients=20)
    first, again = (compare(a, b, "pq", rng=np.random.default_rng(5)) for _ in range(2))
    assert first == again


@pytest.mark.parametrize("rows", [0, 3])
def test_one_patient_or_none_prove_nothing(rows, rng):
    a, b = (scores(rng, seeds=(0,)).iloc[:rows] for _ in range(2))
    got = compare(a, b, "pq", rng=rng)
    assert math.isnan(got.low)
    assert math.isnan(got.d_z)
    assert got.p_permutation == pytest.approx(1.0 if rows else math.nan, nan_ok=True)


def test_equal_tables(rng):
    a = scores(rng)
    got = compare(a, a, "pq", rng=rng)
    assert (got.difference, got.p_permutation, got.p_wilcoxon) == (0, 1, 1)
    assert (got.low, got.high) == pytest.approx((0.025 ** (1 / 8) - 1, 1 - 0.025 ** (1 / 8)))
    assert math.isnan(got.d_z)


def test_bad_tables_are_named(rng):
    a = scores(rng)
    for bad, error, message in [
        (a.rename(columns={"pq": "PQ"}), UnknownNameError, "unknown metric 'pq'"),
        (a.drop(columns="patient"), UnknownNameError, "unknown column 'patient'"),
        (a.drop(columns="name"), UnknownNameError, "unknown column 'name'"),
        (a.drop(columns="seed"), DataError, "name .* occurs more than once"),
        (a.assign(patient=""), DataError, "patient is empty in 48 of 48 rows"),
    ]:
        with pytest.raises(error, match=message):
            compare(bad, a, "pq", rng=rng)
        with pytest.raises(error, match=message):
            compare(a, bad, "pq", rng=rng)


def test_bad_lists_are_named(rng):
    for function in (wilcoxon, effect_size, lambda a, b: paired_permutation(a, b, rng=rng)):
        with pytest.raises(ShapeError, match=r"\(2,\) and \(3,\)"):
            function([1, 2], [1, 2, 3])
        with pytest.raises(ShapeError, match="flat lists"):
            function([[1, 2]], [[1, 2]])
    with pytest.raises(ShapeError, match="clusters have shape"):
        paired_permutation([1, 2], [1, 2], clusters=["a"], rng=rng)
    with pytest.raises(ConfigError, match="0 resamples"):
        paired_permutation([1, 2], [1, 2], n=0, rng=rng)
