from pathlib import Path

import pytest

from histoscope.errors import ConfigError, StainError, UnknownNameError
from histoscope.train.choices import check_normalizer


def test_white_points_and_references_that_cannot_be_are_refused():
    check_normalizer("none", None)
    check_normalizer("reinhard", (200, 200, 255))
    with pytest.raises(ConfigError, match="'normalizer' is none"):
        check_normalizer("none", (230, 228, 226))
    with pytest.raises(ConfigError, match="'reference' is for a normaliser, but 'normalizer' is none"):
        check_normalizer("none", None, Path("lab.json"))
    with pytest.raises(StainError, match="from 1 to 255"):
        check_normalizer("macenko", (0, 228, 226))
    with pytest.raises(UnknownNameError):
        check_normalizer("macenco", None)
