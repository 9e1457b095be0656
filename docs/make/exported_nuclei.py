"""Nuclei of a tile by torch, ONNX Runtime and OpenCV, for docs/export_model.md. Needs the extra `onnx`.

python docs/make/exported_nuclei.py data/monuseg/images/TCGA-E2-A1B5-01Z-00-DX1.jpg --mpp 0.25
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from histoscope import models, read_image, weights
from histoscope.metrics import match
from histoscope.models.inference import rescaled
from histoscope.models.portable import opencv


def main() -> None:
    """Print a line for each model that comes along."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tile", type=Path)
    parser.add_argument("--mpp", type=float, required=True, help="micrometres per pixel")
    given = parser.parse_args()
    for name in weights.WEIGHTS:
        print(name, compared(name, read_image(given.tile), given.mpp))


def compared(name: str, image: np.ndarray, mpp: float) -> str:
    """Largest differences of heads, and numbers of nuclei that are the same."""
    model = models.load(name, models.Segmenter)
    step = model.spec.divisible_by
    pixels = rescaled(image, mpp / model.spec.mpp)
    pixels = np.ascontiguousarray(pixels[: len(pixels) // step * step, : pixels.shape[1] // step * step])
    batch = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32)
    with torch.inference_mode():
        expected = {
            key: value.numpy() for key, value in model(torch.from_numpy(batch.astype(np.uint8))).items()
        }
    with tempfile.TemporaryDirectory() as folder:
        (file,) = (f for f in models.export(name, folder, to="onnx").files if f.suffix == ".onnx")
        session, net = onnxruntime.InferenceSession(str(file)), opencv.read(file)
        names = [each.name for each in session.get_outputs()]
        net.setInput(batch)
        found = {
            "ONNX Runtime": dict(zip(names, session.run(names, {"image": batch}), strict=True)),
            "OpenCV": dict(zip(names, net.forward(names), strict=True)),
        }
    nuclei = _decoded(model, expected, pixels.shape[:2])
    said = [f"{nuclei.max()} nuclei by torch"]
    for runtime, theirs in found.items():
        far = max(float(np.abs(theirs[key] - expected[key]).max()) for key in names)
        other = _decoded(model, theirs, pixels.shape[:2])
        same = match(nuclei, other, iou_threshold=0.99).tp
        said.append(f"{runtime}: heads within {far:.1g}, {other.max()} nuclei, {same} at an IoU above 0.99")
    return "; ".join(said)


def _decoded(model: models.Segmenter, heads: dict[str, np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    return model.decode({k: torch.from_numpy(v) for k, v in heads.items()}, shape, model.spec.mpp).instances


if __name__ == "__main__":
    main()
