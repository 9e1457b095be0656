"""ImageNet weights name what is on three photographs; skipped where weights and photographs are not there."""

import os
from pathlib import Path

import pytest
import torch

from histoscope.files import read_image
from histoscope.models.patches.classifier import Classifier
from histoscope.models.patches.initial import initialise, read_state

ROOT = Path(os.environ.get("HISTOSCOPE_DATA", "data")) / "pretrained_weights"
BACKBONE = "tf_efficientnet_lite0"
# No class of ImageNet is a sunflower; a daisy is the nearest.
SHOWN = {"cat.bmp": "Egyptian cat", "parrot.jpg": "macaw", "sunflower.bmp": "daisy"}


@pytest.mark.skipif(not (ROOT / "check_images").is_dir(), reason=f"no ImageNet weights in {ROOT}")
def test_the_network_names_what_is_on_the_check_images() -> None:
    # The first label is "background", which weights of timm do without.
    labels = (ROOT / "imagenet_labels.txt").read_text(encoding="utf-8").split("\n")[1:1001]
    names = [f"{k} {label}" for k, label in enumerate(labels)]
    model = Classifier(backbone=BACKBONE, classes=names, mpp=0.5).eval()
    initialise(model, ROOT / f"{BACKBONE}.safetensors")
    state = read_state(ROOT / f"{BACKBONE}.safetensors")
    model.head.load_state_dict({name: state[f"classifier.{name}"] for name in ("weight", "bias")})
    for picture, expected in SHOWN.items():
        image = read_image(ROOT / "check_images" / picture)
        patch = model.patch(image, model.spec.mpp * model.spec.patch_px / min(image.shape[:2]))
        with torch.inference_mode():
            p = model.probabilities(model(torch.from_numpy(patch.copy()).permute(2, 0, 1)[None]))[0]
        assert labels[int(p.argmax())] == expected, f"{picture}: {labels[int(p.argmax())]}"
