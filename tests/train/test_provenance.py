"""What a model learned from, and which images of a data set it has seen."""

import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image as Pillow

from histoscope import data, models, stain, synth
from histoscope.cli import main
from histoscope.data import Datasheet, InMemory, origins
from histoscope.errors import CorruptDataError
from histoscope.files import read_image, write_image, write_labels
from histoscope.tables import read_table
from histoscope.train import provenance
from histoscope.train.parts import SplitDataConfig, open_parts
from histoscope.train.seen import roots_of, seen_in


def image(seed, shape=(24, 24)):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def dataset(images, sheet="lab", **columns):
    samples = [
        data.base.Sample(pixels, 0.5, name=name, **{key: values[k] for key, values in columns.items()})
        for k, (name, pixels) in enumerate(images.items())
    ]
    return InMemory.of(samples, Datasheet(sheet, mpp=0.5))


@pytest.fixture
def learned():
    return provenance.learned_from(
        {
            "train": dataset({"a": image(0), "b": image(1)}, patient=["005", "NA"], source=["s1", "s2"]),
            "val": dataset({"c": image(2)}, patient=["p3"]),
        }
    )


def test_pixels_are_known_under_any_name_and_names_alone_are_not(learned):
    given = dataset({"x": image(0), "c": image(2), "a": image(9), "y": image(8)})
    seen = seen_in(learned, given)
    assert seen.status == ("train", "validation", "", "")
    assert seen.renamed == ("a",)
    assert +Counter(seen.counts()) == {"train": 1, "validation": 1, "unseen": 2}
    assert "2 of 4 images: 1 trained on, 1 validated on" in str(seen)
    assert "same name, different pixels: 1 image, such as 'a'" in seen.notes()[0]


def test_one_pixel_or_another_shape_is_another_image(learned):
    other = image(0).copy()
    other[3, 4, 1] ^= 1
    given = dataset({"one": other, "turned": image(0).reshape(12, 48, 3)})
    assert seen_in(learned, given).status == ("", "")


def test_other_images_of_a_patient_are_told_apart(learned):
    given = dataset({"x": image(7), "y": image(8), "z": image(9)}, patient=["005", "5", "NA"])
    assert seen_in(learned, given).status == ("patient", "", "patient")
    # Where no patient is known, the slide is what must not be on both sides.
    given = dataset({"x": image(7), "y": image(8)}, source=["s1", "s9"])
    assert seen_in(learned, given).status == ("patient", "")


def test_drawn_patients_are_nobody_of_another_data_set():
    learned = provenance.learned_from({"train": dataset({"a": image(0)}, sheet="synth", patient=["p000"])})
    others = {"x": image(7)}
    assert seen_in(learned, dataset(others, patient=["p000"])).status == ("",)
    assert seen_in(learned, dataset(others, sheet="synth", patient=["p000"])).status == ("patient",)


def test_the_list_comes_back_as_it_was(learned, tmp_path):
    card = provenance.write(tmp_path / "first", {"train": dataset({"007": image(0)}, patient=["NA"])})
    models.save(models.create("unet", width=2, depth=1), tmp_path / "first", card)
    back = provenance.read(tmp_path / "first")
    assert back[["part", "name", "patient"]].values.tolist() == [["train", "007", "NA"]]
    assert seen_in(back, dataset({"x": image(0)})).status == ("train",)


def test_what_training_began_from_was_learned_from_too(tmp_path):
    net = models.create("unet", width=2, depth=1)
    card = provenance.write(tmp_path / "first", {"val": dataset({"old": image(0)})})
    models.save(net, tmp_path / "first", card)
    models.save(net, tmp_path / "older", {})
    card = provenance.write(
        tmp_path / "second",
        {"train": dataset({"new": image(1)})},
        tmp_path / "first",
        tmp_path / "older",
        None,
    )
    models.save(net, tmp_path / "second", card)
    back = provenance.read(tmp_path / "second")
    seen = seen_in(back, dataset({"x": image(0), "y": image(1), "z": image(2)}))
    assert seen.status == ("train", "train", "")
    assert "older" in seen.notes()[0]


def test_a_list_that_the_card_does_not_name_is_of_another_model(tmp_path):
    provenance.write(tmp_path, {"train": dataset({"a": image(0)})})
    models.save(models.create("unet", width=2, depth=1), tmp_path, {})
    assert provenance.read(tmp_path) is None


