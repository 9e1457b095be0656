"""What a painter does between convolutions gives what torch gives, whatever the type, size and threads."""

import pytest
import torch
from torch.nn import functional

from histoscope.generate import _painting
from histoscope.generate.network import Generator, _joined, _Pixelwise, _twice

LAST = torch.channels_last
KINDS = (torch.float32, torch.bfloat16)
SHAPES = (
    (1, 16, 8, 8),
    (2, 3, 5, 7),
    (1, 64, 9, 13),
    (1, 1, 1, 1),
    (2, 1, 6, 5),
    (2, 4, 1, 1),
    (3, 96, 12, 20),
)


def _drawn(*shape, kind=torch.float32):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator).to(kind).contiguous(memory_format=LAST)


def _by_hand(x):
    wide = x.double()
    return functional.leaky_relu(wide / (wide.square().mean(dim=1, keepdim=True) + 1e-4).sqrt(), 0.2)


@pytest.fixture(params=[1, 2])
def _threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_scaled_as_by_hand(shape, kind):
    x = _drawn(*shape, kind=kind)
    wanted = _by_hand(x)
    assert _painting.applies(x)
    found = _painting.scale(x)
    assert found.dtype == kind
    # Rounded once: half a step of the last bit, and a little for the sums.
    rounding = 2**-8 if kind == torch.bfloat16 else 1e-5
    torch.testing.assert_close(found.double(), wanted, rtol=1.01 * rounding, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_dark_pixels_stay_dark(kind):
    x = torch.zeros(1, 4, 3, 3, dtype=kind).contiguous(memory_format=LAST)
    assert torch.equal(_painting.scale(x.clone(memory_format=LAST)), x)


def test_with_gradients_torch_does_it_and_says_the_same():
    x = _drawn(1, 8, 6, 6)
    learning = x.clone(memory_format=LAST).requires_grad_()
    assert not _painting.applies(learning)
    by_torch = _Pixelwise()(learning)
    by_torch.sum().backward()
    assert learning.grad is not None
    torch.testing.assert_close(_Pixelwise()(x), by_torch.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "x",
    [torch.zeros(1, 4, 6, 6), torch.zeros(1, 4, 6, 6, dtype=torch.float16).contiguous(memory_format=LAST)],
    ids=["channels first", "float16"],
)
def test_what_it_cannot_take_is_left_to_torch(x):
    assert not _painting.applies(x)
    assert _Pixelwise()(x).shape == x.shape


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("batch", "side"), [(1, 2), (2, 6), (3, 16)])
def test_parts_are_joined_as_torch_joins_them(kind, batch, side):
    low = _drawn(batch, 5, side, side + 2, kind=kind)
    high = _drawn(batch, 3, 2 * side, 2 * side + 4, kind=kind)
    of_more = _drawn(batch, 7, 2 * side, 2 * side + 4, kind=kind)[:, -2:]
    found = _joined(low, high, of_more)
    assert found.is_contiguous(memory_format=LAST)
    assert torch.equal(found, torch.cat([_twice(low), high, of_more], dim=1))


@pytest.mark.parametrize("narrow", [False, True])
def test_a_picture_is_the_same_with_and_without(monkeypatch, narrow):
    torch.manual_seed(0)
    net = Generator(width=4).eval().to(memory_format=LAST)
    torch.nn.init.normal_(net.painter.last.weight, std=0.1)
    x = _drawn(1, net.n_maps, 32, 48)
    seen = []
    for applies in (_painting.applies, lambda _: False):
        monkeypatch.setattr(_painting, "applies", applies)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            seen.append(net(x)["dyes"])
    assert seen[0].std() > 0.1
    torch.testing.assert_close(*seen, rtol=0, atol=0.05 if narrow else 1e-4)
