"""Arrays of CoNIC and PanNuke: what is written, the readers give back."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscope import data
from histoscope.data.export import EXPORTS, patches_of, write_conic, write_pannuke
from histoscope.errors import DataError
from histoscope.types import Record, Sample

CONIC = data.Datasheet("x", classes={1: "connective", 2: "neutrophil"})
PANNUKE = data.Datasheet("x", classes={1: "epithelial", 2: "neoplastic"})


def _sample(height: int = 256, width: int = 256, name: str = "TCGA-1-2", n: int = 9) -> Sample:
    rng = np.random.default_rng(height + width)
    instances = np.zeros((height, width), np.int32)
    for number in range(1, n + 1):
        y, x = rng.integers(0, height - 12), rng.integers(0, width - 12)
        instances[y : y + 12, x : x + 12] = number
    instances = data.compact(instances)[0]
    classes = np.concatenate([[0], rng.integers(1, 3, instances.max())]).astype(np.uint8)
    image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    return Sample(image, 0.5, instances, classes, name=name, source=name)


def _same(found: Sample, given: Sample, names: dict[int, str], found_names: dict[int, str]) -> None:
    assert np.array_equal(found.image, given.image)
    pairs = set(zip(found.instances.ravel().tolist(), given.instances.ravel().tolist(), strict=True))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    for ours, theirs in pairs - {(0, 0)}:
        assert found_names[found.classes[ours]] == names[given.classes[theirs]]


def test_conic_round_trip_with_other_class_numbers(tmp_path: Path) -> None:
    given_samples = [_sample(name="TCGA-1-2"), _sample(name="b_1", n=0), _sample(name="b_2")]
    out = write_conic(tmp_path / "out", iter(given_samples), CONIC)
    assert (np.load(out / "labels.npy").dtype, np.load(out / "images.npy").dtype) == (np.uint16, np.uint8)
    found = data.open("conic", out)
    assert [record.source for record in found.records] == ["TCGA.1.2", "b_1", "b_2"]
    for ours, theirs in zip(found, given_samples, strict=True):
        _same(ours, theirs, CONIC.classes, found.info.classes)
    assert not [problem for problem in found.verify() if problem.severity == "error"]


def test_conic_counts_are_of_the_centre(tmp_path: Path) -> None:
    instances = np.zeros((256, 256), np.int32)
    instances[0:16, 100:110], instances[0:17, 50:60], instances[100:110, 100:110] = 1, 2, 3
    sample = Sample(
        np.zeros((256, 256, 3), np.uint8), 0.5, instances, np.array([0, 1, 1, 2], np.uint8), name="a"
    )
    out = write_conic(tmp_path / "out", [sample], CONIC)
    assert (out / "counts.csv").read_text().splitlines() == [
        "neutrophil,epithelial,lymphocyte,plasma,eosinophil,connective",
        "1,0,0,0,0,1",
    ]


def test_pannuke_round_trip_folds_and_tissues(tmp_path: Path) -> None:
    names = ["a", "b", "c", "d"]
    records = [
        Record("a", split="train", tags={"tissue": "Breast"}),
        Record("b", split="test"),
        Record("c", split="val", tags={"organ": "Colon"}),
        Record("d", split="train", tags={"fold": "fold3"}),
    ]
    given_samples = {name: _sample(name=name) for name in names}
    out = write_pannuke(tmp_path / "out", given_samples.values(), PANNUKE, records=records)
    masks = np.load(out / "fold1" / "masks" / "fold1" / "masks.npy")
    assert (masks.dtype, masks.shape) == (np.float64, (1, 256, 256, 6))
    assert np.array_equal(masks[..., 5] == 1, (masks[..., :5] == 0).all(axis=3))
    found = data.open("pannuke", out)
    assert [record.group("tissue") for record in found.records] == ["Breast", "Colon", "unknown", "unknown"]
    for ours, name in zip(found, ["a", "c", "b", "d"], strict=True):
        _same(ours, given_samples[name], PANNUKE.classes, found.info.classes)


@settings(max_examples=25, deadline=None)
@given(st.integers(256, 600), st.integers(256, 600))
def test_patches_cover_every_pixel(height: int, width: int) -> None:
    marks = np.arange(height * width, dtype=np.int64).reshape(height, width)
    image = np.stack([marks % 256, marks // 256 % 256, marks // 65536], axis=2).astype(np.uint8)
    sample = Sample(image, 0.5, np.zeros((height, width), np.int32), np.zeros(1, np.uint8), name="a")
    seen = np.zeros(height * width, bool)
    for patch, ids, types in patches_of(sample, {1: 1}):
        assert patch.shape == (256, 256, 3)
        assert (ids.max(), types.tolist()) == (0, [0])
        seen[patch.astype(np.int64) @ [1, 256, 65536]] = True
    assert seen.all()


@pytest.mark.parametrize(
    ("sample", "match"),
    [
        (_sample(255, 300), "expected at least 256 px"),
        (Sample(np.zeros((256, 256, 3), np.uint8), 0.5, name="a"), "no classes"),
        (
            Sample(
                np.zeros((256, 256, 3), np.uint8),
                0.5,
                np.ones((256, 256), np.int32),
                np.zeros(2, np.uint8),
                name="a",
            ),
            "1 nuclei have no class",
        ),
        (
            Sample(
                np.zeros((256, 256, 3), np.uint8),
                0.5,
                np.ones((256, 256), np.int32),
                np.full(2, 5, np.uint8),
                name="a",
            ),
            r"class 5 is not one of \[1, 2\]",
        ),
    ],
)
def test_what_the_arrays_cannot_hold(tmp_path: Path, sample: Sample, match: str) -> None:
    for name, (write, _) in EXPORTS.items():
        sheet = CONIC if name == "conic" else PANNUKE
        with pytest.raises(DataError, match=match):
            write(tmp_path / name, [sample], sheet)
        assert not list((tmp_path / name).rglob("*.npy"))


def test_refusals(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("mine")
    writers: dict[str, tuple[Callable[..., Path], float]] = EXPORTS
    for name, (write, _) in writers.items():
        sheet = CONIC if name == "conic" else PANNUKE
        with pytest.raises(DataError, match="not an empty folder"):
            write(tmp_path / "full", [_sample()], sheet)
        with pytest.raises(DataError, match="the class 'misc'"):
            write(tmp_path / name, [_sample()], data.Datasheet("x", classes={1: "misc"}))
        with pytest.raises(DataError, match="no classes"):
            write(tmp_path / name, [_sample()], data.Datasheet("x"))
        with pytest.raises(DataError, match="no samples"):
            write(tmp_path / name, [], sheet)


def test_an_interrupted_export_leaves_no_arrays(tmp_path: Path) -> None:
    def cut_off():
        yield _sample()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_conic(tmp_path / "out", cut_off(), CONIC)
    assert not list((tmp_path / "out").iterdir())
