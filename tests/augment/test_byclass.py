from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from histoscope.augment import AUGMENTATIONS, RARE_WARP, AugmentConfig, lifted, margin_px, rarest
from histoscope.errors import ConfigError
from histoscope.types import Sample

WARPS = ("dihedral_chance", "affine_chance", "rotation_deg", "scale", "elastic_chance", "elastic_um")


@given(st.sampled_from(sorted(AUGMENTATIONS)), st.floats(0, 1), st.floats(0, 1))
def test_warps_rise_with_the_share_and_nothing_else_changes(name, a, b):
    config = AUGMENTATIONS[name]
    low, high = (lifted(config, share) for share in sorted((a, b)))
    for field in fields(AugmentConfig):
        values = [getattr(each, field.name) for each in (config, low, high)]
        if field.name in WARPS:
            assert values == sorted(values)
            assert values[2] <= max(values[0], getattr(RARE_WARP, field.name)) + 1e-12
        elif field.name != "elastic_spacing_um":
            assert len(set(values)) == 1
    assert margin_px(low, 64, 0.5) <= margin_px(high, 64, 0.5)


def test_the_ends():
    config = AUGMENTATIONS["light"]
    assert lifted(config, 0.0) is config
    assert all(getattr(lifted(config, 1.0), name) == getattr(RARE_WARP, name) for name in WARPS)


def test_control_points_are_spread_so_that_the_image_cannot_fold():
    dense = AugmentConfig(elastic_chance=1.0, elastic_um=1.9, elastic_spacing_um=4.0)
    assert lifted(dense, 1.0).elastic_spacing_um == RARE_WARP.elastic_spacing_um


def test_rarest_sees_only_classes_in_the_square():
    labels = np.zeros((9, 9), np.int32)
    labels[0, 0], labels[4, 4] = 3, 1
    sample = Sample(np.zeros((9, 9, 3), np.uint8), 0.5, labels, np.array([2, 1, 2, 2], np.uint8))
    rarity = [0.0, 0.25, 1.0]
    assert rarest(sample, rarity) == 1.0
    assert rarest(sample, rarity, size_px=5) == 0.25
    assert rarest(Sample(sample.image, 0.5), rarity) == 0.0
    assert rarest(Sample(sample.image, 0.5, labels), rarity) == 0.0
    with pytest.raises(ConfigError, match="rarity has 2 entries"):
        rarest(sample, [0.0, 1.0])
