"""Make a trained model one of those that come with Histoscope, and write docs/weights.md.

    python docs/make/ship_weights.py nuclei-free --run runs/nuclei_free --data data

Tests the model on images it never saw (``DATA/monuseg``, ``DATA/consep``: their published test parts), writes
the scores with intervals on its card, and copies weights and card into the package. Without ``--run`` the
weights that are shipped are tested again.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from histoscope import data, metrics, models, train
from histoscope.files import write_text
from histoscope.metrics.intervals import counted
from histoscope.metrics.pooling import classes_in, pooled_statistic
from histoscope.models.card import read_card
from histoscope.tables import write_table
from histoscope.train import provenance

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "src" / "histoscope" / "weights"
SCORES = ("dice", "aji", "pq", "f1_50")
ABOUT: dict[str, dict[str, Any]] = {
    "nuclei-free": {
        "about": "Nuclei of H&E tissue, learned from synthetic tissue alone.",
        "weights licence": "Apache-2.0",
        "training command": "histoscope train configs/weights_nuclei_free.yaml",
        "known failures": [
            "It never saw a real nucleus: some debris, ink, folds and purple stroma are taken for nuclei.",
            "Pale and vesicular nuclei, as of some tumours, are missed or broken up.",
            "It tells no classes apart.",
        ],
    },
    "nuclei-research": {
        "about": "Nuclei of H&E tissue in four classes, learned from MoNuSeg and CoNSeP.",
        "weights licence": "CC BY-NC-SA 4.0 (non-commercial, as MoNuSeg)",
        "training command": "histoscope train configs/weights_nuclei_research.yaml",
        "known failures": [
            "Classes were learned from colon alone (CoNSeP); take them as a guess elsewhere.",
            "Of 561 misc nuclei of CoNSeP's test images 123 are found (95 in one); 281 others are called so.",
            "Trained at 40x: at 20x small, crowded nuclei merge.",
        ],
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=sorted(ABOUT))
    parser.add_argument("--run", type=Path, help="run folder of training; without, test what is shipped")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder with monuseg and consep")
    given = parser.parse_args()
    folder = SHIPPED / given.name if given.run is None else given.run / "model"
    model = models.load(folder, models.Segmenter)
    card = {key: value for key, value in read_card(folder).items() if key != "split"}
    card |= ABOUT[given.name] | {"name": given.name}
    card["test"] = {
        f"{name}, published test images": tested(model, given.data / name) for name in ("monuseg", "consep")
    }
    if given.run is None:
        write_text(folder / "card.json", json.dumps(card, indent=2) + "\n")
    else:
        models.save(model, SHIPPED / given.name, card)
        listed = provenance.read(given.run)
        if listed is not None:  # where the files lay is nobody's business
            write_table(SHIPPED / given.name / provenance.FILE, listed.assign(file=""))
    write_page()


def tested(model: models.Segmenter, root: Path) -> dict[str, Any]:
    """Scores on the published test part, each with its 95 % interval by patient, or by image."""
    dataset = data.open("folder", root, mpp=0.25)
    test = data.split_published(dataset).test
    table = train.evaluate(model, test)
    unit = metrics.independent_unit(table)
    found: dict[str, Any] = {"images": len(table), "nuclei": int(table["n_true"].sum()), "unit": unit}
    for name in SCORES:
        found[name] = bounds(table, name)
    classes = classes_in(table)
    for name in [f"pq_{each}" for each in classes] + (["mpq_plus"] if classes else []):
        pooled_statistic(table, name)
        found[name] = bounds(table, name, pooled=True)
    return found


def bounds(table: pd.DataFrame, name: str, *, pooled: bool = False) -> list[float | None]:
    """Estimate, low, high, and how many patients (or images) they rest on."""
    found = metrics.interval(table, name, cluster=metrics.independent_unit(table), pooled=pooled)
    found = found.within(metrics.range_of(name))
    ends = [round(value, 3) if np.isfinite(value) else None for value in (found.low, found.high)]
    return [round(found.estimate, 3), *ends, found.n_clusters]


def write_page() -> None:
    """Write docs/weights.md from the cards."""
    lines = [
        "# Weights",
        "",
        "Small models that come with Histoscope, used by name: `histoscope predict nuclei-free a.png out`.",
        "Scores are on images that were not trained on: mean over images (classes: PQ of all images pooled),",
        "with a 95 % interval and the number of patients that it rests on. CoNSeP does not publish patients:",
        "images stand for them.",
        "",
    ]
    for folder in sorted(path.parent for path in SHIPPED.glob("*/card.json")):
        card = read_card(folder)
        size = (folder / "model.safetensors").stat().st_size / 1e6
        lines += [
            f"## `{card['name']}`",
            "",
            f"{card['about']} StarDist, {size:.1f} MB, {card['input']['mpp']:g} micrometres per pixel.",
            "",
            f"- Licence of the weights: {card['weights licence']}",
            f"- Trained on: {card['training data']['name']} ({card['training data']['licence']})",
            f"- Made by: `{card['training command']}`",
            *(f"- Known failure: {text}" for text in card["known failures"]),
            "",
            "| Tested on | Score | Mean | 95 % interval | of |",
            "|---|---|---|---|---|",
        ]
        for where, scores in card["test"].items():
            for name, values in scores.items():
                if isinstance(values, list):
                    mean, low, high, n = values
                    span = f"{low:.3f} to {high:.3f}" if low is not None else ""
                    of = counted(n, scores["unit"])
                    lines.append(f"| {where} | {name} | {mean:.3f} | {span} | {of} |")
        lines.append("")
    write_text(ROOT / "docs" / "weights.md", "\n".join(lines))
    print(json.dumps({"page": "docs/weights.md"}))


if __name__ == "__main__":
    main()
