"""Options that mean nothing in a call are refused, whichever value they have."""

import pytest
from typer.testing import CliRunner

from histoscope.cli.main import app
from histoscope.errors import ConfigError

CALLS = {
    "predict nuclei-free IN out --mpp 0.5 --reader tiff": "--reader is for slides",
    "predict nuclei-free IN out --mpp 0.5 --as tiles": "--as tiles is for classifiers",
    "predict nuclei-free IN out --mpp 0.5 --least-tissue 0.1": "--least-tissue is for classifiers",
    "data audit folder IN --min-overlap 0": "--min-overlap only works with --groups",
    "data audit folder IN --features rows.npy": "--features only works with --groups",
    "data audit folder IN IN --by patient": "--by makes parts",
    "data audit folder IN --seed 0": "--seed only works with --by",
    "data audit folder IN --groups g.csv --stratify lab": "--stratify makes parts",
    "synth OUT --like-tiles 3": "--like-tiles only works with --like",
    "synth OUT --format monuseg": "--format only works with --like",
    "synth OUT --steps 10": "--steps is for the network",
    "synth OUT --method learned --like IN --hard": "--hard is for tissue drawn by rules",
}


@pytest.mark.parametrize("call", CALLS)
def test_an_option_without_a_meaning_is_refused(call, tmp_path):
    from histoscope.files import write_image
    from histoscope.synth import generate

    write_image(tmp_path / "in" / "images" / "a.png", generate((32, 32), mpp=0.5).image)
    words = call.replace("IN", str(tmp_path / "in")).replace("OUT", str(tmp_path / "new")).split()
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, ConfigError), done.output
    assert CALLS[call] in str(done.exception)
    assert str(done.exception).endswith("leave it out")


def test_the_same_calls_without_the_option_are_not_refused(tmp_path):
    done = CliRunner().invoke(app, ["synth", str(tmp_path / "new"), "--n", "1", "--size", "32"])
    assert done.exit_code == 0, done.output
