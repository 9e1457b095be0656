"""A network of a card that is small."""

import pytest


@pytest.fixture(scope="session")
def stardist(trained):
    return trained("stardist", width=4, depth=2, n_rays=8, mpp=0.4, classes=["a", "b"])