def test_images_that_cannot_be_read_are_no_match(learned):
    class Broken(InMemory):
        def __getitem__(self, index):
            raise CorruptDataError("cannot be decoded")

    whole = dataset({"a": image(0)})
    broken = Broken(whole.info, whole.records, whole.samples)
    assert seen_in(learned, broken).status == ("",)
    listed = provenance.learned_from({"train": broken})
    assert listed["pixels"].tolist() == [""]
    assert seen_in(listed, broken).status == ("",)


def test_an_image_is_decoded_once(monkeypatch):
    read = []

    class Counted(InMemory):
        def __getitem__(self, index):
            read.append(index)
            return super().__getitem__(index)

    whole = dataset({"a": image(0), "b": image(1)})
    watched = provenance.Watched(Counted(whole.info, whole.records, whole.samples))
    assert len(list(watched)) == 2
    provenance.learned_from({"train": watched})
    assert read == [0, 1]


# --------------------------------------------------------------------------------- on the command line


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    root = tmp_path_factory.mktemp("seen") / "cohort"
    samples = synth.cohort(6, 1, shape_px=(128, 128), mpp=0.5, stains=("default",), seed=3)
    data.write_folder(root, samples, Datasheet(name="cohort", licence="CC0-1.0", mpp=0.5))
    return root


@pytest.fixture(scope="module")
def trained(cohort):
    out = cohort.parent / "run"
    settings = {
        "data": {"root": str(cohort), "val": 0.2, "test": 0.2},
        "model": {"name": "unet", "arguments": {"width": 2, "depth": 2, "mpp": 0.5}},
        "normalizer": "macenko",
        "augment": "none",
        "train": {"steps": 2, "batch_size": 1, "patch_px": 32, "evaluate_every": 1, "tensorboard": False},
        "out": str(out),
    }
    recipe = cohort.parent / "train.yaml"
    recipe.write_text(yaml.safe_dump(settings))
    with pytest.MonkeyPatch.context() as patch:
        assert cli(patch, "train", recipe) == 0
    return out


def cli(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["histoscope", *map(str, arguments)])
    try:
        main.main()
    except SystemExit as leave:
        return leave.code or 0
    return 0


def test_the_card_names_the_list(trained, cohort):
    card = json.loads((trained / "model" / "card.json").read_text())
    assert card["learned from"] == "learned_from.csv"
    listed = provenance.read(trained)
    parts = open_parts(SplitDataConfig(root=cohort, val=0.2, test=0.2))
    for part, there in (("train", parts.train), ("val", parts.val)):
        assert set(listed.loc[listed["part"] == part, "name"]) == {record.name for record in there.records}
    assert not set(listed["name"]) & {record.name for record in parts.test.records}


def test_a_training_that_is_killed_leaves_its_list(trained, cohort, tmp_path, monkeypatch):
    def killed(*_, **how):
        assert read_table(tmp_path / "run" / "model" / "learned_from.csv")["name"].is_unique
        models.save(models.create("unet", width=2, depth=1), tmp_path / "run" / "model", how["card"])
        raise KeyboardInterrupt

    monkeypatch.setattr("histoscope.train.loop.fit", killed)
    assert cli(monkeypatch, "train", cohort.parent / "train.yaml", "--set", f"out={tmp_path / 'run'}") == 130
    assert len(provenance.read(tmp_path / "run")) == 5


def test_evaluate_scores_the_unseen_apart(trained, cohort, tmp_path, monkeypatch, capsys):
    assert cli(monkeypatch, "evaluate", trained, cohort, "--out", tmp_path / "t.csv", "--json") == 0
    said = capsys.readouterr()
    answer, table = json.loads(said.out), read_table(tmp_path / "t.csv", text={"name", "patient", "seen"})
    n = answer["seen_images"]
    assert +Counter(n) == {"train": 4, "validation": 1, "unseen": 1}
    assert answer["images"] == 6
    assert answer["unseen"]["images"] == 1
    assert answer["seen"]["images"] == 5
    expected = table.loc[table["seen"] == "", "pq"].mean()
    assert answer["unseen"]["pq"]["estimate"] == pytest.approx(expected, abs=1e-4)
    assert "warning: the model has seen 5 of 6 images: 4 trained on, 1 validated on" in said.err
    cli(monkeypatch, "evaluate", trained, cohort)
    assert {"all: 6 images", "unseen: 1 image", "seen: 5 images"} <= {
        line.strip().split(",")[0] for line in capsys.readouterr().out.splitlines()
    }


