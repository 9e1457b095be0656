import unicodedata

import numpy as np
import pandas as pd
import pytest

from histoscope.errors import DataError
from histoscope.metrics.keys import as_text, cluster_codes, row_keys


@pytest.mark.parametrize(
    ("names", "texts"),
    [
        ([1, 2], ["1", "2"]),
        ([1.0, float("nan")], ["1", ""]),
        ([1.5, 2.0], ["1.5", "2"]),
        (["005", "NA", "None"], ["005", "NA", "None"]),
        ([np.int64(3), np.float32(3.0), True, None], ["3", "3", "True", ""]),
        ([2**53 + 1], ["9007199254740993"]),
        ([unicodedata.normalize("NFD", "Müller")], ["Müller"]),
        ([], []),
    ],
)
def test_names_become_text(names, texts):
    for series in (pd.Series(names), pd.Series(names, dtype=object)):
        if series.dtype != np.float64 or len(set(map(type, names))) == 1:
            assert as_text(series).tolist() == texts


def test_infinite_numbers_are_names_like_others():
    assert as_text(pd.Series([np.inf])).tolist() == ["inf"]


def test_keys_that_are_only_in_one_table_are_no_fault():
    a, b = (pd.DataFrame({"name": names}) for names in (["1", "x", "NA"], ["1", "y", "007"]))
    left, right = row_keys((a, b), ["name"])
    assert left["name"].tolist() == ["1", "x", "NA"]
    assert right["name"].tolist() == ["1", "y", "007"]


def test_keys_that_were_changed_on_the_way_are():
    a = pd.DataFrame({"name": ["1.0", "2"]})
    with pytest.raises(DataError, match=r"name '1.0' of one table is 1 in the other"):
        row_keys((a, pd.DataFrame({"name": [1, 2]})), ["name"])


def test_clusters_are_numbered_by_name():
    table = pd.DataFrame({"patient": ["b", 7, "a", "7", 7.0]})
    assert cluster_codes(table, "patient").tolist() == [2, 0, 1, 0, 0]
    with pytest.raises(DataError, match="empty in 1 of 6 rows"):
        cluster_codes(pd.concat([table, pd.DataFrame({"patient": ["  "]})]), "patient")
