import math
import re

import numpy as np
import pandas as pd
import pytest

from histoscope import metrics
from histoscope.errors import ConfigError, DataError, UnknownNameError
from histoscope.metrics import METRICS, overlap, per_image, pooled

COUNTS = ["n_true", "n_pred", "tp", "fp", "fn", "sum_iou", "pixels_tp", "pixels_fp", "pixels_fn", "pixels_tn"]


def test_every_score_has_a_datasheet_and_equals_its_function(nuclei):
    true, pred = nuclei(0, side=6)
    row = per_image(true, pred)
    assert list(row) == [*METRICS, *COUNTS]
    for name, sheet in METRICS.items():
        assert row[name] == pytest.approx(sheet.function(true, pred), abs=0)
        assert row[name] == pytest.approx(sheet.function(overlap(true, pred)), abs=0)
        assert sheet.range[0] <= row[name] <= sheet.range[1]
        assert sheet.higher_is_better
        assert not sheet.doi or sheet.doi.startswith("10.")
    assert len({sheet.label for sheet in METRICS.values()}) == len(METRICS)


def test_counts_are_consistent(nuclei):
    true, pred = nuclei(3)
    row = per_image(true, pred)
    assert row["n_true"] == row["tp"] + row["fn"] == len(np.unique(true)) - 1
    assert row["n_pred"] == row["tp"] + row["fp"] == len(np.unique(pred)) - 1
    assert sum(row[name] for name in COUNTS if name.startswith("pixels_")) == true.size
    assert row["ap_50"] >= row["ap_75"]
    assert row["aji_plus"] <= row["dice"]


def test_perfect_and_empty(nuclei):
    true, _ = nuclei(0, side=4)
    empty = np.zeros_like(true)
    assert {per_image(true, true)[name] for name in METRICS} == {1.0}
    nothing = per_image(empty, empty)
    assert nothing["pixel_accuracy"] == 1.0
    assert all(math.isnan(nothing[name]) for name in METRICS if name != "pixel_accuracy")
    assert [nothing[name] for name in COUNTS] == [0] * 9 + [true.size]


def test_pooled_is_the_score_of_one_large_image(nuclei):
    parts = [nuclei(seed, side=4) for seed in range(3)]
    whole = [
        np.concatenate([labels + 1000 * k * (labels > 0) for k, labels in enumerate(maps)])
        for maps in zip(*parts, strict=True)
    ]
    expected = per_image(*whole)
    got = pooled(pd.DataFrame([per_image(*part) for part in parts]))
    assert got == pytest.approx({name: expected[name] for name in got})
    assert "aji" not in got


def test_pooled_needs_counts():
    with pytest.raises(DataError, match="lacks the counts pixels_tp"):
        pooled(pd.DataFrame({"tp": [1]}))


def test_pooled_of_nothing_is_undefined(nuclei):
    table = pd.DataFrame([per_image(*nuclei(0, side=2))])
    assert all(math.isnan(score) for score in pooled(table.iloc[:0]).values())


@pytest.mark.parametrize("name", METRICS)
def test_each_score_is_a_function_of_two_maps(name, nuclei):
    true, pred = nuclei(3)
    function, expected = getattr(metrics, name), per_image(true, pred)[name]
    for score in (function, METRICS[name]):
        assert score(true, pred) == score(overlap(true, pred)) == pytest.approx(expected, nan_ok=True)
    assert METRICS[name].function is function
    assert METRICS[name].doi
    assert f"doi:{METRICS[name].doi}" in function.__doc__
    assert f">>> {function.__name__}(" in function.__doc__


def test_f1_and_ap_take_a_threshold():
    true, pred = np.array([[1, 1, 1, 0, 2]]), np.array([[4, 4, 0, 0, 0]])
    assert metrics.f1(true, pred) == pytest.approx(2 / 3)
    assert metrics.f1(true, pred, iou_threshold=0.7) == metrics.ap(true, pred, iou_threshold=0.7) == 0.0
    with pytest.raises(ConfigError, match="IoU threshold is 1"):
        metrics.f1(true, pred, iou_threshold=1.0)


def test_unknown_metrics_are_told_the_nearest():
    assert metrics.get("pq") is METRICS["pq"]
    with pytest.raises(UnknownNameError, match="did you mean 'aji_plus'"):
        metrics.get("aji_plu")


def test_the_page_says_what_is_true(root):
    """Run the examples of docs/metrics.md, check the values beside them, and that it names every score."""
    page = (root / "docs" / "metrics.md").read_text(encoding="utf-8")
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "docs/metrics.md", "exec"), names)
        for expression, value in re.findall(r"^((?!print)\S.*?) +# (0\.\d+)", block, re.MULTILINE):
            assert eval(expression, names) == pytest.approx(float(value), abs=5e-4), expression
        for expression, printed in re.findall(r"^print\((.*)\) +# (.*)$", block, re.MULTILINE):
            assert str(eval(expression, names)) == printed
    assert names["found"].n == 3
    assert [name for name in METRICS if f"`{name}`" not in page] == []
    assert [sheet.doi for sheet in METRICS.values() if sheet.doi not in page] == []
