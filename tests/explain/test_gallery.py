import re

import numpy as np
import pandas as pd
import pytest

from histoscope.errors import DataError
from histoscope.explain import Example, mistakes, page, patches_by_confidence, sheet
from histoscope.explain.gallery import caption


@pytest.fixture
def table():
    p = np.array([0.9, 0.8, 0.1, 0.45, 0.7, 0.2, 0.99])
    return pd.DataFrame(
        {
            "name": list("abcdefg"),
            "group": list("1122334"),
            "true": [1, 1, 1, 0, 0, 0, -1],  # wrong: a and b (one group), d, f; g is not known
            "p_benign": p,
            "p_tumour": 1 - p,
        }
    )


def shown(name="x", true="tumour", predicted="benign"):
    picture = np.full((20, 20, 3), 90, np.uint8)
    return Example(name, picture, picture, true, predicted, 0.876)


def test_the_surest_mistakes_come_first_one_of_each_group(table):
    found = mistakes(table)
    assert found["name"].tolist() == ["a", "f", "d"]
    assert found["probability"].tolist() == pytest.approx([0.9, 0.8, 0.55])
    assert found["predicted_class"].tolist() == ["benign", "tumour", "tumour"]
    assert found["true_class"].tolist() == ["tumour", "benign", "benign"]
    assert mistakes(table, per_group=2)["name"].tolist() == ["a", "b", "f", "d"]
    assert mistakes(table, 1)["name"].tolist() == ["a"]
    assert mistakes(table[table["name"] == "c"]).empty


def test_the_surest_and_the_least_sure(table):
    assert patches_by_confidence(table, 2)["name"].tolist() == ["a", "c"]
    assert patches_by_confidence(table, 2, surest_first=False)["name"].tolist() == ["d", "e"]


def test_captions():
    assert caption(shown()) == "predicted benign (0.88), true tumour"
    assert caption(shown(true="benign")) == "benign (0.88), correct"
    assert caption(shown(true="")) == "benign (0.88)"


def test_a_sheet_holds_every_picture():
    one = sheet([shown()], cell_px=56)
    many = sheet([shown(f"a very long name of a patch, number {k}") for k in range(4)], columns=3, cell_px=56)
    assert many.shape[0] > 1.8 * one.shape[0]
    assert many.shape[1] > 2.5 * one.shape[1]
    assert (many == 90).all(axis=2).sum() >= 4 * 2 * 50 * 50
    with pytest.raises(DataError, match="no patches"):
        sheet([])


def test_a_page_stands_alone_and_escapes_names():
    text = page([shown("<script>", true="a & b")], title="a < b", method="Grad-CAM")
    assert text.count("data:image/jpeg;base64,") == 2
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "a &amp; b" in text
    assert not re.search(r"(src|href)=\"http", text)
    assert "No such patches" in page([], title="t", method="")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_readable_on_every_screen(in_browser, tmp_path, scheme):
    long = "a_class_with_a_name_that_is_longer_than_a_telephone_is_wide"
    text = page([shown(true=long), shown("n" * 90, true="benign")], title=f"Of {long}", method="Grad-CAM")
    (tmp_path / "patches.html").write_text(text, encoding="utf-8")
    in_browser(tmp_path / "patches.html", scheme)
