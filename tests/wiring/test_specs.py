"""Every number that says how tissue is drawn, augmented or balanced changes what comes out of it."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from histoscope import augment, balance, synth
from histoscope.augment import AugmentConfig
from histoscope.balance import BalanceConfig

TISSUE = synth.TissueSpec(
    pale_fraction=0.2, smudged_fraction=0.2, soft_fraction=0.2, crowding=0.1, red_heaps_per_mm2=900
)
DISTRACTORS = synth.DistractorSpec(
    debris_per_mm2=900,
    ghosts_per_mm2=900,
    pigment_per_mm2=300,
    ink_per_mm2=300,
    folds_per_mm2=300,
    mucin_fraction=0.3,
    out_of_focus_fraction=0.3,
)
SPECS = {
    "tissue": TISSUE,
    "stain": synth.StainSpec(),
    "optics": synth.OpticsSpec(),
    "distractors": DISTRACTORS,
}
AUGMENTED = dataclasses.replace(
    augment.get("strong"),
    **{f.name: 1.0 for f in dataclasses.fields(AugmentConfig) if f.name.endswith("_chance")},
)
BALANCED = BalanceConfig(class_weights="inverse", rare_patches=0.5, rare_warp=True)


def other(value: Any) -> Any:
    """Give another value that lies in the range of any of these fields."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return tuple(0.9 * part for part in value[:1]) + value[1:]
    if isinstance(value, int):
        return value - 20
    return 0.5 * value if value else 0.25


def draw(**changes: Any) -> dict[str, np.ndarray]:
    sample = synth.generate((320, 320), mpp=0.5, rng=np.random.default_rng(1), **{**SPECS, **changes})
    return {"image": sample.image, "instances": sample.instances, "classes": sample.classes}


@pytest.fixture(scope="module")
def drawn():
    return draw()


def test_the_same_settings_draw_the_same(drawn):
    assert all(np.array_equal(value, drawn[name]) for name, value in draw().items())


@pytest.mark.parametrize(
    ("part", "field"),
    [(part, field.name) for part, spec in SPECS.items() for field in dataclasses.fields(spec)],
)
def test_every_field_of_a_drawing_changes_the_picture(part, field, drawn):
    spec = SPECS[part]
    changed = draw(**{part: dataclasses.replace(spec, **{field: other(getattr(spec, field))})})
    assert any(
        value.shape != drawn[name].shape or not np.array_equal(value, drawn[name])
        for name, value in changed.items()
    ), f"{part}.{field} changed nothing: it is read and then ignored"


def augmented(sample, config: AugmentConfig) -> list[np.ndarray]:
    return [
        getattr(augment.augment(sample, config, np.random.default_rng(seed), size_px=64), kind)
        for seed in range(8)
        for kind in ("image", "instances")
    ]


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(AugmentConfig)])
def test_every_field_of_an_augmentation_changes_patches(field, disks):
    value = {"sliver_um2": 30.0, "elastic_spacing_um": 24.0}.get(field, other(getattr(AUGMENTED, field)))
    config = dataclasses.replace(AUGMENTED, **{field: value})
    before, after = augmented(disks, AUGMENTED), augmented(disks, config)
    assert any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True)), f"{field} is ignored"


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(BalanceConfig)])
def test_every_field_of_the_remedies_changes_the_plan(field, disks):
    classes = np.array([0, 1, 1, 1, 1, 1, 2], np.uint8)
    samples = [dataclasses.replace(disks, classes=classes)]
    value = "none" if field == "class_weights" else other(getattr(BALANCED, field))
    plans = [
        balance.plan(config, samples, 2)
        for config in (BALANCED, dataclasses.replace(BALANCED, **{field: value}))
    ]
    one, two = (
        [
            None if part is None else np.asarray(part).tolist()
            for part in (getattr(p, f.name) for f in dataclasses.fields(p))
        ]
        for p in plans
    )
    assert one != two, f"{field} is ignored"
