"""Probe ImageNet features of LC25000 under several splits by photograph: accuracy, interval, mistakes.

    histoscope train configs/colon_transfer.yaml --set data.root=data/lc25000_colon
    python docs/make/transfer_probe.py runs/colon_transfer data/lc25000_colon --cache runs/features

The network is that of the run, whose head is fitted anew for each split. Features in the cache are used.
"""

import argparse
from pathlib import Path

import pandas as pd

from histoscope import data, metrics, models
from histoscope.classify import classification
from histoscope.classify.features import extract
from histoscope.classify.probe import fit_probe
from histoscope.models.patches.classifier import Classifier

VAL, TEST = 0.15, 0.2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a trained classifier")
    parser.add_argument("root", type=Path, help="folder with a folder for each class, and index.csv")
    parser.add_argument("--cache", type=Path, default=Path("runs/features"))
    parser.add_argument("--splits", type=int, default=5)
    args = parser.parse_args()
    network = models.load(args.run / "model")
    if not isinstance(network, Classifier):
        parser.error(f"{args.run} holds {network.name}, expected a classifier")
    patches = data.open("class_folder", args.root, mpp=0.5)
    table = pd.concat([tested(network, patches, args.cache, seed) for seed in range(args.splits)])
    for seed, rows in table.groupby("seed"):
        wrong = rows.name[rows.true != rows.predicted]
        print(f"split {seed}: {1 - len(wrong) / len(rows):.4f} of {len(rows)}; wrong: {', '.join(wrong)}")
    print(f"mean: {metrics.patch_interval(table, 'accuracy')}")


def tested(network: Classifier, patches: data.Dataset, cache: Path, seed: int) -> pd.DataFrame:
    """Fit the head under one split; the test patches, one a row."""
    parts = data.split_by(patches, "source", train=1 - VAL - TEST, val=VAL, test=TEST, seed=seed)
    features = {name: extract(network, part, cache=cache) for name, part in parts}
    fit_probe(network, features["train"], features["val"])
    found = classification.classify_features(network, features["test"], parts.test)
    return found.assign(seed=seed)


if __name__ == "__main__":
    main()
