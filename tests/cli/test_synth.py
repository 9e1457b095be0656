"""``histoscope synth`` writes a data set that reads back, or says why not."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from histoscope import data, synth
from histoscope.cli.main import app
from histoscope.data import InMemory
from histoscope.data.base import Datasheet
from histoscope.errors import ConfigError, DataError, DatasetNotFoundError, UnknownNameError
from histoscope.generate.training import GeneratorConfig
from histoscope.types import Record, Sample


def _run(*args: str | Path) -> str:
    done = CliRunner().invoke(app, ["synth", *map(str, args)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_folder_reads_back_pixel_for_pixel(tmp_path: Path) -> None:
    out = tmp_path / "tissue"
    answer = json.loads(
        _run(out, "--n", "5", "--patients", "2", "--size", "48", "--mpp", "0.5", "--seed", "3", "--json")
    )
    dataset = data.open("folder", root=out)
    drawn = synth.cohort(2, [3, 2], shape_px=(48, 48), mpp=0.5, seed=3)
    assert [record.name for record in dataset.records] == [sample.name for sample in drawn]
    for read, sample in zip((dataset[k] for k in range(5)), drawn, strict=True):
        assert np.array_equal(read.image, sample.image)
        assert np.array_equal(read.instances, sample.instances)
        assert np.array_equal(read.classes, sample.classes)
        assert (read.mpp, read.patient, read.source) == (0.5, sample.patient, sample.source)
    assert answer["images"], answer["patients"] == (5, 2)
    assert sum(answer["nuclei"].values()) == sum(len(sample.classes) - 1 for sample in drawn)
    assert dict(dataset.info.classes) == {number: name for name, number in synth.CLASSES.items()}


def test_stains_are_taken_in_turn(tmp_path: Path) -> None:
    out = tmp_path / "tissue"
    text = _run(out, "--n", "2", "--patients", "2", "--size", "64", "--stain", "pink", "--stain", "blue")
    assert "2 images of 2 patients" in text
    dataset = data.open("folder", root=out)
    assert dataset[0].image[..., 0].mean() > dataset[1].image[..., 0].mean()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (["--stain", "purpel"], UnknownNameError, "purple"),
        (["--mpp", "0"], ConfigError, "mpp"),
        (["--n", "2", "--patients", "3"], ConfigError, "--patients is 3"),
    ],
)
def test_wrong_input_writes_nothing(tmp_path: Path, options: list[str], error: type, words: str) -> None:
    out = tmp_path / "tissue"
    with pytest.raises(error, match=words):
        _run(out, "--n", "2", "--size", "16", *options)
    assert not out.exists()


@pytest.mark.parametrize("size", ["3", "15", "20001", "-1"])
def test_sizes_that_show_no_nucleus_or_fit_no_file_are_refused(tmp_path: Path, size: str) -> None:
    done = CliRunner().invoke(app, ["synth", str(tmp_path / "new"), "--n", "1", "--size", size])
    assert (done.exit_code, "than or equal to" in done.output) == (2, True)
    assert not (tmp_path / "new").exists()


def test_full_folder_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    monkeypatch.setattr(synth, "fit", lambda *given, **more: pytest.fail("the work began"))
    with pytest.raises(DataError, match="not an empty folder"):
        _run(tmp_path, "--n", "1", "--like", str(tmp_path / "lab"))
    with pytest.raises(DataError, match="not an empty folder"):
        _run(tmp_path, "--n", "1", "--size", "16")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def _lab(tmp_path: Path) -> Path:
    samples = synth.cohort(2, 1, shape_px=(240, 240), mpp=0.5, stains="purple", seed=8)
    sheet = Datasheet("lab", classes={1: "tumour", 2: "small", 3: "slim", 4: "plasma"}, mpp=0.5)
    parts = [Record(s.name, patient=s.patient, split="train") for s in samples]
    return data.write_folder(tmp_path / "lab", samples, sheet, records=parts)


def test_like_draws_the_classes_of_the_data_set_and_its_spec_draws_the_same(tmp_path: Path) -> None:
    lab, one, two = _lab(tmp_path), tmp_path / "one", tmp_path / "two"
    common = ["--n", "2", "--size", "64", "--json"]
    answer = json.loads(_run(one, *common, "--like", lab))
    assert list(answer["nuclei"]) == ["tumour", "small", "slim", "plasma"]
    assert answer["per_mm2"] > 0
    assert "fitted to" in answer["notes"][0]
    dataset = data.open("folder", root=one)
    assert dataset[0].mpp == 0.5
    assert dict(dataset.info.classes) == {1: "tumour", 2: "small", 3: "slim", 4: "plasma"}
    _run(two, *common, "--spec", one / "spec.json")
    again = data.open("folder", root=two)
    assert [row[2] for row in dataset.info.origins] == [r.name for r in data.open("folder", lab).records]
    assert again.info.origins == dataset.info.origins
    (one / "learned_from.csv").unlink()  # as of an older version
    _run(tmp_path / "three", *common, "--spec", one / "spec.json")
    assert data.open("folder", tmp_path / "three").info.origins[0][:2] == ("unknown", "one/spec.json")
    assert np.abs(again[0].image.astype(int) - dataset[0].image).mean() < 6


def test_hard_tissue_differs(tmp_path: Path) -> None:
    for name, more in (("usual", []), ("hard", ["--hard"])):
        _run(tmp_path / name, "--n", "1", "--size", "64", *more)
    usual, hard = (data.open("folder", root=tmp_path / name)[0].image for name in ("usual", "hard"))
    assert not np.array_equal(usual, hard)


def test_only_the_training_part_is_looked_at(tmp_path: Path) -> None:
    samples = synth.cohort(2, 1, shape_px=(240, 240), mpp=0.5, seed=8)
    parts = [
        Record(s.name, patient=s.patient, split=part)
        for s, part in zip(samples, ("train", "test"), strict=True)
    ]
    lab = data.write_folder(tmp_path / "lab", samples, Datasheet("lab", mpp=0.5), records=parts)
    answer = json.loads(_run(tmp_path / "out", "--n", "1", "--size", "48", "--like", lab, "--json"))
    assert "in 1 tile of 1 patient" in answer["notes"][0]


def test_few_tiles_are_those_that_a_study_trains_on(tmp_path: Path) -> None:
    samples = synth.cohort(5, 1, shape_px=(160, 160), mpp=0.5, seed=8)
    parts = [Record(s.name, patient=s.patient, split="train" if k else "test") for k, s in enumerate(samples)]
    lab = data.write_folder(tmp_path / "lab", samples, Datasheet("lab", mpp=0.5), records=parts)
    options = ["--n", "1", "--size", "48", "--like", str(lab), "--like-tiles", "2", "--seed", "3"]
    done = CliRunner().invoke(app, ["synth", str(tmp_path / "out"), *options], catch_exceptions=False)
    train = data.split_published(data.open("folder", root=lab), val=0.0).train
    studied = [record.name for record in data.tile_subset(train, 2, seed=3).records]
    spec = json.loads((tmp_path / "out" / "spec.json").read_text())
    assert spec["fitted_on"]["tiles"] == 2
    assert f"only {', '.join(studied)}\n" in done.stderr
    with pytest.raises(ConfigError, match="ask for 1 to 4"):
        _run(tmp_path / "more", "--n", "1", "--size", "48", "--like", lab, "--like-tiles", "5")


def test_what_is_asked_of_a_network_reaches_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def opened(*arguments: object, **options: object) -> InMemory:
        given.append((*arguments, options))
        return InMemory.of(synth.cohort(1, 1, shape_px=(64, 64), mpp=0.5, seed=0), Datasheet("lab", mpp=0.5))

    def fitted(_dataset: object, folder: Path, settings: GeneratorConfig, **_told: object) -> None:
        given.append((folder, settings))
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "open", opened)
    monkeypatch.setattr("histoscope.generate.generator.fit_generator", fitted)
    network = ["--method", "learned", "--generator", "painter", "--steps", "7", "--width", "9"]
    source = ["--like", "lab", "--format", "conic", "--like-mpp", "0.3"]
    out = str(tmp_path / "out")
    done = CliRunner().invoke(app, ["synth", out, "--seed", "5", "--mpp", "0.4", *source, *network])
    assert done.exit_code == 130, done.exception
    assert given == [
        ("conic", Path("lab"), {"mpp": 0.3}),
        (Path("painter"), GeneratorConfig(seed=5, steps=7, width=9, mpp=0.4)),
    ]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (["--like-tiles", "2"], ConfigError, "only works with --like; leave it out"),
        (["--like", "lab", "--spec", "spec.json"], ConfigError, "give one of them"),
        (["--like", "lab", "--stain", "pink"], ConfigError, "leave one out"),
        (["--method", "learned"], ConfigError, "give its folder with --like"),
        (["--like", "nowhere"], DatasetNotFoundError, "nowhere"),
        (["--spec", "nowhere.json"], DatasetNotFoundError, "no synth spec"),
        (["--like", "lab", "--format", "monusek"], UnknownNameError, "monuseg"),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, options: list[str], error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        _run(tmp_path / "out", "--n", "1", "--size", "16", *options)
    assert not (tmp_path / "out").exists()


def test_data_without_labels_is_refused(tmp_path: Path) -> None:
    image = np.full((64, 64, 3), 180, np.uint8)
    bare = [Sample(image, 0.5, name="bare", patient="p")]
    lab = data.write_folder(tmp_path / "lab", bare, Datasheet("lab", mpp=0.5))
    with pytest.raises(DataError, match="label map"):
        _run(tmp_path / "out", "--n", "1", "--size", "16", "--like", lab)