def test_where_nothing_is_unseen_there_is_no_score_of_it(trained, cohort, tmp_path, monkeypatch, capsys):
    parts = open_parts(SplitDataConfig(root=cohort, val=0.2, test=0.2))
    renamed = [replace(sample, name=f"n{k}", patient="") for k, sample in enumerate(parts.train)]
    data.write_folder(tmp_path / "other", renamed, Datasheet(name="other", mpp=0.5))
    assert cli(monkeypatch, "evaluate", trained, tmp_path / "other", "--json") == 0
    said = capsys.readouterr()
    assert "the model has seen every image, so there are no scores on unseen ones" in said.err
    assert "unseen" not in json.loads(said.out)


def test_copies_are_found_by_audit_alone(trained, cohort, tmp_path, monkeypatch, capsys):
    first = open_parts(SplitDataConfig(root=cohort, val=0.2, test=0.2)).train[0]
    fresh = synth.cohort(2, 1, shape_px=(128, 128), mpp=0.5, stains=("default",), seed=77)
    root = tmp_path / "copies"
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    picture = Pillow.fromarray(first.image)
    picture.save(root / "images" / "jpeg.jpg", quality=80)
    picture.resize((160, 160), Pillow.Resampling.BICUBIC).save(root / "images" / "larger.png")
    write_image(root / "images" / "turned.tif", np.rot90(first.image))
    write_image(root / "images" / "new.png", fresh[0].image)
    write_labels(root / "labels" / "jpeg.png", first.instances)
    larger = Pillow.fromarray(first.instances.astype(np.int32)).resize((160, 160), Pillow.Resampling.NEAREST)
    write_labels(root / "labels" / "larger.png", np.asarray(larger))
    write_labels(root / "labels" / "turned.png", np.ascontiguousarray(np.rot90(first.instances)))
    write_labels(root / "labels" / "new.png", fresh[0].instances)
    out = tmp_path / "t.csv"
    arguments = ("evaluate", trained, root, "--mpp", "0.5", "--out", out, "--json")
    assert cli(monkeypatch, *arguments) == 0
    assert json.loads(capsys.readouterr().out)["seen_images"]["unseen"] == 4
    assert cli(monkeypatch, *arguments, "--audit") == 0
    found = pd.read_csv(out, keep_default_na=False).set_index("name")["seen"].to_dict()
    assert found == {"jpeg": "copy", "larger": "copy", "turned": "copy", "new": ""}


def test_the_real_tiles_behind_synthetic_ones_were_learned_from(tmp_path):
    real = dataset({"a": image(0), "b": image(1)}, patient=["p", "q"])
    sheet = Datasheet(
        "drawn", mpp=0.5, origins=(*provenance.origins_of(real), provenance.unknown("/home/me/lab/more"))
    )
    data.write_folder(tmp_path / "drawn", dataset({"g0": image(5), "g1": image(6)}), sheet)
    drawn = data.open("folder", tmp_path / "drawn")
    parts = {"train": data.subset(data.joined([drawn, dataset({"c": image(2)})]), [0, 2]), "synthetic": drawn}
    provenance.write(tmp_path / "model", parts)
    listed = pd.DataFrame(origins.read(tmp_path / "model"), columns=list(origins.COLUMNS))
    assert listed["part"].tolist() == ["train"] * 2 + ["synthetic"] * 2 + ["generator"] * 2 + ["unknown"]
    assert listed["data"].tolist()[:2] == ["drawn", "lab"]  # of joined data sets, each its own
    seen = seen_in(listed, dataset({"x": image(1), "y": image(9), "z": image(8)}, patient=["", "p", ""]))
    assert seen.status == ("generator", "patient", "")
    assert seen.unknown == ("lab/more",)
    # A generator that is fitted to these is fitted to the real ones too.
    assert {row[2] for row in provenance.origins_of(drawn)} == {"g0", "g1", "a", "b", ""}


