"""The example of a configuration is valid, whole, and says what every key is."""

import dataclasses

import pytest
import yaml

from histoscope import explained
from histoscope.cli.train import EXAMPLE
from histoscope.config import load
from histoscope.train.config import TrainConfig
from histoscope.train.experiment import Experiment
from histoscope.train.selfsup import Pretraining


def test_the_example_is_what_it_says(tmp_path):
    wanted = Experiment.model_validate(EXAMPLE)
    path = tmp_path / "a.yaml"
    path.write_text(explained.example(wanted), encoding="utf-8")
    assert load(Experiment, path) == wanted


def test_the_example_has_every_key():
    def keys(values):
        return {key: keys(value) for key, value in values.items()} if isinstance(values, dict) else None

    wanted = Experiment.model_validate(EXAMPLE)
    written = yaml.safe_load(explained.example(wanted))
    assert keys(written) == keys(wanted.model_dump(mode="json"))


@pytest.mark.parametrize("kind", [Experiment, Pretraining], ids=lambda kind: kind.__name__)
def test_every_key_is_explained(kind):
    for section in explained.sections_of(kind):
        words = explained.described(section)
        for name, annotation in explained.fields_of(section).items():
            is_section = hasattr(annotation, "model_fields") or dataclasses.is_dataclass(annotation)
            assert words.get(name) or is_section


def test_sections_are_found_where_they_may_be_left_out():
    names = [section.__name__ for section in explained.sections_of(Experiment)]
    assert names == [
        "Experiment",
        "SplitDataConfig",
        "ModelConfig",
        "SyntheticConfig",
        "TrainConfig",
        "TransferConfig",
        "ProbeConfig",
    ]


def test_settings_of_a_dataclass_are_told_too():
    text = explained.example(TrainConfig(steps=7))
    assert text.startswith("# Training steps, one batch each.\nsteps: 7\n")
    assert "precision: 32-true\n" in text
    assert "patience: null\n" in text
