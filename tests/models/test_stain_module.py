import numpy as np
import pytest
import torch

from histoscope import stain
from histoscope.errors import ShapeError, StainError
from histoscope.models.stain_module import StainModule, stain_module


@pytest.fixture
def image():
    amounts = np.random.default_rng(0).exponential(0.5, (48, 64, 2))
    image = stain.combine(amounts, [[0.6, 0.7, 0.4], [0.15, 0.9, 0.4]])
    image[:4] = 0
    image[4:8] = 255
    image[8:12] = np.array([(20, 60, 200), (30, 140, 60), (220, 30, 40), (60, 60, 65)], np.uint8)[:, None]
    image[12:16] = (np.arange(64)[:, None] * 4) * np.array([0.9, 1.0, 0.8])
    return image


def batch(image):
    return torch.from_numpy(image).permute(2, 0, 1)[None]


@pytest.mark.parametrize("white", [(255, 255, 255), (230, 222, 210)])
@pytest.mark.parametrize("method", ["macenko", "vahadane", "ruifrok"])
def test_module_does_what_the_normalizer_does(method, white, image):
    normalize = stain.get(method).default()
    source = normalize.estimate(image, white=white)
    layer = stain_module(normalize, source)
    expected = normalize(image, source=source).astype(int)
    for given in (batch(image), batch(image).float() / 255):
        out = layer(given)
        assert out.dtype == torch.float32
        assert np.abs(out[0].permute(1, 2, 0).numpy() * 255 - expected).max() <= 1.25  # it rounds twice


def test_it_is_saved_with_its_model(image):
    normalize = stain.Macenko.default()
    layer = stain_module(normalize, normalize.estimate(image))
    other = StainModule(torch.eye(3))
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(batch(image)), layer(batch(image)))


def test_gradients_flow_through(image):
    pixels = (batch(image).float() / 255).requires_grad_()
    StainModule(torch.eye(3))(pixels).sum().backward()
    assert torch.isfinite(pixels.grad).all()
    assert pixels.grad.abs().sum() > 0


def test_wrong_input_is_told(image):
    with pytest.raises(ShapeError, match="RGB"):
        StainModule(torch.eye(3))(torch.zeros(1, 4, 8, 8))
    reinhard = stain.Reinhard.default()
    with pytest.raises(StainError, match="no matrix"):
        stain_module(reinhard, reinhard.estimate(image))
