"""Settings follow from the data, say why, and are right as they are written."""

import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from histoscope import config, data, models, stain, synth, weights
from histoscope.data import InMemory
from histoscope.errors import ConfigError, DataError, HistoscopeError
from histoscope.files import write_image
from histoscope.models.patches.initial import load_initial_weights
from histoscope.train import pace, proposals
from histoscope.train.experiment import Experiment, run
from histoscope.train.look import Seen, look
from histoscope.train.parts import open_parts
from histoscope.train.propose import propose
from histoscope.types import Record

TILE = synth.generate((96, 112), mpp=0.5, rng=np.random.default_rng(0))


def tiles(root: Path, records: list[Record], *, mpp: float = 0.5) -> Path:
    """Write the same tile for each record."""
    samples = [
        dataclasses.replace(
            TILE, mpp=mpp, classes=None, name=one.name, patient=one.patient, source=one.source
        )
        for one in records
    ]
    return data.write_folder(root, samples, data.Datasheet("tiles", mpp=mpp), records=records)


def patches(root: Path, counts: dict[str, int]) -> Path:
    """Write patches, each from a slide of its own."""
    lines = ["path,class,source"]
    for kind, n in counts.items():
        for k in range(n):
            write_image(root / kind / f"{k}.png", TILE.image[:64, :64])
            lines.append(f"{kind}/{k}.png,{kind},{kind}{k}")
    (root / "index.csv").write_text("\n".join(lines), encoding="utf-8")
    return root


def of_patients(n: int, patients: int, *, split: str = "", **tags: str) -> list[Record]:
    """Make records of so many images of so many patients."""
    return [Record(f"t{k}", f"p{k % patients}" if patients else "", split=split, tags=tags) for k in range(n)]


