"""Parts from a table, and what is said where it does not fit."""

from pathlib import Path

import pytest

from histoscope import data
from histoscope.errors import DataError, DatasetNotFoundError
from histoscope.types import Record

DATASET = data.InMemory(data.Datasheet("mine", mpp=1), [Record(name, split="test") for name in "abc"], [])


def test_parts_of_a_table_take_the_place_of_the_published_ones(tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    path.write_text("Name;Split;patient\nc;test;x\na;train;y\nb;val;z\na;train;y\n")
    parts = data.split_published(data.with_parts(DATASET, path))
    assert [[record.name for record in part.records] for _, part in parts] == [["a"], ["b"], ["c"]]
    assert data.with_parts(DATASET, path).info.counts == {"images": 3, "test": 1, "train": 1, "val": 1}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name,split\na,train\nb,test\n", "'c' is not in the list"),
        ("name,split\na,train\nb,test\nc,val\nd,val\n", "'d' is not an image"),
        ("name,split\na,train\na,test\nb,train\nc,train\n", "'a' is in 'train' and in 'test'"),
        ("name,part\na,train\n", "expected one of split"),
    ],
)
def test_tables_that_do_not_fit(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "split.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=says):
        data.with_parts(DATASET, path)


def test_a_missing_table_says_who_writes_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match="data split --out writes one"):
        data.with_parts(DATASET, tmp_path / "gone.csv")
