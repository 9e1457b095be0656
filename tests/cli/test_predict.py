import json
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from histoscope import models
from histoscope.cli.main import app
from histoscope.errors import ConfigError, DatasetNotFoundError, UnknownNameError
from histoscope.files import read_labels, write_image
from histoscope.models import Classifier, InputSpec, Model, Segmenter
from histoscope.renamed import RenamedWarning
from histoscope.types import Nuclei, Sample


class Dark(Segmenter):
    """Takes everything dark for one nucleus."""

    name = "dark"

    def __init__(self, *, mpp: float = 0.25) -> None:
        spec = InputSpec(mpp=mpp, divisible_by=4, classes=("cell", "other"))
        super().__init__(spec, {"mpp": mpp})
        self.scale = torch.nn.Parameter(torch.ones(1))

    def heads(self, x):
        return {"colour": x * self.scale}

    def merged(self, turned):
        return {"colour": torch.stack([heads["colour"] for heads in turned]).mean(0)}

    def decode(self, heads, shape, mpp):
        labels = (heads["colour"][0].mean(0).numpy() < 0).astype(np.int32)
        n = int(labels.max())
        ones = np.ones(n)
        return Nuclei(np.zeros((n, 2), np.float32), ones.astype(np.uint8), ones, labels, mpp)


@pytest.fixture
def model(tmp_path, monkeypatch):
    module = ModuleType("histoscope_test_dark")
    module.Dark = Dark
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(models.MODELS, "dark", (module.__name__, "Dark"))
    return models.save(Dark(), tmp_path / "model")


@pytest.fixture
def tile(tmp_path, disks: Sample):
    write_image(tmp_path / "tile.png", disks.image)
    return tmp_path / "tile.png"


def call(*arguments):
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def test_one_image(model, tile, tmp_path, disks: Sample):
    out = tmp_path / "out"
    done = call(model, tile, out, "--mpp", 0.25)
    assert done.exit_code == 0, done.output
    assert "1 nucleus in 1 image;" in done.stdout
    assert "cell: 1 (yellow), other: 0 (blue)" in done.stdout
    written = {path.name for path in out.iterdir()}
    ends = {"_overlay.png", "_labels.png", ".geojson", ".csv"}
    assert written == {f"tile{end}" for end in ends} | {"summary.csv", "predictions.jsonl"}
    assert np.array_equal(read_labels(out / "tile_labels.png") > 0, disks.instances > 0)


def test_an_image_that_asks_to_be_turned_is_turned_and_said_so(model, tmp_path, disks: Sample):
    from PIL import Image as Pillow

    picture = Pillow.fromarray(disks.image)
    exif = picture.getexif()
    exif[274] = 6  # a quarter to the right
    picture.save(tmp_path / "tile.png", exif=exif)
    done = call(model, tmp_path / "tile.png", tmp_path / "out", "--mpp", 0.25, "--only", "labels")
    assert (
        "1 image rotated upright, as their EXIF or TIFF tags ask; results fit what viewers show"
        in done.stderr
    )
    found = read_labels(tmp_path / "out" / "tile_labels.png") > 0
    assert np.array_equal(found, np.rot90(disks.instances > 0, -1))


def test_many_sources_choice_and_json(model, tile, tmp_path, disks: Sample):
    write_image(tmp_path / "more" / "b.png", disks.image)
    out = tmp_path / "out"
    arguments = [model, tile, tmp_path / "more", out, "--mpp", 0.25, "--only", "csv", "--only", "geojson"]
    done = call(*arguments, "--tta", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["predicted"], told["skipped"], told["nuclei"], told["failed"]) == (2, 0, 2, [])
    assert told["classes"] == ["cell", "other"]
    assert [row["image"] for row in told["images"]] == ["tile", "b"]
    ends = {path.name.removeprefix("tile").removeprefix("b") for path in out.glob("[tb]*")}
    assert ends == {".csv", ".geojson"}
    with pytest.warns(RenamedWarning, match="--turned is now --tta"):
        again = call(*arguments, "--turned")
    assert "2 finished images skipped" in again.stdout


