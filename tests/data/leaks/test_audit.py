"""The audit finds copies however they were turned, saved or tinted, and keeps quiet about others."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from PIL import Image as Pillow

from histoscope import data
from histoscope.errors import ConfigError
from histoscope.files import write_image
from histoscope.synth import generate
from histoscope.types import Record, Sample


def _picture(seed: int, shape: tuple[int, int] = (96, 96)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = rng.integers(120, 220, (12, 12, 3)).astype(np.uint8)
    return np.asarray(Pillow.fromarray(small).resize(shape[::-1], Pillow.Resampling.BICUBIC))


def _dataset(images: list[np.ndarray], prefix: str, **known: str) -> data.InMemory:
    samples = [Sample(image=image, mpp=1, name=f"{prefix}{k}", **known) for k, image in enumerate(images)]
    return data.InMemory.of(samples, data.Datasheet(prefix, mpp=1))


def _jpeg(image: np.ndarray) -> np.ndarray:
    stream = io.BytesIO()
    Pillow.fromarray(image).save(stream, "JPEG", quality=40)
    return np.asarray(Pillow.open(stream))


def _turned(image: np.ndarray, degrees: float, zoom: float) -> np.ndarray:
    """Turn anticlockwise and keep the inner square, as augmented copies are often made."""
    picture = Pillow.fromarray(image).rotate(degrees, Pillow.Resampling.BICUBIC)
    margin = (image.shape[0] - image.shape[0] / zoom) / 2
    side = image.shape[0] - margin
    return np.asarray(
        picture.crop((margin, margin, side, side)).resize(image.shape[:2], Pillow.Resampling.BICUBIC)
    )


COPIES = {
    "same": lambda image: image,
    "turned 90°": np.rot90,
    "turned 180°": lambda image: np.rot90(image, 2),
    "turned 270°": lambda image: np.rot90(image, 3),
    "flipped": lambda image: image[:, ::-1],
    "flipped, turned 90°": lambda image: np.rot90(image[:, ::-1]),
    "flipped, turned 180°": lambda image: image[::-1],
    "flipped, turned 270°": lambda image: np.rot90(image[:, ::-1], 3),
    "saved again": _jpeg,
    "brighter": lambda image: np.clip(image * 1.1 + 15, 0, 255).astype(np.uint8),
    "paler": lambda image: (image * 0.5 + 120).astype(np.uint8),
    "smaller": lambda image: np.asarray(Pillow.fromarray(image).resize((50, 50), Pillow.Resampling.BOX)),
    "noisy": lambda image: np.clip(image + np.random.default_rng(5).normal(0, 8, image.shape), 0, 255).astype(
        np.uint8
    ),
    "by 20": lambda image: _turned(image, 20, 1.28),
    "by -33": lambda image: _turned(image, -33, 1.38),
    "by 101, flipped": lambda image: _turned(image[:, ::-1], 101, 1.17),
}


@pytest.mark.parametrize("how", COPIES)
def test_copies_are_found(how: str) -> None:
    train = _dataset([_picture(k) for k in range(6)], "train")
    test = _dataset([_picture(99), np.ascontiguousarray(COPIES[how](_picture(3)))], "test")
    (leak,) = data.audit({"train": train, "test": test}).leaks
    assert (leak.kind, leak.left_name, leak.right_name) == ("image", "train3", "test1")
    assert leak.similarity > 0.85
    if "same" in how or "°" in how or how == "flipped":
        assert leak.what == how
        assert leak.similarity > 0.99


@pytest.mark.parametrize("degrees", [-50, 20, 160])
def test_the_turn_is_told(degrees: int) -> None:
    copy = _turned(_picture(3), degrees, 1.2)
    (leak,) = data.audit({"a": _dataset([_picture(3)], "a"), "b": _dataset([copy], "b")}).leaks
    told = float(leak.what.split("turned ")[1].split("°")[0])
    assert abs((told - degrees + 180) % 360 - 180) <= 4


def test_different_pictures_are_not() -> None:
    parts = {
        "a": _dataset([_picture(k) for k in range(40)], "a"),
        "b": _dataset([_picture(k) for k in range(40, 80)], "b"),
    }
    report = data.audit(parts)
    assert report.clean
    assert str(report) == "audit of a 40, b 40: clean"


def test_oblong_copies_are_found_turned_too() -> None:
    picture = _picture(1, (60, 96))
    parts = {"a": _dataset([picture], "a"), "b": _dataset([np.ascontiguousarray(np.rot90(picture))], "b")}
    assert data.audit(parts).counts() == {"image": 1}


def test_blank_pictures_match_nothing() -> None:
    white = np.full((40, 40, 3), 243, np.uint8)
    assert data.audit({"a": _dataset([white], "a"), "b": _dataset([white], "b")}).clean


def test_shared_patient_source_and_name() -> None:
    def part(split: str, *names: str) -> data.Dataset:
        records = [Record(n, patient="p1", source=f"{split}-slide") for n in names]
        samples = [Sample(image=_picture(crc32((split + n).encode())), mpp=1, name=n) for n in names]
        return data.InMemory(data.Datasheet("x", mpp=1), records, samples)

    report = data.audit(
        {"train": part("train", "a", "b"), "val": part("val", "c"), "test": part("test", "b")}
    )
    found = [
        (leak.kind, leak.left, leak.right, leak.what, leak.count)
        for leak in report.leaks
        if leak.kind != "image"
    ]
    assert found == [
        ("patient", "train", "val", "p1", 3),
        ("patient", "train", "test", "p1", 3),
        ("patient", "val", "test", "p1", 2),
        ("name", "train", "test", "b", 2),
    ]
    assert not report.clean
    assert "3 shared patients" in str(report)
    assert report.rows()[0]["left_name"] == "a"


def test_long_lists_are_cut_in_print_only() -> None:
    pictures = [_picture(k) for k in range(20)]
    report = data.audit({"a": _dataset(pictures, "a"), "b": _dataset(pictures, "b")})
    assert len(report.leaks) == 20
    assert "... and 8 more" in str(report)


def test_unreadable_files_are_said_and_files_are_read_small(tmp_path: Path) -> None:
    for part in "ab":
        write_image(tmp_path / part / "images" / f"{part}.jpg", _picture(4, (400, 400)))
    write_image(tmp_path / "b" / "images" / "broken.png", _picture(5))
    broken = tmp_path / "b" / "images" / "broken.png"
    broken.write_bytes(broken.read_bytes()[:500])
    parts = {part: data.open("folder", tmp_path / part, mpp=1) for part in "ab"}
    seen: list[tuple[int, int]] = []
    report = data.audit(parts, progress=lambda *now: seen.append(now))
    assert report.counts() == {"image": 1}
    assert report.unreadable == ("b/broken",)
    assert "could not be read" in str(report)
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_changed_data_sets_are_compared_as_they_are_read(folder_tree: Path) -> None:
    dataset = data.open("folder", folder_tree, mpp=0.5)
    flipped = data.mapped(dataset, lambda s: replace(s, image=np.ascontiguousarray(s.image[:, ::-1])))
    pairs = [leak for leak in data.audit({"a": dataset, "b": flipped}).leaks if leak.kind == "image"]
    assert {(leak.left_name, leak.right_name) for leak in pairs} >= {
        (f"tile{k}", f"tile{k}") for k in range(6)
    }


def test_classes_that_training_lacks_are_told() -> None:
    def part(label: int) -> data.Dataset:
        info = data.Datasheet("x", mpp=1, classes={0: "normal", 1: "tumour"})
        sample = Sample(image=_picture(label), mpp=1, name=f"n{label}", label=label)
        return data.InMemory(info, [Record(f"n{label}", label=label)], [sample])

    report = data.audit({"train": part(0), "test": part(1)})
    assert (report.clean, report.unseen_classes) == (True, ("tumour",))
    assert "never seen in training: class tumour" in str(report)


@pytest.mark.parametrize(
    ("change", "says"),
    [(np.rot90, "turned 270°"), (lambda labels: np.roll(labels, 10, 1), "-10 px to the right")],
)
def test_labels_that_do_not_lie_on_the_nuclei_are_told(
    change: Callable[[np.ndarray], np.ndarray], says: str
) -> None:
    def part(seed: int, *changes: Callable[[np.ndarray], np.ndarray]) -> data.InMemory:
        drawn = [generate((160, 160), rng=np.random.default_rng(seed + k)) for k in range(len(changes))]
        samples = [
            replace(sample, name=f"t{seed + k}", instances=np.ascontiguousarray(how(sample.instances)))
            for k, (sample, how) in enumerate(zip(drawn, changes, strict=True))
        ]
        return data.InMemory.of(samples, data.Datasheet("x", mpp=0.25))

    parts = {"train": part(0, np.asarray, change), "test": part(5, np.asarray)}
    report = data.audit(parts)
    (problem,) = report.labels
    assert (problem.name, report.clean, report.leaks) == ("train/t1", False, ())
    assert says in problem.message
    (same,) = [one for one in parts["train"].verify() if "does not match" in one.message]
    assert (problem.severity, problem.message) == (same.severity, same.message)
    assert str(report).splitlines() == [
        "audit of train 2, test 1: 1 wrong label map",
        f"  labels   train/t1: {problem.message}",
    ]
    assert data.audit(parts, labels=False).clean


def test_label_maps_that_cannot_be_read_are_told(folder_tree: Path) -> None:
    (folder_tree / "labels" / "tile2.png").write_bytes(b"x")
    dataset = data.open("folder", folder_tree, mpp=0.5)
    report = data.audit({"a": data.subset(dataset, [0, 1]), "b": data.subset(dataset, [2, 4])})
    assert [problem.name for problem in report.labels] == ["b/tile2"]
    assert report.unreadable == ()


def test_wrong_arguments() -> None:
    part = _dataset([_picture(0)], "a")
    with pytest.raises(ConfigError, match="at least two"):
        data.audit({"a": part})
    with pytest.raises(ConfigError, match="min_similarity"):
        data.audit({"a": part, "b": part}, min_similarity=0)
    assert data.audit({"a": part, "b": data.subset(part, [])}).clean
