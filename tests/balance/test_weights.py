import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from histoscope.balance import CLASS_WEIGHTS, class_weights
from histoscope.errors import ConfigError, UnknownNameError

COUNTS = st.lists(st.integers(0, 10**6), min_size=1, max_size=8)


def slow(counts, how):
    """One class after the other, from the formulas of the papers."""
    present = [n for n in counts if n]
    middle = sorted(present)
    middle = (middle[(len(middle) - 1) // 2] + middle[len(middle) // 2]) / 2 if middle else 0
    rule = {
        "none": lambda n: 1.0,
        "inverse": lambda n: 1.0 / n,
        "sqrt_median": lambda n: math.sqrt(middle / n),
        "effective": lambda n: 1.0 / sum(0.999**k for k in range(min(n, 40_000))),  # the rest is below 1e-17
    }[how]
    raw = [rule(n) if n else 0.0 for n in counts]
    return [weight * len(present) / sum(raw) if weight else 0.0 for weight in raw]


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=4), st.sampled_from(sorted(CLASS_WEIGHTS)))
def test_weights_are_their_definition(counts, how):
    assert class_weights(counts, how).tolist() == pytest.approx(slow(counts, how), rel=1e-6)


@given(COUNTS, st.sampled_from(sorted(CLASS_WEIGHTS)))
def test_weights_have_mean_1_and_favour_the_rare(counts, how):
    weights, counts = class_weights(counts, how), np.array(counts)
    present = counts > 0
    assert (weights[~present] == 0).all()
    if present.any():
        assert weights[present].mean() == pytest.approx(1.0)
        rising = weights[present][np.argsort(counts[present], kind="stable")]
        assert (np.diff(rising) <= 1e-12).all()


def test_rules_grow_in_strength():
    spread = {how: np.ptp(class_weights([5000, 500, 50], how)) for how in CLASS_WEIGHTS}
    assert spread["none"] == 0
    assert spread["sqrt_median"] < spread["effective"] < spread["inverse"]


def test_bad_input_is_told():
    with pytest.raises(UnknownNameError, match="did you mean 'inverse'"):
        class_weights([1, 2], "inverze")
    for counts in ([1, -1], [math.nan], [[1, 2]]):
        with pytest.raises(ConfigError, match="one number of at least 0"):
            class_weights(counts)
