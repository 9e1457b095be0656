"""Model folders: what prediction needs lies in them from the first save, and a network of one's own opens."""

import json
import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from histoscope import models, stain, synth
from histoscope.errors import ConfigError, CorruptDataError
from histoscope.models.card import CARD, STAIN_REFERENCE
from histoscope.models.nuclei.stardist import StarDist
from histoscope.models.nuclei.unet import UNet
from histoscope.renamed import RenamedWarning


class Own(UNet):
    """A network of one's own; it inherits the name of another."""


@pytest.fixture
def unet():
    torch.manual_seed(0)
    return models.create("unet", width=4, depth=2, mpp=0.5)


@pytest.fixture(params=sorted(stain.NORMALIZERS))
def normalizer(request):
    image = synth.generate((128, 128), mpp=0.5, rng=np.random.default_rng(3)).image
    return stain.get(request.param).fit(image)


def test_the_normaliser_comes_back_as_it_was_saved(unet, normalizer, tmp_path):
    models.save(unet, tmp_path / "run" / "model", normalizer=normalizer)
    assert models.read_card(tmp_path / "run" / "model")["stain normaliser"] == normalizer.name
    other = synth.generate((64, 64), mpp=0.5, rng=np.random.default_rng(4)).image
    for folder in (tmp_path / "run", tmp_path / "run" / "model"):
        np.testing.assert_array_equal(models.normalizer_of(folder)(other), normalizer(other))


def test_a_model_without_one_leaves_none_behind(unet, tmp_path):
    models.save(unet, tmp_path, normalizer=stain.get("macenko").default())
    models.save(unet, tmp_path)
    assert models.normalizer_of(tmp_path) is None
    assert not (tmp_path / STAIN_REFERENCE).exists()
    assert models.read_card(tmp_path)["stain normaliser"] == "none"


def test_a_named_normaliser_that_is_missing_is_refused(unet, tmp_path):
    models.save(unet, tmp_path, normalizer=stain.get("macenko").default())
    (tmp_path / STAIN_REFERENCE).unlink()
    with pytest.raises(
        CorruptDataError, match=r"'macenko'.*stain_reference\.json is missing.*fit\(image\)\.save"
    ):
        models.normalizer_of(tmp_path)


@pytest.mark.parametrize("mask", [False, True])
def test_arguments_of_an_earlier_version_make_the_same_model(tmp_path, mask):
    small = {"width": 4, "depth": 2, "n_rays": 8, "mpp": 0.5}
    with pytest.warns(RenamedWarning, match="settle of model 'stardist' is now refine_with_mask"):
        old = models.create("stardist", settle=mask, **small)
    assert (old.inside is not None) == mask
    with pytest.warns(RenamedWarning, match=r"StarDist\(settle=\)"):
        assert StarDist(settle=mask, **small).arguments == old.arguments
    with pytest.raises(ConfigError, match="both settle and refine_with_mask"):
        models.create("stardist", settle=mask, refine_with_mask=mask)
    card = models.save(old, tmp_path) / CARD
    card.write_text(card.read_text().replace("refine_with_mask", "settle"))
    assert "settle" in card.read_text()
    assert models.load(tmp_path).arguments == old.arguments


def test_a_reference_of_another_method_is_refused(unet, tmp_path):
    models.save(unet, tmp_path, normalizer=stain.get("macenko").default())
    stain.get("reinhard").default().save(tmp_path / STAIN_REFERENCE)
    with pytest.raises(CorruptDataError, match=r"'macenko'.*'reinhard'"):
        models.normalizer_of(tmp_path)


def test_a_card_of_an_earlier_version_that_names_none_is_taken_at_its_word(unet, tmp_path):
    models.save(unet, tmp_path)
    card = json.loads((tmp_path / CARD).read_text())
    del card["stain normaliser"]
    (tmp_path / CARD).write_text(json.dumps(card))
    assert models.normalizer_of(tmp_path) is None


def test_a_network_of_ones_own_is_opened_by_giving_it(tmp_path):
    torch.manual_seed(0)
    saved = Own(width=4, depth=2, mpp=0.5)
    models.save(saved, tmp_path)
    with pytest.raises(ConfigError, match=r"test_checkpoint:Own.*models\.load\(folder, network=Own\("):
        models.load(tmp_path)
    given = Own(width=4, depth=2, mpp=0.5)
    assert models.load(tmp_path, network=given) is given
    assert all(torch.equal(value, saved.state_dict()[name]) for name, value in given.state_dict().items())
    with pytest.raises(ConfigError, match="the network given is a unet"):
        models.load(tmp_path, network=models.create("unet", width=4, depth=2, mpp=0.5))


def test_a_network_of_ones_own_is_found_by_an_entry(tmp_path, monkeypatch):
    module = ModuleType("histoscope_test_own")
    module.Own = Own
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(models.MODELS, "own", (module.__name__, "Own"))
    monkeypatch.setattr(Own, "name", "own")
    models.save(Own(width=4, depth=2, mpp=0.5), tmp_path)
    assert isinstance(models.load(tmp_path), Own)


@pytest.mark.parametrize(
    ("name", "given", "learned"),
    [
        ("stardist", {1: "epithelial", 3: "lymphocyte"}, ("epithelial", "class 2", "lymphocyte")),
        ("stardist", {0: "background", 1: "epithelial", 2: "lymphocyte"}, ("epithelial", "lymphocyte")),
        ("classifier", {0: "normal", 1: "tumour"}, ("normal", "tumour")),
    ],
)
def test_names_of_classes_follow_their_ids(name, given, learned):
    small = (
        {"width": 4, "depth": 2, "n_rays": 8, "mpp": 0.5, "grid": 1} if name == "stardist" else {"mpp": 0.5}
    )
    small |= {"backbone": "test_efficientnet"} if name == "classifier" else {}
    assert models.create_for(given, name, small).spec.classes == learned
