"""A seed stands wherever a generator is asked for, and gives what a fresh generator of it gives."""

from dataclasses import astuple, replace

import numpy as np
import pandas as pd
import pytest

from histoscope import augment, balance, metrics, seeds, stain, synth
from histoscope.errors import ConfigError
from histoscope.generate.arrange import arrange
from histoscope.generate.bank import cut_bank
from histoscope.train.patches import PatchSampler

TISSUE = synth.generate((96, 96), mpp=0.5)
BANK = cut_bank([TISSUE], synth.CLASSES)
PATIENTS = pd.DataFrame(
    {
        "name": [f"image {k}" for k in range(20)],
        "patient": [f"p{k}" for k in range(20)],
        "pq": np.linspace(0.3, 0.9, 20) ** 2,
        "group": [f"p{k // 2}" for k in range(20)],
        "true": [0, 1, 1, 0] * 5,
        "p_a": np.linspace(0.2, 0.8, 20),
        "p_b": 1 - np.linspace(0.2, 0.8, 20),
    }
)
OTHER = PATIENTS.assign(pq=PATIENTS["pq"] * 0.95 + 0.02 * np.sin(np.arange(20)))
FEATURES = np.random.default_rng(0).normal(size=(24, 3))


def brighter(sample, rng):
    return replace(sample, image=np.uint8(np.clip(sample.image + rng.normal(0, 9), 0, 255)))


DRAW = {
    "interval": lambda rng: metrics.interval(PATIENTS, "pq", method="bca", rng=rng),
    "patch_interval": lambda rng: metrics.patch_interval(
        PATIENTS, "nll", cluster="group", method="percentile", rng=rng
    ),
    "compare": lambda rng: metrics.compare(PATIENTS, OTHER, "pq", n=500, rng=rng),
    "paired_permutation": lambda rng: metrics.paired_permutation(PATIENTS["pq"], OTHER["pq"], n=500, rng=rng),
    "kernel_distance_with_null": lambda rng: (
        metrics.kernel_distance_with_null(FEATURES[:12], FEATURES[12:], n_splits=9, rng=rng).null
    ),
    "augment": lambda rng: augment.augment(TISSUE, augment.get("strong"), rng).image,
    "augmented": lambda rng: augment.augmented(TISSUE, brighter, rng).image,
    "sample_params": lambda rng: astuple(augment.sample_params(augment.get("strong"), rng)),
    "rare_repeats": lambda rng: balance.rare_repeats([[9, 1], [9, 2], [9, 3]], [27, 6], 20, rng=rng),
    "generate": lambda rng: synth.generate((32, 32), mpp=0.5, rng=rng).image,
    "arrange": lambda rng: arrange(BANK, (48, 48), mpp=0.5, rng=rng).instances,
    "PatchSampler": lambda rng: PatchSampler([TISSUE], 16, on_nuclei=0.5).draw(rng).image,
    **{name: lambda rng, f=f: f(TISSUE.image, rng) for name, f in stain.JITTERS.items()},
    **{f"{name}.sample": lambda rng, f=f: f.sample(rng) for name, f in stain.JITTERS.items()},
}
DEFAULTS = ("interval", "patch_interval", "compare", "paired_permutation", "kernel_distance_with_null")


@pytest.mark.parametrize("name", DRAW)
def test_a_seed_gives_what_its_generator_gives(name: str) -> None:
    draw = DRAW[name]
    seeded = draw(7)
    np.testing.assert_equal(seeded, draw(np.random.default_rng(7)))
    assert any(not np.array_equal(draw(seed), seeded) for seed in range(8, 12))


@pytest.mark.parametrize("name", DRAW)
@pytest.mark.parametrize("wrong", [0.5, -1, True, "seed"])
def test_what_is_no_seed_is_refused(name: str, wrong: object) -> None:
    with pytest.raises(ConfigError, match="expected a seed"):
        DRAW[name](wrong)


def test_none_is_no_seed() -> None:
    with pytest.raises(ConfigError, match="rng is None"):
        seeds.generator(None)


def test_statistics_draw_with_seed_0_unless_told() -> None:
    told = metrics.interval(PATIENTS, "pq", method="bca", rng=0)
    assert metrics.interval(PATIENTS, "pq", method="bca") == told
    told = metrics.patch_interval(PATIENTS, "accuracy", cluster="group", method="bca", rng=0)
    assert metrics.patch_interval(PATIENTS, "accuracy", cluster="group", method="bca") == told
    assert metrics.compare(PATIENTS, OTHER, "pq", n=500) == metrics.compare(
        PATIENTS, OTHER, "pq", n=500, rng=0
    )
    assert metrics.paired_permutation(PATIENTS["pq"], OTHER["pq"], n=500) == metrics.paired_permutation(
        PATIENTS["pq"], OTHER["pq"], n=500, rng=0
    )
