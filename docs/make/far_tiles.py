"""How much of a kernel distance a few far synthetic tiles carry: the distance without the farthest of them.

python docs/make/far_tiles.py data/monuseg data/synthetic_like --mpp 0.25
"""

import argparse
from pathlib import Path

import numpy as np

from histoscope import data, metrics
from histoscope.data import Dataset
from histoscope.generate.realism_encoder import encoder
from histoscope.types import Sample

PATCH_PX = 256
LEFT_OUT = (0, 1, 2, 4, 8)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("real", type=Path)
    parser.add_argument("synthetic", type=Path)
    parser.add_argument("--mpp", type=float, default=None, help="of the real tiles, where files do not say")
    given = parser.parse_args()
    real = np.concatenate(
        features(data.open("folder", given.real, **({"mpp": given.mpp} if given.mpp else {})))
    )
    tiles = features(data.open("folder", given.synthetic))
    mean, spread = real.mean(axis=0), real.std(axis=0) + 1e-6
    far = [np.linalg.norm((tile - mean) / spread, axis=1).mean() for tile in tiles]
    order = np.argsort(far)[::-1]
    whole = metrics.kernel_distance(real, np.concatenate(tiles))
    for n in LEFT_OUT:
        rest = metrics.kernel_distance(real, np.concatenate([tiles[k] for k in order[n:]]))
        print(f"without the {n} farthest of {len(tiles)} tiles: {rest / whole:.2f} of the distance")


def features(dataset: Dataset) -> list[np.ndarray]:
    """Features of the patches of each tile."""
    encode = encoder("nuclei-free")
    return [encode(list(patches(sample))) for sample in dataset]


def patches(sample: Sample) -> list[Sample]:
    """Cut a tile without overlap."""
    rows, columns = (range(0, side - PATCH_PX + 1, PATCH_PX) for side in sample.image.shape[:2])
    return [
        Sample(sample.image[y : y + PATCH_PX, x : x + PATCH_PX], sample.mpp, name=f"{y}_{x}")
        for y in rows
        for x in columns
    ]


if __name__ == "__main__":
    main()