def chosen(root: Path, **given: float) -> dict[str, object]:
    """Give what is chosen for a folder, by its place in the file."""
    return flat(propose(look(root, given=given)).values())


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Give settings by their place in the file, such as train.steps."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        inner = isinstance(value, dict) and key != "options"
        found |= flat(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return found


def test_patients_stay_together(tmp_path):
    proposal = propose(look(tiles(tmp_path / "a", of_patients(12, 6))))
    assert flat(proposal.values())["data.split_by"] == "patient"
    assert proposal.notes == []
    known = [{record.patient for record in part.records} for _, part in proposal.parts]
    assert all(known)
    assert not (known[0] & known[1])
    assert not (known[0] & known[2])
    assert not (known[1] & known[2])


@pytest.mark.parametrize(
    ("patients", "words"), [(2, "there are 2 by 'patient'"), (1, "there is 1"), (0, "no usable column")]
)
def test_too_few_patients_are_told_and_images_parted_one_by_one(tmp_path, patients, words):
    proposal = propose(look(tiles(tmp_path / "a", of_patients(8, patients))))
    assert flat(proposal.values())["data.split_by"] == "name"
    assert len(proposal.notes) == 1
    assert words in proposal.notes[0]
    assert "say little about new patients" in proposal.notes[0]


def test_another_column_may_name_the_patient(tmp_path):
    records = [Record(f"t{k}", tags={"donor": f"d{k // 2}"}) for k in range(8)]
    assert chosen(tiles(tmp_path / "a", records))["data.split_by"] == "donor"


def test_published_parts_are_kept_and_leaking_ones_are_not(tmp_path):
    records = [Record(f"t{k}", f"p{k // 2}", split="test" if k > 5 else "train") for k in range(8)]
    kept = chosen(tiles(tmp_path / "a", records))
    assert (kept["data.split_by"], kept["data.val_by"]) == ("published", "patient")
    leaking = [dataclasses.replace(record, patient=f"p{k % 4}") for k, record in enumerate(records)]
    proposal = propose(look(tiles(tmp_path / "b", leaking)))
    assert flat(proposal.values())["data.split_by"] == "patient"
    assert "leak" in proposal.notes[0]


def test_two_images_are_too_few(tmp_path):
    with pytest.raises(DataError, match="2 images, too few for training, validation and test"):
        propose(look(tiles(tmp_path / "a", of_patients(2, 2))))


def seen_of(n: int, side: int, mpp: float, classes: dict[str, int] | None = None) -> Seen:
    """Make what is seen of images without pixels."""
    records = [Record(str(k), str(k)) for k in range(n)]
    dataset = InMemory(data.Datasheet("x", mpp=mpp), records, [TILE] * n)
    sides = np.full((n, 2), side * mpp)
    return Seen(Path("x"), "folder", dataset, "nuclei", mpp, "data", n, sides, 9 * n, 7.0, classes or {})


def values(seen: Seen) -> dict[str, object]:
    n = len(seen.dataset) // 2
    part = data.subset(seen.dataset, range(n))
    return proposals.of_nuclei(seen, data.Split(part, part, part))


@pytest.mark.parametrize(
    ("mpp", "model_mpp", "patch", "batch"),
    [(0.25, 0.25, 256, 4), (0.5, 0.5, 128, 8), (0.1, 0.25, 256, 4), (1, 0.5, 128, 8)],
)
def test_resolution_and_patches_follow_the_images(mpp, model_mpp, patch, batch):
    found = values(seen_of(20, 3000, mpp, {"a": 9, "b": 9}))
    assert found["initial_weights"] is None
    assert (found["mpp"], found["patch_px"], found["batch_size"]) == (
        model_mpp,
        patch,
        batch,
    )


def test_nuclei_of_one_kind_begin_from_weights_that_come_along():
    found = values(seen_of(20, 3000, 0.25))
    card = models.read_card(found["initial_weights"])
    assert (found["mpp"], found["patch_px"]) == (card["input"]["mpp"], 128)
    assert all(found["shape"][key] == card["arguments"][key] for key in ("width", "depth", "grid"))


def test_a_given_model_goes_on_in_its_own_network_in_small_steps(tmp_path):
    root = tiles(tmp_path / "a", of_patients(12, 6))
    for name in ("nuclei-free", "nuclei-research"):
        proposal = propose(look(root), name)
        card, chosen = models.read_card(name), proposal.experiment()
        assert (str(chosen.initial_weights), chosen.model.name) == (name, card["architecture"])
        assert chosen.model.arguments["classes"] == card["arguments"]["classes"]
        assert (chosen.train.lr, chosen.train.steps) == (proposals.FURTHER_LR, proposals.LEAST_FURTHER_STEPS)
        assert chosen.train.ema == proposals.FURTHER_EMA
        network = models.create(chosen.model.name, **chosen.model.arguments)
        load_initial_weights(network, weights.find(name))  # fits to the last name and shape


def test_the_normaliser_of_a_given_model_stays(tmp_path):
    root = tiles(tmp_path / "a", of_patients(12, 6))
    network = models.create("stardist", width=4, depth=2, mpp=0.5)
    models.save(network, tmp_path / "model", normalizer=stain.open("macenko"))
    chosen = propose(look(root), tmp_path / "model").experiment()
    assert chosen.normalizer == "macenko"
    kept = stain.open(chosen.normalizer, chosen.reference)
    assert np.array_equal(kept(TILE.image), stain.open("macenko")(TILE.image))


def test_what_finds_no_nuclei_is_not_gone_on_from(tmp_path):
    root = tiles(tmp_path / "a", of_patients(12, 6))
    network = models.create("classifier", backbone="unet", patch_px=32, mpp=0.5, classes=["a", "b"])
    models.save(network, tmp_path / "model")
    with pytest.raises(ConfigError, match="is a classifier, which does not find nuclei"):
        propose(look(root), tmp_path / "model")
    with pytest.raises(ConfigError, match="patches with classes, but --from takes a model that finds nuclei"):
        propose(look(patches(tmp_path / "b", {"x": 4, "y": 4}), given={"mpp": 0.5}), "nuclei-free")
    with pytest.raises(HistoscopeError, match="nuclei-fre"):
        propose(look(root), "nuclei-fre")


def test_patches_are_no_larger_than_images_and_fit_the_network():
    assert values(seen_of(8, 100, 0.25, {"a": 9}))["patch_px"] == 96


def test_steps_follow_the_area_within_bounds(monkeypatch):
    monkeypatch.setattr(proposals, "free_memory", lambda: 10**12)
    steps = [values(seen_of(n, 1000, 0.25, {"a": 9}))["steps"] for n in (2, 60, 600)]
    assert steps == [1000, 2900, 6000]  # 30 megapixels 25 times, in batches of 0.26
    tuning = [values(seen_of(n, 1000, 0.25))["steps"] for n in (2, 60, 6000)]
    assert tuning == [500, 1400, 6000]  # a quarter of the pixels, in batches of 0.13


def test_more_than_the_memory_holds_is_not_asked_for(monkeypatch):
    assert values(seen_of(20, 1000, 0.25))["tiles"] is None
    monkeypatch.setattr(proposals, "free_memory", lambda: 14 * 7e6 * 2)
    # half of it holds 14, of which 10 validate
    assert values(seen_of(20, 1000, 0.25, {"a": 9}))["tiles"] == 4


@pytest.mark.parametrize(
    ("classes", "remedy"),
    [({}, False), ({"a": 100, "b": 80}, False), ({"a": 100, "b": 9}, True), ({"a": 9, "b": 0}, False)],
)
def test_rare_classes_get_remedies(classes, remedy):
    assert bool(values(seen_of(8, 1000, 0.25, classes))["rare"]) == remedy


def test_the_file_is_read_as_what_was_proposed(tmp_path):
    proposal = propose(look(tiles(tmp_path / "a", of_patients(12, 6)), given={"mpp": 0.4}))
    (tmp_path / "a.yaml").write_text(proposal.text, encoding="utf-8")
    assert proposal.text.startswith("data:\n  # The reader")
    assert max(map(len, proposal.text.splitlines())) <= 100
    assert config.load(Experiment, tmp_path / "a.yaml") == proposal.experiment()
    assert open_parts(proposal.experiment().data).test.records == proposal.parts.test.records


def test_every_setting_that_may_be_doubted_has_a_reason(tmp_path):
    for proposal in (
        propose(look(tiles(tmp_path / "a", of_patients(12, 6)))),
        propose(look(patches(tmp_path / "b", {"x": 8, "y": 8}), given={"mpp": 0.5})),
    ):
        lines = proposal.text.splitlines()
        bare = {line.strip() for before, line in pairwise(lines) if "#" not in line and "#" not in before}
        settings = {line.partition(":")[0] for line in bare if not line.endswith(":")}
        assert settings <= {"root", "depth", "name"}


def test_changes_win_and_another_model_keeps_none_of_the_arguments(tmp_path):
    proposal = propose(look(tiles(tmp_path / "a", of_patients(12, 6))))
    assert proposal.experiment(["train.steps=7"]).train.steps == 7
    other = proposal.experiment(["model.name=unet", "model.arguments.mpp=0.5"])
    assert (other.model.name, other.model.arguments) == ("unet", {"mpp": 0.5})
    assert (other.initial_weights, other.train.steps) == (None, 1000)


def test_patches_take_weights_that_lie_beside_them(tmp_path, monkeypatch):
    root = patches(tmp_path / "data", {"x": 12, "y": 3})
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    monkeypatch.chdir(tmp_path / "data")
    without = chosen(root, mpp=0.5)
    assert without["model.arguments.weights"] == "nuclei"
    assert "train.transfer.backbone_lr" not in without
    assert without["balance"] == "weights"
    (tmp_path / "pretrained_weights").mkdir()
    (tmp_path / "pretrained_weights" / "resnet34.safetensors").write_bytes(b"")
    found = chosen(root, mpp=0.5)
    assert found["model.arguments.backbone"] == "resnet34"
    assert found["model.arguments.weights"] == "../pretrained_weights/resnet34.safetensors"
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache", lambda repo, name, *_: name if "resnet18" in repo else None
    )
    (tmp_path / "pretrained_weights" / "resnet34.safetensors").unlink()
    cached = chosen(root, mpp=0.5)
    assert (cached["model.arguments.backbone"], cached["model.arguments.pretrained"]) == ("resnet18", True)


