"""A slide of tissue on glass, and two networks that find its nuclei: one with rays, one with regions."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

import histoscope as hs
from histoscope import models
from histoscope.files import write_image
from histoscope.models.base import InputSpec
from histoscope.models.nuclei.region_segmenter import RegionSegmenter
from histoscope.predict import Detector, PatchClassifier
from histoscope.slides import Slide, open_slide


class Dark(RegionSegmenter):
    """Nuclei are what is darker than its surroundings: no training, a context of a few pixels."""

    name = "dark"

    def __init__(self) -> None:
        super().__init__(InputSpec(mpp=0.5, divisible_by=4, context_px=16), {})
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def features(self, x: Tensor) -> Tensor:
        """Logits by the brightness of 5 x 5 pixels."""
        grey = functional.avg_pool2d(x.mean(dim=1, keepdim=True), 5, 1, 2, count_include_pad=False)
        inside = 6.0 * (-grey - 0.3)
        return torch.cat([-inside, inside, torch.full_like(inside, -1.0)], dim=1)


@pytest.fixture(scope="session")
def image() -> np.ndarray:
    """Give 700 x 900 px of tissue of 0.5 um on glass."""
    found = np.full((700, 900, 3), 244, np.uint8)
    found[60:572, 150:662] = hs.synth.generate((512, 512), mpp=0.5, rng=3).image
    found[500:660, 700:860] = hs.synth.generate((160, 160), mpp=0.5, rng=4).image
    return found


@pytest.fixture(scope="session")
def path(image: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give it as a file."""
    where = tmp_path_factory.mktemp("slides") / "one.tif"
    write_image(where, image, mpp=0.5)
    return where


@pytest.fixture
def slide(path: Path) -> Slide:
    """Give it open."""
    return open_slide(path)


@pytest.fixture(scope="session")
def rays() -> Detector:
    """Give the detector that comes along."""
    return Detector.open("nuclei-free")


@pytest.fixture(scope="session")
def regions() -> Detector:
    """Give one whose nuclei are grown from regions."""
    return Detector(Dark().eval(), fingerprint="dark")


@pytest.fixture(params=["rays", "regions"])
def detector(request: pytest.FixtureRequest) -> Detector:
    """Give each of them."""
    found: Detector = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def classifier(image: np.ndarray) -> PatchClassifier:
    """Give a classifier of patches of 16 um that was not trained; each of its classes is seen somewhere."""
    torch.manual_seed(0)
    network = models.create(
        "classifier",
        backbone="unet",
        patch_px=32,
        mpp=0.5,
        options={"width": 4, "depth": 2},
        classes=["gland", "stroma", "fat"],
    )
    network.eval()
    tiles = np.stack([image[y : y + 32, x : x + 32] for y in range(64, 512, 32) for x in range(160, 640, 32)])
    with torch.no_grad():
        network.head.weight.mul_(30.0)  # so that classes differ from tile to tile
        network.head.bias.sub_(network(torch.from_numpy(tiles).permute(0, 3, 1, 2))["logits"].mean(dim=0))
    return PatchClassifier(network, fingerprint="fresh")
