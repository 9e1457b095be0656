"""How often a model calls each class: python docs/make/class_shares.py MODEL --data data.

On the published test part of MoNuSeg, whose classes are not known: a share of `misc` that is large is wrong.
"""

import argparse
from pathlib import Path

import numpy as np
from laboratories import LABORATORIES, opened

from histoscope import models


def main() -> None:
    """Print the share of each class, and of those that are unsure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a name, or a model folder")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the data sets")
    given = parser.parse_args()
    network = models.load(given.model, models.Segmenter)
    names = ["unsure", *network.spec.classes]
    called = np.zeros(len(names), int)
    dataset = opened(LABORATORIES["monuseg"], given.data)
    for sample in dataset:
        nuclei = models.predict(sample.image, network, sample.mpp)
        called += np.bincount(nuclei.class_id, minlength=len(called))
    print(f"{called.sum():,} nuclei of {len(dataset)} images")
    for name, number in zip(names, called, strict=True):
        print(f"{name}: {number:,}, {number / called.sum():.1%}")


if __name__ == "__main__":
    main()
