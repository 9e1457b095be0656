"""Specs refuse what cannot be drawn, and say why."""

import dataclasses

import numpy as np
import pytest

from histoscope import synth
from histoscope.errors import ConfigError


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        (synth.StainSpec, {"hematoxylin": (0, 0, 0)}, "hematoxylin"),
        (synth.StainSpec, {"eosin": (0.1, -0.2, 0.3)}, "at or above 0"),
        (synth.StainSpec, {"eosin": (0.1, 0.2)}, "three numbers"),
        (synth.StainSpec, {"hematoxylin": (float("nan"), 1, 1)}, "hematoxylin"),
        (synth.StainSpec, {"h_amount": -1}, "h_amount"),
        (synth.StainSpec, {"e_amount": "much"}, "e_amount"),
        (synth.StainSpec, {"glass_rgb": (0, 240, 240)}, "glass_rgb"),
        (synth.TissueSpec, {"density": -0.1}, "density"),
        (synth.TissueSpec, {"density": float("nan")}, "density"),
        (synth.TissueSpec, {"gland_fraction": 1.2}, "from 0 to 1"),
        (synth.TissueSpec, {"gland_radius_um": 1.0}, "gland_radius_um"),
        (synth.OpticsSpec, {"blur_um": -1}, "blur_um"),
        (synth.OpticsSpec, {"jpeg_quality": 101}, "jpeg_quality"),
    ],
)
def test_wrong_values_are_refused(kind: type, values: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        kind(**values)


def test_specs_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        synth.TissueSpec().density = 2.0


def test_registries_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        synth.STAINS["mine"] = synth.StainSpec()
    with pytest.raises(TypeError):
        synth.CLASSES["mitosis"] = 5


def test_only_the_direction_of_a_vector_counts() -> None:
    one, two = synth.StainSpec(eosin=(0.1, 0.8, 0.4)), synth.StainSpec(eosin=(0.2, 1.6, 0.8))
    np.testing.assert_allclose(one.vectors(), two.vectors(), rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(one.vectors(), axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(synth.StainSpec(h_amount=2).vectors()[0]), 2, rtol=1e-6)


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("name", ["gland_fraction", "lumen_fraction", "cluster_fraction", "vesicular"])
def test_extremes_can_be_drawn(name: str, share: float) -> None:
    sample = synth.generate((64, 64), mpp=0.5, tissue=synth.TissueSpec(**{name: share}))
    assert sample.image.std() > 1


def test_compartments_follow_the_spec() -> None:
    def kinds(**values: float) -> np.ndarray:
        tissue = synth.TissueSpec(**values)
        parts = [
            synth.generate((256, 256), tissue=tissue, rng=np.random.default_rng(k)).classes[1:]
            for k in range(3)
        ]
        return np.bincount(np.concatenate(parts), minlength=5)

    stroma, glands = kinds(gland_fraction=0), kinds(gland_fraction=1.0)
    epithelial, spindle, lymphocyte = (
        synth.CLASSES[name] for name in ("epithelial", "spindle", "lymphocyte")
    )
    assert stroma[epithelial] == 0
    assert glands[epithelial] > 5 * glands[spindle]
    assert kinds(cluster_fraction=0.8)[lymphocyte] > 3 * kinds(cluster_fraction=0)[lymphocyte]
    assert kinds(spindle_per_mm2=0)[spindle] == 0
