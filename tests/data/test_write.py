"""What is written is read back exactly, and what was not finished is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from histoscope import data
from histoscope.data import Datasheet
from histoscope.errors import DataError
from histoscope.types import Record, Sample

INFO = Datasheet(
    "made",
    title="Made: up",
    url="https://x.org",
    licence="CC0 1.0",
    citation="Nobody, 'never'",
    classes={1: "round", 2: "long, thin", 3: "third"},
    mpp=0.5,
)


def _equal(first: Sample, second: Sample) -> bool:
    arrays_equal = all(
        (a is None and b is None) or (a.dtype == b.dtype and np.array_equal(a, b))
        for a, b in zip(
            (first.image, first.instances, first.classes),
            (second.image, second.instances, second.classes),
            strict=True,
        )
    )
    same = ("mpp", "label", "name", "source", "patient")
    return arrays_equal and all(getattr(first, key) == getattr(second, key) for key in same)


@st.composite
def samples(draw: st.DrawFn) -> list[Sample]:
    made = []
    n = draw(st.integers(1, 3))
    labelled, classed = draw(st.booleans()), draw(st.booleans())
    for k in range(n):
        shape = (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
        instances = draw(arrays(np.int32, shape, elements=st.integers(0, 70_000))) if labelled else None
        classes = None
        if labelled and classed:
            classes = np.zeros(instances.max() + 1, np.uint8)
            present = np.setdiff1d(instances, [0])
            classes[present] = present % 4
        made.append(
            Sample(
                image=draw(arrays(np.uint8, (*shape, 3))),
                mpp=draw(st.floats(0.05, 5)),
                instances=instances,
                classes=classes,
                label=draw(st.none() | st.integers(0, 9)),
                name=f"n.{k}" + draw(st.sampled_from(["", ".png", " é", ",;\"'"])),
                source=draw(st.sampled_from(["", "s,1", "s"])),
                patient=draw(st.sampled_from(["", 'p"1"'])),
            )
        )
    return made


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(samples())
def test_round_trip_is_exact(tmp_path_factory: pytest.TempPathFactory, made: list[Sample]) -> None:
    out = data.write_folder(tmp_path_factory.mktemp("w") / "out", iter(made), INFO)
    back = data.open("folder", out)
    assert len(back) == len(made)
    assert all(_equal(a, b) for a, b in zip(made, back, strict=True))
    info = back.info
    assert replace(info, counts={}, mpp=0.5) == INFO
    assert [problem for problem in back.verify() if problem.severity == "error"] == []


def test_parts_and_tags_travel_with_a_dataset(folder_tree: Path, tmp_path: Path) -> None:
    dataset = data.open("folder", folder_tree, mpp=0.5)
    back = data.open("folder", data.write_folder(tmp_path / "out", dataset, dataset.info))
    assert [(r.name, r.split, r.patient, dict(r.tags)) for r in back.records] == [
        (r.name, r.split, r.patient, dict(r.tags)) for r in dataset.records
    ]
    assert back.info.counts == dataset.info.counts
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "classes",
        "dataset.yaml",
        "images",
        "index.csv",
        "labels",
    ]


def _sample(name: str = "a", **more: object) -> Sample:
    return Sample(image=np.full((3, 3, 3), 9, np.uint8), mpp=0.5, name=name, **more)


def test_records_can_be_given(tmp_path: Path) -> None:
    records = [Record("a", split="test", tags={"site": "x"})]
    back = data.open("folder", data.write_folder(tmp_path / "o", [_sample()], INFO, records=records))
    assert (back.records[0].split, back.records[0].group("site")) == ("test", "x")


def test_interrupted_write_is_refused(tmp_path: Path) -> None:
    def two() -> object:
        yield _sample("a")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        data.write_folder(tmp_path / "out", two(), INFO)
    with pytest.raises(DataError, match="never finished"):
        data.open("folder", tmp_path / "out", mpp=0.5)
    with pytest.raises(DataError, match=r"interrupted, or is still going on.*delete it first"):
        data.write_folder(tmp_path / "out", [_sample()], INFO)


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", " a", "a\n", "a\\b"])
def test_names_that_are_no_file_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="cannot be a file name"):
        data.write_folder(tmp_path / "out", [_sample(name)], INFO)


def test_doubled_names_mixed_samples_and_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two samples are called 'a'"):
        data.write_folder(tmp_path / "1", [_sample(), _sample()], INFO)
    labelled = _sample("b", instances=np.ones((3, 3), np.int32))
    with pytest.raises(DataError, match="two folders"):
        data.write_folder(tmp_path / "2", [_sample(), labelled], INFO)
    with pytest.raises(DataError, match="no samples"):
        data.write_folder(tmp_path / "3", [], INFO)
    assert not any((tmp_path / "3").iterdir())


def test_does_not_write_over_files(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match="delete it first"):
        data.write_folder(tmp_path, [_sample()], INFO)
    with pytest.raises(DataError, match="delete it first"):
        data.write_folder(tmp_path / "mine.txt", [_sample()], INFO)


def _named(name: str) -> Sample:
    return Sample(np.zeros((4, 4, 3), np.uint8), 0.5, name=name)


@pytest.mark.parametrize(("first", "second"), [("Tile", "tile"), ("é", "e\u0301"), ("STRASSE", "straße")])
def test_names_that_are_one_file_on_some_disks(tmp_path: Path, first: str, second: str) -> None:
    with pytest.raises(DataError, match="the same file on disks that ignore letter case"):
        data.write_folder(tmp_path / "out", [_named(first), _named(second)], INFO)


def test_a_class_without_a_name_is_not_written(tmp_path: Path) -> None:
    sample = replace(_named("a"), instances=np.ones((4, 4), np.int32), classes=np.array([0, 9], np.uint8))
    with pytest.raises(DataError, match="'a': 1 nucleus of class 9, which the datasheet does not name"):
        data.write_folder(tmp_path / "out", [sample], INFO)


@pytest.mark.parametrize("tag", ["Patient", "image id", "MPP", "group"])
def test_a_tag_called_like_a_column_of_ours_is_refused(tmp_path: Path, tag: str) -> None:
    with pytest.raises(DataError, match=f"a tag called '{tag}'"):
        data.write_folder(tmp_path / "out", [_named("a")], INFO, records=[Record("a", tags={tag: "x"})])


def test_patients_called_like_gaps_and_numbers_come_back(tmp_path: Path) -> None:
    samples = [replace(_named(name), patient=name) for name in ("NA", "None", "005", "nan", "1e5")]
    back = data.open("folder", data.write_folder(tmp_path / "out", samples, INFO))
    assert [record.patient for record in back.records] == ["NA", "None", "005", "nan", "1e5"]
