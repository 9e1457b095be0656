"""Show that ImageNet weights are loaded right: the first classes that each network says of three photographs.

    python docs/make/transfer_imagenet.py data/pretrained_weights

The folder holds weights of MobileNets (``.tflite`` or dequantised ``.npz``), ``imagenet_labels.txt`` (1001
lines, the first for "background") and ``check_images/``. Each network's own classifier, which comes with the
weights, is asked; nothing is trained.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch

from histoscope.files import read_image
from histoscope.models.patches.classifier import Classifier
from histoscope.models.patches.initial import initialise

NETWORKS = {
    "mobilenet_v2_tf": ("mobilenet_v2_1.0_224_quant.tflite", "mobilenet_v2_1.0_224_quant_dequantised.npz"),
    "mobilenet_v1_075_tf": ("mobilenet_v1_0.75_192_quant_dequantised.npz",),
    "mobilenet_v1_050_tf": ("mobilenet_v1_0.5_160_quant_dequantised.npz",),
    "mobilenet_v1_025_tf": ("mobilenet_v1_0.25_128_quant_dequantised.npz",),
}
IMAGES = (".jpg", ".jpeg", ".png", ".bmp")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path, help="folder of weights, labels and check images")
    folder = parser.parse_args().weights
    pictures = sorted(path for path in (folder / "check_images").iterdir() if path.suffix in IMAGES)
    print("| network | file | " + " | ".join(path.name for path in pictures) + " |")
    print("|---|---|" + "---|" * len(pictures))
    for backbone, name in files(folder):
        said = top(folder, backbone, name, pictures)
        print(f"| {backbone} | {name} | " + " | ".join(said) + " |")


def files(folder: Path) -> Iterator[tuple[str, str]]:
    """Backbone and name of each file of weights that is there."""
    for backbone, names in NETWORKS.items():
        yield from ((backbone, name) for name in names if (folder / name).is_file())


def top(folder: Path, backbone: str, name: str, pictures: list[Path], n: int = 2) -> list[str]:
    """The first classes of each picture, with their probabilities."""
    labels = (folder / "imagenet_labels.txt").read_text(encoding="utf-8").split("\n")
    classes = [f"{number} {label}" for number, label in enumerate(labels[:1001])]
    model = Classifier(backbone=backbone, classes=classes).eval()
    initialise(model, folder / name, head=True)
    said = []
    for path in pictures:
        image = read_image(path)
        # All of the picture's shorter side is seen.
        patch = model.patch(image, model.spec.mpp * model.spec.patch_px / min(image.shape[:2]))
        with torch.inference_mode():
            pixels = torch.from_numpy(patch.copy()).permute(2, 0, 1)[None]
            p = model.probabilities(model(pixels))[0]
        best = p.topk(n)
        words = (
            f"{classes[int(k)].split(' ', 1)[1]} {value:.2f}"
            for k, value in zip(best.indices, best.values, strict=True)
        )
        said.append(", ".join(words))
    return said


if __name__ == "__main__":
    main()
