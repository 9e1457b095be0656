"""The learning rate's path."""

from hypothesis import given
from hypothesis import strategies as st

from histoscope.train.schedule import warmup_cosine


@given(st.integers(1, 500), st.floats(0, 0.9))
def test_it_rises_once_and_falls_once_within_its_bounds(steps, warmup):
    path = [warmup_cosine(step, steps, warmup=warmup) for step in range(steps)]
    assert all(0 < value <= 1 for value in path)
    top = path.index(max(path))
    assert path[: top + 1] == sorted(path[: top + 1])
    assert path[top:] == sorted(path[top:], reverse=True)
