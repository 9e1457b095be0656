"""Real, synthetic, mixed, pretrained: the four ways of `histoscope train`, each a line of its YAML."""

import json
from dataclasses import replace

import pandas as pd
import pytest
import torch
import yaml

from histoscope import config, data, models
from histoscope.data import Datasheet
from histoscope.errors import ConfigError, DataError, DatasetNotFoundError, UnknownNameError
from histoscope.models.patches.initial import load_initial_weights
from histoscope.train import experiment
from histoscope.train.experiment import Experiment


@pytest.fixture
def recipe(samples, tmp_path):
    """Give a function that runs an experiment with changes, and what it said."""
    data.write_folder(tmp_path / "real", samples, Datasheet(name="lab", licence="CC BY 4.0"))
    drawn = [replace(s, name=f"drawn_{s.name}", source="", patient="") for s in samples[:2]]
    data.write_folder(tmp_path / "drawn", drawn, Datasheet(name="drawn", licence="CC0", mpp=0.5))

    def run(out="run", **changes):
        settings = {
            "data": {"root": str(tmp_path / "real"), "mpp": 0.5, "val": 0.25, "test": 0.25},
            "model": {"name": "unet", "arguments": {"width": 2, "depth": 2, "mpp": 0.5}},
            "augment": "none",
            "train": {"steps": 2, "batch_size": 2, "patch_px": 32, "evaluate_every": 2, "tensorboard": False},
            "out": str(tmp_path / out),
        }
        for key, value in changes.items():
            settings[key] = settings[key] | value if key in {"data", "train"} else value
        said: list[str] = []
        table = experiment.run(config.parse(Experiment, settings), on_note=said.append)
        card = json.loads((tmp_path / out / "model" / "card.json").read_text())
        return table, card, "\n".join(said)

    return run


def test_both_in_a_share(recipe, tmp_path):
    table, card, said = recipe(synthetic={"root": str(tmp_path / "drawn"), "share": 0.25})
    assert "2 of drawn, which give 25% of the patches" in said
    assert card["training data"]["name"] == "lab; drawn"
    assert card["weights licence"] == "CC BY 4.0; CC0"
    assert not table["name"].str.startswith("drawn").any()  # never tested on


def test_synthetic_alone_then_tuned_on_a_few_real_tiles(recipe, tmp_path):
    _, card, said = recipe("before", synthetic={"root": str(tmp_path / "drawn"), "share": 1.0})
    assert card["training data"] == {"name": "drawn", "licence": "CC0", "citation": "", "url": ""}
    assert "0 real tiles" in said
    _, card, said = recipe(data={"tiles": 1}, initial_weights=str(tmp_path / "before"), train={"lr": 1e-12})
    assert "loaded" in said
    assert "skipped 0" in said
    assert card["begun from"].endswith("before")
    assert len(card["split"]["train"]) == 1
    first, second = (models.load(tmp_path / name).head.weight for name in ("before", "run"))
    torch.testing.assert_close(first, second, rtol=0, atol=1e-6)


def test_fewer_tiles_are_among_the_more(recipe):
    chosen = [set(recipe(f"run{n}", data={"tiles": n})[1]["split"]["train"]) for n in (1, 2)]
    assert [len(names) for names in chosen] == [1, 2]
    assert chosen[0] < chosen[1]


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"data": {"tiles": 99}}, ConfigError, "99 tiles were asked for"),
        ({"data": {"tiles": 0}}, ConfigError, "data.tiles"),
        ({"synthetic": {"root": "nowhere"}}, DatasetNotFoundError, "nowhere"),
        ({"synthetic": {"root": "drawn", "share": 0}}, ConfigError, "share"),
        ({"synthetic": {"root": "drawn", "shares": 0.5}}, ConfigError, "did you mean 'share'"),
        ({"initial_weights": "nowhere"}, UnknownNameError, "nowhere"),
        (
            {"model": {"name": "classifier", "arguments": {"backbone": "resnet18"}}, "initial_weights": "x"},
            ConfigError,
            "'weights'",
        ),
    ],
)
def test_wrong_settings_say_what_to_do(recipe, changes, error, said):
    with pytest.raises(error, match=said):
        recipe(**changes)


def test_weights_that_do_not_fit_are_refused_and_change_nothing(tmp_path):
    models.save(models.create("unet", width=2, depth=2), tmp_path / "small")
    for name, arguments, said in (
        ("unet", {"width": 4, "depth": 2}, "shapes differ"),
        ("unet", {"width": 2, "depth": 3}, "names are missing"),
        ("unet", {"width": 2, "depth": 1}, "names are left over"),
        ("resunet", {"width": 2, "depth": 2}, "holds a unet, expected a resunet"),
    ):
        model = models.create(name, **arguments)
        before = {key: value.clone() for key, value in model.state_dict().items()}
        with pytest.raises(ConfigError, match=said):
            load_initial_weights(model, tmp_path / "small")
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_weights_of_classes_in_another_order_are_refused(tmp_path):
    small = {"width": 2, "depth": 2, "head_width": 2, "n_rays": 4}
    models.save(models.create("stardist", classes=["tumour", "stroma"], **small), tmp_path / "first")
    load_initial_weights(models.create("stardist", classes=["Tumour", "stroma"], **small), tmp_path / "first")
    with pytest.raises(ConfigError, match=r"set model.arguments.classes: \[tumour, stroma\]"):
        load_initial_weights(
            models.create("stardist", classes=["stroma", "tumour"], **small), tmp_path / "first"
        )


def test_other_classes_are_refused(recipe, samples, tmp_path):
    sheet = Datasheet(name="others", mpp=0.5, classes={1: "one", 2: "two", 3: "three", 4: "four"})
    others = [replace(s, name=f"other_{s.name}") for s in samples[:2]]
    data.write_folder(tmp_path / "others", others, sheet)
    stardist = {
        "name": "stardist",
        "arguments": {"width": 2, "depth": 2, "mpp": 0.5, "classes": ["a", "b", "c", "d"]},
    }
    with pytest.raises(DataError, match=r"classes one, two, three, four, the model has a, b, c, d"):
        recipe(model=stardist, synthetic={"root": str(tmp_path / "others")})


def test_old_settings_are_the_same_experiment(recipe, tmp_path):
    table, _, _ = recipe()
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    for key in ("synthetic", "initial_weights"):
        del written[key]
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(written))
    again, _, _ = recipe()
    pd.testing.assert_frame_equal(table, again, check_dtype=False)