def test_the_image_that_stains_are_normalised_to_was_learned_from(tmp_path):
    slides = synth.cohort(2, 1, shape_px=(128, 128), mpp=0.5, stains=("default",), seed=8)
    own, other = (stain.Macenko.fit(slide.image, origin=slide.name) for slide in slides)
    parts = {"train": dataset({"a": slides[0].image})}
    other.save(tmp_path / "lab.json")
    for place, normalizer in (("own", own), ("other", other), ("saved", stain.load(tmp_path / "lab.json"))):
        provenance.write(tmp_path / place, parts, normalizer=normalizer)
        rows = origins.read(tmp_path / place)
        assert [row[0] for row in rows] == (["train"] if place == "own" else ["train", "reference"])
        table = pd.DataFrame(rows, columns=list(origins.COLUMNS))
        status = seen_in(table, dataset({"x": slides[1].image})).status
        assert status == (("",) if place == "own" else ("reference",))


def test_evaluate_tells_tiles_behind_synthetic_ones_and_the_image_that_stains_come_from(
    tmp_path, monkeypatch, capsys
):
    own, other = (synth.cohort(n, 1, shape_px=(96, 96), mpp=0.5, seed=n) for n in (2, 4))
    given = [replace(one, name=f"o{k}", patient=f"o{k}", source="") for k, one in enumerate(other)]
    sheet = Datasheet(name="lab", mpp=0.5, classes={number: name for name, number in synth.CLASSES.items()})
    own = [replace(one, patient="", source="") for one in own]
    lab, third = data.write_folder(tmp_path / "lab", own, sheet), given[3]
    data.write_folder(tmp_path / "lab2", given[:3], sheet)
    write_image(tmp_path / "stains.png", third.image)
    data.write_folder(tmp_path / "both", [*own, third], sheet)
    monkeypatch.chdir(tmp_path)
    assert cli(monkeypatch, "synth", "drawn", "--n", 2, "--size", 96, "--like", lab) == 0
    settings = {
        "data": {"root": "lab2", "val": 0.34, "test": 0.33},
        "model": {"name": "unet", "arguments": {"width": 2, "depth": 1, "mpp": 0.5}},
        "synthetic": {"root": "drawn"},
        "normalizer": "macenko",
        "reference": "stains.png",
        "train": {"steps": 1, "batch_size": 1, "patch_px": 32, "accelerator": "cpu", "tensorboard": False},
        "out": "run",
    }
    Path("train.yaml").write_text(json.dumps(settings), encoding="utf-8")
    assert cli(monkeypatch, "train", "train.yaml") == 0
    capsys.readouterr()
    assert cli(monkeypatch, "evaluate", "run", "both") == 0
    assert (
        "warning: the model has seen 3 of 3 images: 2 that synthetic training images are fitted "
        "to, 1 that stains are normalised to" in capsys.readouterr().err
    )


def test_the_list_tells_no_folder_and_lists_of_before_are_read(trained, cohort, tmp_path):
    listed = provenance.read(trained)
    assert set(listed["file"]) == {f"{name}.png" for name in listed["name"]}
    assert roots_of(trained) == (cohort,)
    assert roots_of(trained / "model") == (cohort,)
    first = listed[:1]
    turned = {"t": np.ascontiguousarray(np.rot90(read_image(cohort / "images" / first["file"].iloc[0])))}
    before = first.assign(file=str(cohort / "images" / first["file"].iloc[0]))
    for table, roots in ((first, [cohort]), (before, [])):
        seen = seen_in(table, dataset(turned), audit=True, roots=roots)
        assert (seen.status, seen.not_compared) == (("copy",), 0)
    assert seen_in(first, dataset(turned), audit=True).not_compared == 1


def test_files_that_were_learned_from_and_are_gone_are_counted(learned):
    gone = learned.assign(file="/nowhere/a.png")
    seen = seen_in(gone, dataset({"x": image(7)}), audit=True)
    assert seen.not_compared == 3
    assert "copies of 3 training images" in seen.notes()[0]


def test_a_model_without_a_list_says_that_it_is_not_known(trained, cohort, tmp_path, monkeypatch, capsys):
    models.save(models.load(trained), tmp_path / "old", {})
    assert cli(monkeypatch, "evaluate", tmp_path / "old", cohort, "--out", tmp_path / "t.csv") == 0
    said = capsys.readouterr()
    assert said.err.count("the images that this model was trained on are not known") == 1
    assert "seen" not in read_table(tmp_path / "t.csv")
