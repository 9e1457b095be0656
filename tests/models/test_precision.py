import pytest
import torch

from histoscope.models import inference, precision
from histoscope.models.nuclei.stardist import StarDist
from histoscope.models.nuclei.unet import UNet
from histoscope.synth import generate

CPU = torch.device("cpu")


@pytest.fixture
def claims(monkeypatch):
    """Say what this processor has, whatever it has."""

    def claim(answer):
        monkeypatch.setattr(precision, "has_bfloat16", lambda _: answer)

    return claim


def test_auto_is_what_the_processor_has(claims):
    claims(True)
    assert precision.resolved("auto", "cpu") == "bf16-mixed"
    claims(False)
    assert precision.resolved("auto", "cpu") == "32-true"


@pytest.mark.parametrize("asked", ["32-true", "bf16-mixed", "16-mixed"])
def test_what_was_asked_for_stays(claims, asked):
    claims(True)
    assert precision.resolved(asked, "cpu") == asked


def test_a_torch_without_the_flags_has_none(monkeypatch):
    for flag in precision._CPU_FLAGS:
        monkeypatch.delattr(torch.cpu, flag, raising=False)
    assert not precision.has_bfloat16(CPU)


def test_products_are_in_sixteen_bits_within_and_in_full_outside(claims):
    a = torch.rand(4, 4)
    claims(True)
    with precision.mixed(CPU):
        assert (a @ a).dtype == torch.bfloat16
    assert (a @ a).dtype == torch.float32
    claims(False)
    with precision.mixed(CPU):
        assert (a @ a).dtype == torch.float32


@pytest.mark.parametrize(
    "make", [lambda: StarDist(width=8, depth=2, n_rays=8), lambda: UNet(width=8, depth=2)]
)
@pytest.mark.parametrize("tta", [False, True])
def test_heads_are_nearly_the_same_and_always_float32(claims, rng, make, tta):
    torch.manual_seed(0)  # of some weights, what comes out is all near 0
    model, image = make().eval(), generate((64, 64), rng=rng).image
    seen = {}
    for answer in (False, True):
        claims(answer)
        seen[answer] = inference.heads_of(model, image, tta=tta)
    for name, head in seen[True].items():
        assert head.dtype == torch.float32
        full = seen[False][name]
        assert not torch.equal(head, full)
        torch.testing.assert_close(head, full, atol=0.05 * float(full.abs().max()), rtol=0)


def test_values_are_narrowed_where_a_convolution_would(claims):
    x = torch.rand(2, 3)
    claims(True)
    with precision.mixed(CPU):
        assert precision.narrowed(x).dtype == torch.bfloat16
    assert precision.narrowed(x) is x
