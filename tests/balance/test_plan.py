import numpy as np
import pytest

from histoscope import balance
from histoscope.balance import BALANCES, BalanceConfig, class_weights, plan
from histoscope.config import Config, parse
from histoscope.errors import ConfigError, DataError, UnknownNameError
from histoscope.train.patches import PatchSampler
from histoscope.types import Sample

NUCLEI = (0, 36, 9, 0, 4)  # of classes 0 to 4


def tissue(counts=NUCLEI):
    """One nucleus of a pixel in each cell of a grid; its class is the brightness of the image there."""
    classes = np.concatenate([[0], np.repeat(np.arange(len(counts)), counts)]).astype(np.uint8)
    labels, image = np.zeros((100, 100), np.int32), np.zeros((100, 100, 3), np.uint8)
    for k in range(1, len(classes)):
        row, column = 10 * ((k - 1) // 10) + 5, 10 * ((k - 1) % 10) + 5
        labels[row, column], image[row, column] = k, classes[k]
    return Sample(image, 0.5, labels, classes)


def test_none_does_nothing():
    made = plan(BALANCES["none"], [tissue()], n_classes=4)
    assert made.loss_weights.tolist() == [1, 1, 0, 1]
    assert made.counts.tolist() == list(NUCLEI)
    assert made.nuclei(0.3) == (0.3, None)
    assert made.rarity is None


def test_none_needs_no_classes_and_remedies_do():
    unlabelled = tissue((5,))
    assert plan(BALANCES["none"], [unlabelled], n_classes=0).loss_weights.shape == (0,)
    assert plan(BalanceConfig(rare_power=1.0), [], n_classes=2).loss_weights.tolist() == [0, 0]
    for name in set(BALANCES) - {"none"}:
        with pytest.raises(ConfigError, match="no nucleus in the training data has a class"):
            plan(BALANCES[name], [unlabelled], n_classes=2)
    with pytest.raises(DataError, match="class 4"):
        plan(BALANCES["none"], [tissue()], n_classes=3)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("on_nuclei", [0.0, 0.5])
def test_patches_fall_on_classes_as_planned(power, on_nuclei):
    """Drawn through the sampler that trains; the class is read off the image in the patch's middle."""
    sample = tissue()
    made = plan(BalanceConfig(rare_patches=0.6, rare_power=power), [sample], n_classes=4)
    share, weights = made.nuclei(on_nuclei)
    sampler = PatchSampler([sample], 1, on_nuclei=share, class_weights=weights)
    rng = np.random.default_rng(0)
    drawn = [int(sampler.draw(rng).image[0, 0, 0]) for _ in range(6000)]
    number = np.array(NUCLEI[1:], float)
    by_class = np.array([n**-power if n else 0.0 for n in number])
    places = number / 10_000  # a patch anywhere rarely meets a nucleus
    expected = (
        0.6 * by_class / by_class.sum()
        + 0.4 * on_nuclei * number / number.sum()
        + 0.4 * (1 - on_nuclei) * places
    )
    assert np.bincount(drawn, minlength=5)[1:] / 6000 == pytest.approx(expected, abs=0.025)


def test_rarity_is_1_for_the_rarest_and_0_for_what_does_not_occur():
    made = plan(BalanceConfig(rare_warp=True, rare_power=1.0), [tissue()], n_classes=4)
    assert made.rarity.tolist() == pytest.approx([0, 4 / 36, 4 / 9, 0, 1])
    assert made.rare_patches == 0
    assert made.patch_class_weights.sum() == 0


def test_presets_are_the_levels_of_the_study():
    assert list(BALANCES) == ["none", "weights", "augmentation", "both"]
    both, weights, augmentation = (BALANCES[name] for name in ("both", "weights", "augmentation"))
    assert both.class_weights == weights.class_weights != "none"
    assert (both.rare_patches, both.rare_warp) == (augmentation.rare_patches, augmentation.rare_warp)
    made = plan(both, [tissue()], n_classes=4)
    assert made.loss_weights.tolist() == class_weights(NUCLEI[1:], both.class_weights).tolist()


def test_settings_come_from_files_and_bad_ones_are_told():
    class Experiment(Config):
        balance: BalanceConfig = BalanceConfig()

    read = parse(Experiment, {"balance": {"rare_patches": 0.25}})
    assert read.balance == BalanceConfig(rare_patches=0.25)
    with pytest.raises(ConfigError, match="did you mean 'rare_patches'"):
        parse(Experiment, {"balance": {"rare_patch": 0.25}})
    with pytest.raises(ConfigError, match="rare_patches is 2"):
        BalanceConfig(rare_patches=2)
    with pytest.raises(UnknownNameError, match="did you mean 'sqrt_median'"):
        BalanceConfig(class_weights="sqrt_mean")
    with pytest.raises(UnknownNameError, match="did you mean 'augmentation'"):
        balance.get("augment")