def test_patches_begin_from_weights_that_come_along_where_there_are_no_others(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    proposal = propose(look(patches(tmp_path / "a" / "b", {"x": 6, "y": 6}), given={"mpp": 0.5}))
    small = ["train.steps=1", "train.batch_size=2", "train.tensorboard=false", f"out={tmp_path / 'run'}"]
    said: list[str] = []
    table = run(proposal.experiment(small), on_note=said.append)
    assert len(table) == len(proposal.parts.test)
    assert any("loaded" in line and "nuclei" in line for line in said)


def test_patches_too_wide_to_be_shown_whole_are_shown_in_the_middle(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    root = patches(tmp_path / "a" / "b", {"x": 6, "y": 6})
    assert "model.arguments.mpp" not in chosen(root, mpp=2.0)
    seen = look(root, given={"mpp": 4.0})
    wide = dataclasses.replace(seen, sides_um=seen.sides_um * 8)
    assert flat(propose(wide).values())["model.arguments.mpp"] == 5.0


def test_patches_of_one_class_teach_nothing(tmp_path):
    with pytest.raises(DataError, match="of one class"):
        propose(look(patches(tmp_path / "a", {"x": 4}), given={"mpp": 0.5}))


def test_what_is_proposed_runs_and_its_time_is_told(tmp_path):
    proposal = propose(look(tiles(tmp_path / "a", of_patients(4, 4))))
    small = ["model.arguments.width=4", "train.patch_px=32", "train.steps=2", "train.tensorboard=false"]
    experiment = proposal.experiment([*small, f"out={tmp_path / 'run'}"])
    assert 0 < pace.seconds_of(experiment, proposal.parts) < 60
    assert len(run(experiment)) == len(proposal.parts.test)
    assert config.load(Experiment, tmp_path / "run" / "config.yaml") == experiment


def test_time_of_patches_is_told(tmp_path):
    proposal = propose(look(patches(tmp_path / "a", {"x": 6, "y": 6}), given={"mpp": 0.5}))
    small = ["model.arguments={backbone: unet, patch_px: 32, options: {width: 4, depth: 2}}", "train.steps=4"]
    experiment = proposal.experiment([*small, "train.transfer=null", "train.batch_size=4"])
    assert 0 < pace.seconds_of(experiment, proposal.parts) < 60


def test_unusual_sizes_are_doubted(tmp_path):
    proposal = propose(look(tiles(tmp_path / "a", of_patients(8, 4), mpp=0.5), given={"mpp": 4.0}))
    assert any("is 4 the right pixel size?" in note for note in proposal.notes)
