"""Work that is shared among threads is done once, and its errors are heard."""

import numpy as np
import pytest

from histoscope.threads import SMALLEST_BAND, over


@pytest.mark.parametrize("n", [0, 1, SMALLEST_BAND, SMALLEST_BAND * 3 + 7])
def test_parts_cover_everything_once(n):
    count = np.zeros(n, np.int64)

    def add(start, stop, out):
        out[start:stop] += 1
        return stop - start

    assert sum(over(add, n, SMALLEST_BAND, count)) == n
    assert (count == 1).all()


def test_errors_of_a_part_are_passed_on():
    def fail(start, stop):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        over(fail, SMALLEST_BAND * 3, SMALLEST_BAND)
