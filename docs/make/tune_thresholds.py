"""Choose the thresholds of a model that comes along on real validation patients. Its weights stay.

    python docs/make/tune_thresholds.py nuclei-free --data data

For a model that learned from drawn tissue alone, whose probabilities mean less on real images. The images, of
the validation part of TNBC (CC BY 4.0), are added to the list of those that it has seen.
"""

import argparse
from pathlib import Path

import pandas as pd
from laboratories import LABORATORIES, opened

from histoscope import models, weights
from histoscope.models.card import read_card
from histoscope.tables import write_table
from histoscope.train import provenance
from histoscope.train.thresholds import tune


def main() -> None:
    """Rewrite the card and the list of images."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=sorted(weights.WEIGHTS))
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the data sets")
    given = parser.parse_args()
    folder, val = weights.find(given.name), opened(LABORATORIES["tnbc"], given.data, ("val",))
    model, learned = models.load(folder, models.Segmenter), provenance.read(folder)
    before = dict(model.thresholds)
    score = tune(model, [val[index] for index in range(len(val))])
    models.save(model, folder, read_card(folder))
    added = pd.concat([learned, provenance.learned_from({"val": val}).assign(file="")])
    write_table(folder / provenance.FILE, added.drop_duplicates(["part", "data", "name"]))
    print(f"{before} -> {dict(model.thresholds)}, PQ {score:.3f} on {len(val)} images")


if __name__ == "__main__":
    main()
