"""``histoscope data``: what people and machines read, and how it ends."""

import csv
import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from histoscope import data
from histoscope.cli.data import app
from histoscope.data import DATASETS
from histoscope.errors import ConfigError, DataError, DatasetNotFoundError, UnknownNameError
from histoscope.files import write_image, write_labels
from histoscope.synth import generate


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Eight tiles of four patients; two are published as test."""
    folder = tmp_path / "own"
    rng = np.random.default_rng(0)
    lines = ["image_id,split,patient"]
    labels = np.zeros((32, 32), np.int32)
    labels[4:9, 4:9], labels[20:25, 20:25] = 1, 2
    for k in range(8):
        write_image(folder / "images" / f"t{k}.png", rng.integers(0, 255, (32, 32, 3)).astype(np.uint8))
        write_labels(folder / "labels" / f"t{k}.png", labels)
        lines.append(f"t{k},{'test' if k > 5 else 'train'},p{k // 2}")
    (folder / "index.csv").write_text("\n".join(lines))
    (folder / "dataset.yaml").write_text("mpp: 0.5\nlicence: CC0 [public]\n")
    return folder


def test_list() -> None:
    text = _run("list")
    assert text.exit_code == 0
    assert "stage1_train/ID/masks" in text.stdout
    rows = json.loads(_run("list", "--json").stdout)
    assert [row["name"] for row in rows] == sorted(DATASETS)
    assert {row["name"]: row["licence"] for row in rows}["monuseg"] == "CC BY-NC-SA 4.0"


def test_info(root: Path) -> None:
    assert "CC0 [public]" in _run("info", "folder", root).stdout
    sheet = json.loads(_run("info", "folder", root, "--mpp", 0.25, "--json").stdout)
    assert (sheet["mpp"], sheet["counts"]) == (0.25, {"images": 8, "patients": 4, "test": 2, "train": 6})


def test_info_counts_nuclei_by_class_and_names_what_it_cannot_read(root: Path) -> None:
    for k in range(8):
        write_labels(root / "classes" / f"t{k}.png", np.full((32, 32), 1 + k % 2, np.int32))
    (root / "classes.json").write_text('{"0": "background", "1": "tumour", "2": "stroma", "3": "other"}')
    (root / "images" / "t0.png").write_bytes(b"x")
    answer = json.loads(_run("info", "folder", root, "--json").stdout)
    assert answer["nuclei"] == {"all": 14, "tumour": 6, "stroma": 8, "other": 0}
    assert list(answer["unreadable"]) == ["t0"]
    done = _run("info", "folder", root)
    assert "all: 14, tumour: 6, stroma: 8, other: 0" in " ".join(done.stdout.split())
    assert "not counted: t0" in done.stderr


def test_missing_folder_is_an_error_for_main(tmp_path: Path) -> None:
    done = _run("info", "monuseg", tmp_path / "gone")
    assert isinstance(done.exception, DatasetNotFoundError)


def test_verify_ends_well_on_good_files(root: Path) -> None:
    done = _run("verify", "folder", root)
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "8 images: 0 errors, 0 warnings")


def test_verify_ends_with_one_on_errors(root: Path) -> None:
    write_labels(root / "labels" / "t1.png", np.ones((5, 5), np.int32))
    done = _run("verify", "folder", root, "--json")
    answer = json.loads(done.stdout)
    assert (done.exit_code, answer["errors"], answer["problems"][0]["name"]) == (1, 1, "t1")
    assert "1 error," in _run("verify", "folder", root).stdout


def test_verify_minds_warnings_only_when_strict(root: Path) -> None:
    write_labels(root / "labels" / "t1.png", np.zeros((32, 32), np.int32))
    assert _run("verify", "folder", root).exit_code == 0
    assert _run("verify", "folder", root, "--strict").exit_code == 1


def test_convert_and_resample(root: Path, tmp_path: Path) -> None:
    done = _run("convert", "folder", root, tmp_path / "out", "--to-mpp", 1)
    assert (done.exit_code, "8 samples written" in done.stdout) == (0, True)
    sheet = json.loads(_run("info", "folder", tmp_path / "out", "--json").stdout)
    assert (sheet["mpp"], sheet["counts"]["nuclei"], sheet["counts"]["test"]) == (1.0, 16, 2)


def test_convert_leaves_out_broken_samples_and_says_so(root: Path, tmp_path: Path) -> None:
    (root / "images" / "t3.png").write_bytes(b"broken")
    done = _run("convert", "folder", root, tmp_path / "out")
    assert done.exit_code == 1
    assert "left out t3: " in done.stderr
    assert not (tmp_path / "out" / "images" / "t3.png").exists()
    assert _run("verify", "folder", tmp_path / "out").exit_code == 0


def test_convert_of_nothing_readable_names_every_sample(root: Path, tmp_path: Path) -> None:
    for path in (root / "images").iterdir():
        path.write_bytes(b"broken")
    done = _run("convert", "folder", root, tmp_path / "out")
    assert isinstance(done.exception, DataError)
    assert done.stderr.count("left out t") == 8


def test_convert_never_overwrites(root: Path, tmp_path: Path) -> None:
    assert _run("convert", "folder", root, tmp_path / "out").exit_code == 0
    for layout in ("folder", "conic", "pannuke"):
        done = _run("convert", "folder", root, tmp_path / "out", "--to", layout)
        assert isinstance(done.exception, DataError)
    assert isinstance(
        _run("convert", "folder", root, tmp_path / "x", "--to", "coco").exception, UnknownNameError
    )
    assert not (tmp_path / "x").exists()


@pytest.fixture
def conic(tmp_path: Path) -> Path:
    """Four patches of four sources in the layout of CoNIC, two nuclei each; the last has an unknown class."""
    folder = tmp_path / "conic"
    folder.mkdir()
    rng = np.random.default_rng(0)
    np.save(folder / "images.npy", rng.integers(0, 256, (4, 256, 256, 3), dtype=np.uint8))
    labels = np.zeros((4, 256, 256, 2), np.uint16)
    labels[:, 20:40, 30:40], labels[:, 80:90, 90:99] = (300, 2), (301, 6)
    labels[3, 20:40, 30:40, 1] = 9
    np.save(folder / "labels.npy", labels)
    names = [f"glas_{k}-0000" for k in range(4)]
    (folder / "patch_info.csv").write_text("\n".join(["patch_info", *names]))
    return folder


def test_convert_keeps_classes_parts_and_tags_and_goes_back(conic: Path, tmp_path: Path) -> None:
    done = _run("convert", "conic", conic, tmp_path / "own", "--option", "fold=2")
    assert (done.exit_code, "left out glas_3-0000: " in done.stderr) == (1, True)
    with (tmp_path / "own" / "index.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["image_id"], row["cohort"], row["source"]) for row in rows][2] == (
        "glas_2-0000",
        "glas",
        "glas_2",
    )
    assert {row["split"] for row in rows} <= {"train", "val"}
    sheet = json.loads(_run("info", "folder", tmp_path / "own", "--json").stdout)
    assert (sheet["licence"], sheet["classes"]["6"]) == ("CC BY-NC-SA 4.0", "connective")
    assert _run("convert", "folder", tmp_path / "own", tmp_path / "back", "--to", "conic").exit_code == 0
    for name in ("images.npy", "labels.npy"):
        ours, theirs = np.load(tmp_path / "back" / name), np.load(conic / name)[:3]
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours[..., -1], theirs[..., -1])
    assert _run("verify", "conic", tmp_path / "back").exit_code == 0


def test_convert_leaves_out_what_the_arrays_cannot_hold(conic: Path, tmp_path: Path) -> None:
    done = _run("convert", "conic", conic, tmp_path / "x", "--to", "conic", "--mpp", 0.25)
    assert isinstance(done.exception, DataError)  # 256 px at 0.25 are 128 px at 0.5
    assert done.stderr.count("expected at least 256 px") == 3


def test_options_of_readers(conic: Path, tmp_path: Path) -> None:
    assert isinstance(
        _run("convert", "conic", conic, tmp_path / "x", "--option", "fold").exception, ConfigError
    )
    twice = _run("convert", "conic", conic, tmp_path / "x", "--option", "fold=1", "--option", "fold=2")
    assert isinstance(twice.exception, ConfigError)
    assert "given twice" in str(twice.exception)
    done = _run("convert", "conic", conic, tmp_path / "x", "--option", "fol=1")
    assert isinstance(done.exception, UnknownNameError)
    assert "did you mean 'fold'" in str(done.exception)


def test_split_prints_and_writes(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "split.csv"
    done = _run("split", "folder", root, "--train", 2, "--val", 1, "--test", 1, "--out", out)
    assert done.exit_code == 0
    with out.open() as stream:
        rows = list(csv.DictReader(stream))
    assert sorted(row["name"] for row in rows) == [f"t{k}" for k in range(8)]
    assert {row["split"]: row["patient"] for row in rows}.keys() == {"train", "val", "test"}
    parts = json.loads(_run("split", "folder", root, "--by", "name", "--json").stdout)
    assert sum(map(len, parts.values())) == 8


def test_a_split_says_that_it_ignores_published_parts_and_comes_back(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "my parts.csv"
    done = _run("split", "folder", root, "--seed", 3, "--out", out)
    assert "published parts (test 2, train 6) are not used here" in done.stderr
    assert done.stdout.splitlines()[-1] == (
        f"next: histoscope train CONFIG.yaml --set data.split={shlex.quote(str(out))}"
    )
    dataset = data.with_parts(data.open("folder", root), out)
    back = data.split_published(dataset)
    straight = data.split_by(data.open("folder", root), seed=3)
    assert all(
        a.records == tuple(replace(r, split=n) for r in b.records)
        for (n, a), (_, b) in zip(back, straight, strict=True)
    )
    assert dataset[0].name == "t0"
    _run("split", "folder", root, "--by", "name", "--out", out)
    assert out.read_text().startswith("name,split\n")


def test_audit_of_published_parts_is_clean(root: Path) -> None:
    done = _run("audit", "folder", root)
    assert (done.exit_code, done.stdout.strip()) == (0, "audit of train 6, test 2: clean")


def test_audit_screams_on_a_split_by_name(root: Path) -> None:
    done = _run("audit", "folder", root, "--by", "name", "--json")
    answer = json.loads(done.stdout)
    assert (done.exit_code, answer["clean"], answer["counts"]["patient"] > 0) == (1, False, True)


def test_audit_of_leaking_published_parts_reports_instead_of_refusing(root: Path) -> None:
    index = root / "index.csv"
    index.write_text(index.read_text().replace("t5,train", "t5,test"))
    done = _run("audit", "folder", root)
    assert (done.exit_code, "p2" in done.stdout) == (1, True)


def test_audit_ends_with_one_on_a_turned_label_map(root: Path) -> None:
    drawn = generate((160, 160))
    write_image(root / "images" / "t3.png", drawn.image)
    write_labels(root / "labels" / "t3.png", np.rot90(drawn.instances).copy())
    told = _run("audit", "folder", root)
    assert (told.exit_code, "labels   train/t3: the label map does not match" in told.stdout) == (1, True)
    answer = json.loads(_run("audit", "folder", root, "--json").stdout)
    assert (answer["clean"], [one["name"] for one in answer["labels"]]) == (False, ["train/t3"])


def test_groups_that_cannot_be_written_are_refused_before_pictures_are_compared(
    root: Path, tmp_path: Path
) -> None:
    done = _run("audit", "folder", root, "--groups", tmp_path / "groups.csv")
    assert isinstance(done.exception, DataError)
    assert "one class each" in str(done.exception)
    assert "comparing" not in done.output


def test_audit_of_two_folders(root: Path, tmp_path: Path) -> None:
    _run("convert", "folder", root, tmp_path / "copy")
    done = _run("audit", "folder", root, tmp_path / "copy", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["counts"] == {"patient": 4, "name": 8, "image": 8}


def test_audit_proposes_groups(tmp_path: Path) -> None:
    for k in range(6):
        picture = np.kron(np.random.default_rng(k // 2).integers(60, 250, (12, 12, 3)), np.ones((8, 8, 1)))
        picture = (picture if k % 2 else np.rot90(picture)).astype(np.uint8)
        write_image(tmp_path / "my patches" / ("normal" if k < 3 else "tumour") / f"p{k}.png", picture)
    root, out = tmp_path / "my patches", tmp_path / "the groups.csv"
    np.save(tmp_path / "features.npy", np.eye(6))
    done = _run(
        *("audit", "class_folder", root, "--mpp", 0.2462759, "--groups", out),
        *("--features", tmp_path / "features.npy"),
    )
    assert done.exit_code == 0
    assert "--mpp 0.2462759 " in done.stdout.splitlines()[-1]
    assert "6 patches, 3 links, 3 groups: 3 of 2" in done.stdout
    command, *words = shlex.split(done.stdout.splitlines()[-1].removeprefix("next: histoscope "))
    again = _run(*words)
    assert (command, again.exit_code) == ("data", 0), again.output
    assert "one group with 2 classes: 1 normal, 1 tumour" in done.stdout
    with out.open() as stream:
        assert [row["group"] for row in csv.DictReader(stream)] == [f"group{k // 2}" for k in range(6)]
    split = _run(
        "split", "class_folder", root, "--mpp", 0.5, "--by", "source", "--option", f"index={out}", "--json"
    )
    assert sum(map(len, json.loads(split.stdout).values())) == 6
    answer = json.loads(_run("audit", "class_folder", root, "--mpp", 0.5, "--groups", out, "--json").stdout)
    assert (answer["groups"], answer["links"], answer["agreement"]) == (3, 3, None)
    (root / "normal" / "bad.png").write_bytes(b"x")
    assert _run("audit", "class_folder", root, "--mpp", 0.5, "--groups", out).exit_code == 1
    two = _run("audit", "class_folder", root, root, "--mpp", 0.5, "--groups", out)
    assert isinstance(two.exception, ConfigError)
