import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histoscope.errors import ConfigError
from histoscope.report.cost import cost, reached

SCORES = st.lists(st.one_of(st.none(), st.just(math.nan), st.floats(0, 1)), max_size=12)


@given(SCORES, st.floats(0, 1))
def test_reached_is_the_first_look_that_is_good_enough(scores, level):
    log = [{"step": 10 * k, "seconds": 0.5 * k, "val": {"accuracy": score}} for k, score in enumerate(scores)]
    found = reached(log, "accuracy", level)
    first = next((k for k, score in enumerate(scores) if score is not None and score >= level), None)
    if first is None:
        assert math.isnan(found.step)
        assert math.isnan(found.seconds)
    else:
        assert (found.step, found.seconds) == (10 * first, 0.5 * first)


def test_losses_fall_and_stand_in_the_line_itself():
    log = [{"step": k, "seconds": k, "loss": 1 / (k + 1)} for k in range(5)]
    assert reached(log, "loss", 0.25, part="", higher_is_better=False).step == 3
    assert math.isnan(reached(log, "loss", 0.25).step)  # no such part


def test_cost_of_a_run():
    log = [{"step": 0, "seconds": 0.1}, {"step": 20, "seconds": 4.0, "val": {}}]
    found = cost(log, batch_size=16, n_train=64)
    assert (found.steps, found.images, found.epochs, found.images_per_second) == (20, 320, 5.0, 80.0)
    assert math.isnan(cost([], batch_size=1, n_train=1).images_per_second)
    with pytest.raises(ConfigError, match="n_train 0"):
        cost(log, batch_size=1, n_train=0)
