"""In plain operations, a network computes the same."""

import pytest
import torch
from torch import nn

from histoscope import models
from histoscope.errors import ConfigError
from histoscope.models.class_rule import ClassRule
from histoscope.models.portable.network import OUTPUTS, ForQuPath, Portable

NETWORKS = {
    "unet": {"width": 4, "depth": 2},
    "resunet": {"width": 4, "depth": 2},
    "stardist": {"width": 4, "depth": 2, "n_rays": 8, "grid": 4, "classes": ["a"]},
    "classifier": {"backbone": "test_efficientnet", "classes": ["a", "b"], "patch_px": 64},
}


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_it_takes_colours_as_files_have_them_and_gives_the_heads(name, trained):
    model = trained(name, **NETWORKS[name])
    before = {key: value.clone() for key, value in model.state_dict().items()}
    side = model.spec.patch_px or 4 * model.spec.divisible_by
    image = torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8)
    expected = model(image)
    if name == "classifier":
        model.temperature.fill_(2.0)
        before = {key: value.clone() for key, value in model.state_dict().items()}
        expected = {"probabilities": model.probabilities(expected)}
    network = Portable(model)
    assert network.outputs == tuple(expected)
    assert set(network.outputs) <= OUTPUTS.keys()
    for got, wanted in zip(network(image.float()), expected.values(), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in before.items())
    assert not any(isinstance(layer, nn.PixelUnshuffle) for layer in network.modules())


@torch.no_grad()
def test_for_qupath_all_is_one_output_and_the_background_never_wins(stardist):
    image = torch.randint(0, 256, (1, 3, 32, 48), dtype=torch.uint8)
    heads = stardist(image)
    network = ForQuPath(stardist)
    assert network.outputs == ("output",)
    (output,) = network(image.float())
    assert output.shape == (1, 1 + 8 + 3, 16, 24)
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(output[:, :1], torch.sigmoid(heads["probability"]), **close)
    torch.testing.assert_close(output[:, 1:9], heads["distances"], **close)
    assert float(output[:, 9].max()) < 1e-12
    torch.testing.assert_close(output[:, 10:], torch.softmax(heads["classes"][:, 1:], dim=1), **close)
    torch.testing.assert_close(stardist(image)["classes"], heads["classes"])


@torch.no_grad()
def test_for_qupath_the_offsets_of_the_class_rule_are_in_the_logits(stardist):
    stardist.class_rule = ClassRule((-2.0, 1.0), 1.5, 0.6)
    image = torch.randint(0, 256, (1, 3, 32, 48), dtype=torch.uint8)
    logits = stardist(image)["classes"][:, 1:]
    (output,) = ForQuPath(stardist)(image.float())
    moved = torch.softmax(logits + torch.tensor([-3.0, 1.5]).view(1, 2, 1, 1), dim=1)
    torch.testing.assert_close(output[:, 10:], moved, rtol=1e-4, atol=1e-4)
    share = torch.softmax(logits, dim=1)[0].flatten(1).T.numpy()
    class_id, _ = ClassRule((-2.0, 1.0), 1.5)(share)  # of votes that are those of one point
    assert (output[0, 10:].flatten(1).argmax(0).numpy() + 1 == class_id).all()


def test_what_neither_finds_nor_classifies_is_refused():
    with pytest.raises(ConfigError, match="generator cannot be exported"):
        Portable(models.create("generator"))
