"""Score models on tiles that nothing is reported on, to choose between recipes of training.

    python docs/make/development_scores.py nuclei-free runs/nuclei_1/model --data data

AJI, PQ and F1 at several thresholds: validation patients of TNBC, and some training tiles of MoNuSeg, CoNSeP
and the gliomas, whose test parts are never looked at for a choice.
"""

import argparse
from pathlib import Path

import numpy as np
from laboratories import LABORATORIES, opened

from histoscope import metrics, models
from histoscope.models.inference import heads_of, rescaled

TILES = {
    ("tnbc", "val"): 11,
    ("monuseg", "train"): 12,
    ("consep", "train"): 8,
    ("lgg_tcga_emory", "train"): 8,
}
"""Data set and part -> tiles, spread over the part."""
PROBABILITIES = (0.4, 0.5, 0.55, 0.6, 0.65, 0.7)
OVERLAP = 0.4
SCORES = ("aji", "pq", "f1_50")


def main() -> None:
    """Print a line for each model, data set and threshold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", help="names, or model folders")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the data sets")
    given = parser.parse_args()
    for name in given.models:
        network = models.load(name, models.Segmenter)
        found = {key: scores(network, *key, tiles, given.data) for key, tiles in TILES.items()}
        for (folder, part), table in [*found.items(), (("mean", ""), np.mean(list(found.values()), axis=0))]:
            for probability, row in zip(PROBABILITIES, table, strict=True):
                said = "  ".join(f"{score} {value:.3f}" for score, value in zip(SCORES, row, strict=True))
                print(f"{name}  {folder} {part}  {probability:g}  {said}", flush=True)


def scores(network: models.Segmenter, folder: str, part: str, tiles: int, root: Path) -> np.ndarray:
    """Means over tiles, (thresholds, scores)."""
    dataset = opened(LABORATORIES[folder], root, (part,))
    rows = []
    for index in np.linspace(0, len(dataset) - 1, tiles).astype(int):
        sample = dataset[int(index)]
        heads = heads_of(network, rescaled(sample.image, sample.mpp / network.spec.mpp))
        for probability in PROBABILITIES:
            network.thresholds = {"probability": probability, "iou": OVERLAP}
            found = network.decode(heads, sample.image.shape[:2], sample.mpp).instances
            rows.append([metrics.get(score).function(sample.instances, found) for score in SCORES])
    return np.nanmean(np.reshape(rows, (tiles, len(PROBABILITIES), len(SCORES))), axis=0)


if __name__ == "__main__":
    main()
