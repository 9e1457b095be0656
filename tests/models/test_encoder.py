"""Encoders of networks of nuclei: begun from files and folders, frozen, and unfrozen block by block."""

import pytest
import torch
from safetensors.torch import save_file

from histoscope import models
from histoscope.errors import ConfigError, DatasetNotFoundError
from histoscope.models.nuclei.encoder import block_of
from histoscope.train.config import TransferConfig
from histoscope.train.transfer import Unfreezing, parameter_groups

NAME = "test_efficientnet"
NETWORKS = {
    "stardist": {"encoder": NAME, "width": 8, "n_rays": 8, "head_width": 8, "mpp": 0.5},
    "smp": {"encoder": NAME, "mpp": 0.5},
    "deeplab": {"encoder": NAME, "width": 8, "mpp": 0.5},
}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A file as timm publishes it: the whole network, its last layers and classifier too."""
    import timm

    torch.manual_seed(7)
    network = timm.create_model(NAME, num_classes=5)
    path = tmp_path_factory.mktemp("timm") / f"{NAME}.safetensors"
    save_file(network.state_dict(), path)
    return path, network.state_dict()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_of_timm(name, published):
    path, state = published
    model = models.create(name, **NETWORKS[name], weights=path)
    encoder = model.get_submodule(model.encoder).state_dict()
    assert encoder
    assert all(torch.equal(value, state[key]) for key, value in encoder.items())
    assert len(model.loaded.loaded) == len(encoder)
    assert "classifier.weight" in model.loaded.skipped
    assert not any(key.startswith(model.encoder) for key in model.loaded.made)
    assert str(model.loaded).startswith(f"loaded {len(encoder)} tensors from")
    assert "weights" not in model.arguments


def test_a_network_of_other_names_for_its_levels(tmp_path):
    import timm

    name = "test_convnext"
    network = timm.create_model(name)
    save_file(network.state_dict(), tmp_path / "it.safetensors")
    model = models.create("smp", encoder=name, weights=tmp_path / "it.safetensors")
    encoder = model.get_submodule(model.encoder).state_dict()
    assert any(key.startswith("stages_0.") for key in encoder)
    assert torch.equal(
        encoder["stages_0.blocks.0.conv_dw.weight"], network.stages[0].blocks[0].conv_dw.weight
    )


@pytest.mark.parametrize("source", ["classifier", "stardist", "smp"])
def test_a_folder_of_ours(source, tmp_path):
    torch.manual_seed(3)
    arguments = (
        {"backbone": NAME, "classes": ["a", "b"], "mpp": 0.5} if source == "classifier" else NETWORKS[source]
    )
    given = models.create(source, **arguments)
    models.save(given, tmp_path)
    where = "backbone" if source == "classifier" else given.encoder
    model = models.create("stardist", **NETWORKS["stardist"], weights=tmp_path)
    theirs = given.get_submodule(where).state_dict()
    ours = model.get_submodule(model.encoder).state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


@pytest.mark.parametrize("name", ["stardist", "unet"])
def test_our_own_encoder_begins_from_a_classifier(name, tmp_path):
    options = {"width": 4, "depth": 2, **({"grid": 2} if name == "stardist" else {})}
    given = models.create(
        "classifier", backbone="unet", options=options, patch_px=32, mpp=0.5, classes=["a", "b"]
    )
    models.save(given, tmp_path)
    more = {"n_rays": 8, "head_width": 8} if name == "stardist" else {}
    model = models.create(name, width=4, depth=2, mpp=0.5, weights=tmp_path, **more)
    theirs = given.backbone.down.state_dict()
    ours = model.get_submodule(model.encoder).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def test_a_file_of_another_network_is_refused(tmp_path):
    import timm

    for name in ("resnet18", "resnet34"):
        save_file(timm.create_model(name).state_dict(), tmp_path / f"{name}.safetensors")
    with pytest.raises(ConfigError, match="names are missing from it"):
        models.create("smp", encoder="resnet34", weights=tmp_path / "resnet18.safetensors")
    # All names of the smaller network are in the larger one's file, with the same shapes.
    with pytest.raises(ConfigError, match="names are left over"):
        models.create("smp", encoder="resnet18", weights=tmp_path / "resnet34.safetensors")
    with pytest.raises(DatasetNotFoundError, match="no weights at"):
        models.create("smp", encoder="resnet18", weights=tmp_path / "absent.safetensors")


def test_two_beginnings_are_refused(published):
    with pytest.raises(ConfigError, match="exclude each other"):
        models.create("smp", encoder=NAME, pretrained=True, weights=published[0])


def test_frozen_normalisation_keeps_its_statistics():
    model = models.create("stardist", **NETWORKS["stardist"], freeze_norm=True)
    before = {name: value.clone() for name, value in model.named_buffers() if "running" in name}
    model.train()(torch.randint(0, 255, (2, 3, 64, 64), dtype=torch.uint8))
    moved = {
        name
        for name, value in model.named_buffers()
        if "running" in name and not torch.equal(value, before[name])
    }
    assert moved
    assert not any(name.startswith(model.encoder) for name in moved)
    assert models.create("stardist", **model.arguments).freeze_norm


def test_blocks_near_the_image_learn_slower():
    model = models.create("stardist", **NETWORKS["stardist"])
    depth = model.depths()
    top = max(depth.values())
    assert depth.keys() == {name for name, _ in model.named_parameters()}
    assert {name for name, at in depth.items() if at < top} == {
        name for name in depth if name.startswith(model.encoder)
    }
    stem = [at for name, at in depth.items() if block_of(name.removeprefix(f"{model.encoder}.")) == "stem"]
    assert set(stem) == {0, top}  # names of the decoder have no blocks
    scales = [
        group["scale"] for group in parameter_groups(model, TransferConfig(backbone_lr=0.1, layer_decay=0.5))
    ]
    assert scales == sorted(scales)
    assert scales[-1] == 1.0
    assert scales[-2] == pytest.approx(0.1 * 0.5)


def test_blocks_are_unfrozen_one_after_the_other():
    model = models.create("unet", width=4, depth=3, mpp=0.5)
    unfreeze = Unfreezing(model, TransferConfig(unfreeze_every=10))
    learns = []
    for step in (0, 10, 20, 30):
        unfreeze(step)
        learns.append(
            {
                name.split(".")[2]
                for name, p in model.named_parameters()
                if p.requires_grad and ".down." in name
            }
        )
    assert learns == [set(), {"2"}, {"1", "2"}, {"0", "1", "2"}]


def test_a_network_without_an_encoder_cannot_be_unfrozen():
    with pytest.raises(ConfigError, match="networks with an encoder"):
        models.create("resunet", width=4, depth=2).depths()


def test_a_model_that_comes_along_is_named():
    model = models.create("stardist", mpp=0.5, weights="nuclei-free")
    given = models.load("nuclei-free").get_submodule("body.1.down").state_dict()
    assert all(torch.equal(value, given[key]) for key, value in model.body[1].down.state_dict().items())
    with pytest.raises(ConfigError, match="shapes differ"):  # its first layer sees four pixels at once
        models.create("unet", width=32, depth=4, weights="nuclei-free")