def test_bad_files_are_told_at_the_end(model, tile, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    done = call(model, tile, tmp_path / "text.png", tmp_path / "out", "--mpp", 0.25)
    assert done.exit_code == 1
    assert "1 nucleus in 1 image;" in done.stdout
    assert "1 image failed" in done.stderr
    assert "text.png cannot be decoded" in done.stderr


def test_slides_are_called_slides(model, tmp_path):
    (tmp_path / "empty.svs").touch()
    write_image(tmp_path / "glass.tif", np.full((60, 60, 3), 240, np.uint8), mpp=0.25)
    arguments = [model, tmp_path / "empty.svs", tmp_path / "glass.tif", tmp_path / "out", "--as", "slide"]
    done, again = call(*arguments), call(*arguments)
    assert done.exit_code == again.exit_code == 1
    assert "0 nuclei in 1 slide;" in done.stdout
    assert "1 slide failed" in done.stderr
    assert "1 finished slide skipped" in again.stdout
    told = json.loads(call(*arguments, "--json").stdout, parse_constant=pytest.fail)  # NaN is no JSON
    assert told["images"][0]["nearest_um"] is None
    missing = call(model, tmp_path / "none.svs", tmp_path / "out")
    assert "no image or slide at" in str(missing.exception)
    assert ".mrxs, .ndpi" in str(missing.exception)


def test_what_is_left_out_is_told(model, tile, tmp_path, disks: Sample):
    folder = tmp_path / "folder"
    write_image(folder / "a.png", disks.image)
    (folder / "slide.vsi").write_bytes(b"")
    done = call(model, folder, folder, "--mpp", 0.25)
    assert done.exit_code == 0, done.output
    assert "slide.vsi" in done.stderr
    done = call(model, folder, folder, "--mpp", 0.25, "--json")
    told = json.loads(done.stdout)
    assert [row["image"] for row in told["images"]] == ["a"]
    names = {one["path"].rpartition("/")[2] for one in told["left_out"]}
    assert names == {"slide.vsi", "a_labels.png", "a_overlay.png"}


def test_specks_are_no_nuclei_and_how_small_they_are_can_be_said(model, tmp_path):
    image = np.full((40, 40, 3), 255, np.uint8)
    image[5:12, 5:12] = 20  # 49 pixels of 0.0625 um2: 3.1 um2
    write_image(tmp_path / "a.png", image)
    for least, n in ((None, 0), (3, 1), (0, 1), (3.2, 0)):
        given = [] if least is None else ["--least-area", least]
        done = call(model, tmp_path / "a.png", tmp_path / f"out{least}", "--mpp", 0.25, "--json", *given)
        assert json.loads(done.stdout)["nuclei"] == n
    done = call(model, tmp_path / "a.png", tmp_path / "out3", "--mpp", 0.25)
    assert isinstance(done.exception, ConfigError)
    assert "nuclei from 3 um2" in str(done.exception)


def test_non_commercial_weights_say_so_once(model, tile, tmp_path):
    models.save(models.load(model), model, {"weights licence": "CC BY-NC 4.0"})
    with pytest.warns(UserWarning, match="non-commercial use only: CC BY-NC 4.0") as said:
        done = call(model, tile, tmp_path / "out", "--mpp", 0.25, "--json")
    assert len(said) == 1  # the command line writes warnings to stderr
    json.loads(done.stdout)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"model": "nucle"}, UnknownNameError, "unknown model 'nucle'"),
        ({"image": "none.png"}, DatasetNotFoundError, "no image or slide at none.png"),
        ({"mpp": []}, ConfigError, "tile.png does not give its resolution"),
        ({"mpp": ["--mpp", "-1"]}, ConfigError, "from 0.05 to 5"),
    ],
)
def test_wrong_input_is_told(model, tile, tmp_path, change, error, words):
    given = {"model": model, "image": tile, "mpp": ["--mpp", "0.25"]} | change
    done = call(given["model"], given["image"], tmp_path / "out", *given["mpp"])
    assert isinstance(done.exception, error)
    assert words in str(done.exception)


