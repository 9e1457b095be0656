import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from histoscope.augment import AUGMENTATIONS, AugmentConfig, AugmentParams, get, margin_px, sample_params
from histoscope.augment.warp import source_map
from histoscope.config import Config, parse
from histoscope.errors import ConfigError, UnknownNameError


def test_the_default_and_the_preset_none_do_nothing():
    assert AugmentConfig() == AUGMENTATIONS["none"]
    for seed in range(20):
        assert sample_params(AugmentConfig(), np.random.default_rng(seed)) == AugmentParams()


def test_presets_have_the_agreed_names_and_grow():
    assert {"none", "basic", "default", "strong"} <= set(AUGMENTATIONS)
    weak, strong = AUGMENTATIONS["default"], AUGMENTATIONS["strong"]
    assert all(getattr(weak, field.name) <= getattr(strong, field.name) for field in fields(weak))


def test_a_wrong_preset_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'strong'"):
        get("stong")


@given(seed=st.integers(0, 2**32 - 1), name=st.sampled_from(sorted(AUGMENTATIONS)))
def test_draws_stay_in_their_ranges(seed, name):
    config = AUGMENTATIONS[name]
    params = sample_params(config, np.random.default_rng(seed))
    assert params.turns in range(4)
    assert abs(params.angle_deg) <= config.rotation_deg
    assert 1 / (1 + config.scale) - 1e-9 <= params.zoom <= 1 + config.scale + 1e-9
    for factor in ("brightness", "contrast", "saturation"):
        assert abs(getattr(params, factor) - 1) <= getattr(config, factor) + 1e-9
    assert abs(params.hue_deg) <= config.hue_deg
    assert 0 <= params.blur_um <= config.blur_um
    assert 0 <= params.noise_levels <= config.noise_levels


def test_all_eight_positions_come_equally_often():
    rng = np.random.default_rng(0)
    draws = [sample_params(AUGMENTATIONS["basic"], rng) for _ in range(4000)]
    counts = np.bincount([draw.turns + 4 * draw.flip for draw in draws], minlength=8)
    assert counts.min() > 420  # 500 expected, standard deviation 21
    assert all(not draw.warps and not draw.recolors for draw in draws)


def test_chances_are_shares_of_the_draws():
    config = AugmentConfig(
        affine_chance=0.3, rotation_deg=20, elastic_chance=0.5, elastic_um=2, color_chance=0.7, hue_deg=9
    )
    rng = np.random.default_rng(1)
    draws = [sample_params(config, rng) for _ in range(3000)]
    assert np.mean([draw.angle_deg != 0 for draw in draws]) == pytest.approx(0.3, abs=0.04)
    assert np.mean([draw.elastic_seed is not None for draw in draws]) == pytest.approx(0.5, abs=0.04)
    assert np.mean([draw.recolors for draw in draws]) == pytest.approx(0.7, abs=0.04)


def test_switching_one_off_leaves_the_others_as_they_were():
    config = AUGMENTATIONS["strong"]
    without = replace(config, elastic_chance=0.0)
    for seed in range(30):
        a, b = (sample_params(c, np.random.default_rng(seed)) for c in (config, without))
        assert replace(a, elastic_seed=None) == b


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("affine_chance", 1.1),
        ("affine_chance", -0.1),
        ("rotation_deg", 181),
        ("scale", math.nan),
        ("blur_um", math.inf),
        ("noise_levels", 300),
    ],
)
def test_values_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=f"{name} is .*expected"):
        AugmentConfig(**{name: value})


def test_an_elastic_deformation_that_could_fold_is_refused():
    with pytest.raises(ConfigError, match=r"at most 0\.48 of elastic_spacing_um \(3\.84\)"):
        AugmentConfig(elastic_um=5.0, elastic_spacing_um=8.0)


def test_it_is_a_section_of_a_configuration_file():
    class Experiment(Config):
        augment: AugmentConfig

    read = parse(Experiment, {"augment": {"dihedral_chance": 1, "scale": 0.3}})
    assert read.augment == AugmentConfig(dihedral_chance=1.0, scale=0.3)
    with pytest.raises(ConfigError, match="rotate_deg"):
        parse(Experiment, {"augment": {"rotate_deg": 3}})
    with pytest.raises(ConfigError, match="scale is 7"):
        parse(Experiment, {"augment": {"scale": 7}})


@given(
    seed=st.integers(0, 2**32 - 1),
    rotation=st.floats(0, 180),
    scale=st.floats(0, 1),
    elastic=st.floats(0, 6),
    size=st.integers(1, 96),
    mpp=st.sampled_from([0.25, 0.5, 1.0]),
)
def test_the_margin_is_enough_for_every_draw(seed, rotation, scale, elastic, size, mpp):
    config = AugmentConfig(
        dihedral_chance=1.0,
        affine_chance=1.0,
        rotation_deg=rotation,
        scale=scale,
        elastic_chance=1.0,
        elastic_um=elastic,
        elastic_spacing_um=16.0,
    )
    whole = size + 2 * margin_px(config, size, mpp)
    params = sample_params(config, np.random.default_rng(seed))
    x, y = source_map((whole, whole), (size, size), config, params, mpp)
    assert min(x.min(), y.min()) >= 0
    assert max(x.max(), y.max()) <= whole - 1


def test_no_margin_without_a_warp():
    assert margin_px(AUGMENTATIONS["none"], 256, 0.5) == 0
    assert margin_px(AUGMENTATIONS["basic"], 256, 0.5) == 0
    assert margin_px(replace(AUGMENTATIONS["strong"], affine_chance=0, elastic_chance=0), 256, 0.5) == 0
