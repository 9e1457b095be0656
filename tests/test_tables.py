"""Tables keep names as they were, and numbers as numbers."""

import numpy as np
import pandas as pd
import pytest

from histoscope.errors import CorruptDataError, DatasetNotFoundError
from histoscope.tables import read_table, write_table

NAMES = ["005", "NA", "None", "null", "nan", "N/A", "1e3", "0", "true", " x", "a,b", 'say "b"', "é", ""]


def test_names_come_back_letter_by_letter(tmp_path) -> None:
    table = pd.DataFrame({"name": NAMES, "patient": NAMES[::-1], "pq": np.linspace(0, 1, len(NAMES))})
    write_table(tmp_path / "a.csv", table)
    again = read_table(tmp_path / "a.csv")
    assert again["name"].tolist() == NAMES
    assert again["patient"].tolist() == NAMES[::-1]
    assert again["pq"].tolist() == table["pq"].tolist()


def test_numbers_whole_numbers_and_gaps(tmp_path) -> None:
    table = pd.DataFrame({"name": ["a", "b"], "tp": [3, 4], "pq": [0.25, np.nan], "empty": [np.nan, np.nan]})
    write_table(tmp_path / "a.csv", table)
    again = read_table(tmp_path / "a.csv")
    assert again["tp"].dtype.kind == "i"
    assert again["pq"].isna().tolist() == [False, True]
    assert again["empty"].dtype.kind == "f"


def test_a_column_of_words_stays_words(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("name,stain\n1,NA\n2,purple\n", encoding="utf-8")
    assert read_table(tmp_path / "a.csv")["stain"].tolist() == ["NA", "purple"]


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("name,pq\n1,0.5\n", encoding="utf-8-sig")
    assert list(read_table(tmp_path / "a.csv")) == ["name", "pq"]


def test_errors_name_the_file(tmp_path) -> None:
    with pytest.raises(DatasetNotFoundError, match=r"none\.csv"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "bad.csv").write_bytes(b"name,pq\n\xff\xfe\x00,1\n")
    with pytest.raises(CorruptDataError, match=r"bad\.csv"):
        read_table(tmp_path / "bad.csv")
    (tmp_path / "empty.csv").write_text("", encoding="utf-8")
    with pytest.raises(CorruptDataError, match=r"empty\.csv"):
        read_table(tmp_path / "empty.csv")