def test_evaluate_takes_names_and_says_the_licence(model, tmp_path, disks: Sample, monkeypatch):
    from histoscope import weights

    models.save(models.load(model), model, {"weights licence": "CC BY-NC 4.0"})
    monkeypatch.setitem(weights.WEIGHTS, "model", "a model for tests")
    monkeypatch.setattr(weights, "_FOLDER", tmp_path)
    write_image(tmp_path / "data" / "images" / "a.png", disks.image)
    from histoscope.files import write_labels

    write_labels(tmp_path / "data" / "labels" / "a.png", disks.instances)
    given = ["evaluate", "model", str(tmp_path / "data"), "--mpp", "0.25", "--json"]
    with pytest.warns(UserWarning, match="non-commercial"):
        done = CliRunner().invoke(app, given)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["images"] == 1


class Tint(Classifier):
    """Tells red patches from blue ones."""

    name = "tint"

    def __init__(self, *, mpp: float = 1.0) -> None:
        spec = InputSpec(mpp, 1, (0.0,) * 3, (1.0,) * 3, classes=("red", "blue"), patch_px=16)
        Model.__init__(self, spec, {"mpp": mpp})
        self.interpolation, self.freeze_norm = "bilinear", False
        self.scale = torch.nn.Parameter(torch.ones(1))
        self.register_buffer("temperature", torch.ones(()))

    def heads(self, x):
        red, _, blue = x.mean(dim=(2, 3)).unbind(1)
        return {"logits": torch.stack((red - blue, blue - red), dim=1) * 20 * self.scale}


@pytest.fixture
def classifier(tmp_path, monkeypatch):
    module = ModuleType("histoscope_test_cli_tint")
    module.Tint = Tint
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(models.MODELS, "tint", (module.__name__, "Tint"))
    return models.save(Tint(), tmp_path / "tint")


@pytest.fixture
def patches(tmp_path):
    for name, colour in {"one": (210, 80, 150), "two": (120, 80, 200)}.items():
        write_image(tmp_path / "patches" / f"{name}.png", np.full((16, 16, 3), colour, np.uint8))
    return tmp_path / "patches"


def test_a_folder_of_patches(classifier, patches, tmp_path):
    out = tmp_path / "out"
    done = call(classifier, patches, out, "--mpp", 1)
    assert done.exit_code == 0, done.output
    assert "2 patches, red: 1, blue: 1" in done.stdout
    lines = (out / "predictions.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "name,predicted,p_red,p_blue"
    assert lines[1].startswith("one,red,")
    (patches / "bad.png").write_bytes(b"")
    done = call(classifier, patches, out, "--mpp", 1, "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert (told["predicted"], told["skipped"], told["patches"]) == (0, 2, 2)
    assert told["predictions"] == {"red": 1, "blue": 1}
    assert "bad.png" in told["failed"][0]["path"]


def test_a_large_image_as_a_map(classifier, tmp_path):
    image = np.full((32, 48, 3), (210, 80, 150), np.uint8)
    image[:, 16:] = 120, 80, 200
    write_image(tmp_path / "large.png", image)
    done = call(classifier, tmp_path / "large.png", tmp_path / "out", "--mpp", 1, "--only", "heatmap")
    assert done.exit_code == 0, done.output
    assert "6 tiles in 1 image, red: 2 (yellow), blue: 4 (blue)" in done.stdout
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"large_heatmap.png", "summary.csv", "predictions.jsonl"}


def test_outputs_of_the_other_kind_of_model_are_refused(model, classifier, tile, tmp_path):
    for folder, kind in ((model, "heatmap"), (classifier, "overlay")):
        done = call(folder, tile, tmp_path / "out", "--mpp", 0.25, "--only", kind)
        assert isinstance(done.exception, ConfigError)
        assert f"--only {kind}" in str(done.exception)


def test_a_device_is_named(model, classifier, tile, tmp_path):
    for k, chosen in enumerate((model, classifier)):
        assert call(chosen, tile, tmp_path / str(k), "--mpp", 0.25, "--device", "cpu").exit_code == 0
        several = call(chosen, tile, tmp_path / "no", "--mpp", 0.25, "--device", "cpu,cpu")
        assert "several devices are for slides" in str(several.exception)
    slides = [model, tile, tmp_path / "slides", "--mpp", 0.25, "--as", "slide"]
    assert call(*slides, "--device", "cpu,cpu").exit_code == 0
    assert "no device 'tpu'" in str(call(*slides, "--device", "tpu").exception)
