"""Score a model on the tiles of a laboratory that it never saw, for its card."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from laboratories import Laboratory, opened

from histoscope import data, metrics
from histoscope.metrics.pooling import classes_in
from histoscope.train import external, provenance, seen
from histoscope.types import Nuclei, Sample
from histoscope.words import count

SCORES = ("aji", "pq", "f1_50", "dice")
UNSEEN = "the model never saw this laboratory"
KIN = "the model learned from other patients of this data set"
OnImage = Callable[[Sample, Nuclei], None]


def scored(
    model: Path, laboratory: Laboratory, root: Path, on_image: OnImage | None = None
) -> tuple[dict[str, Any], pd.DataFrame | None]:
    """Entry of the card, and the scores of each image; images that the model has seen are left out.

    Parameters
    ----------
    model : Path
        Model folder.
    laboratory : Laboratory
    root : Path
        Folder of all data sets.
    on_image : callable, optional
        Called with each sample and its nuclei.
    """
    about = {"tissue": laboratory.tissue, "licence": laboratory.licence, "citation": laboratory.credit}
    dataset = opened(laboratory, root)
    learned = provenance.read(model)
    if learned is None:
        raise SystemExit(f"{model} does not say what it learned from (learned_from.csv)")
    status = seen.seen_in(learned, dataset).status
    unseen = [k for k, each in enumerate(status) if not each]
    n_seen = len(status) - len(unseen)
    if not unseen or (laboratory.whole and n_seen):
        of = f"{n_seen} of {count(len(status), 'image')}"
        return about | {"saw": f"not measured: the model learned from {of}"}, None
    about["saw"] = said(learned, laboratory) + (f"; {count(n_seen, 'image')} left out" if n_seen else "")
    dataset = data.subset(dataset, unseen)
    found = external.score(model, dataset, on_image=on_image)
    if found.skipped:
        raise SystemExit(f"{laboratory.folder}: {found.skipped}")
    return about | entry(found.table, dataset, laboratory), found.table


def entry(table: pd.DataFrame, dataset: data.Dataset, laboratory: Laboratory) -> dict[str, Any]:
    """Scores with their intervals: of all nuclei, of classes and of organs; and the worst image."""
    tags = {record.name: record.tags for record in dataset.records}
    unit = metrics.independent_unit(table)
    if laboratory.unit:
        unit = "group"
        table[unit] = [tags[name][laboratory.unit] for name in table["name"]]
    found: dict[str, Any] = {"images": len(table), "nuclei": int(table["n_true"].sum()), "unit": unit}
    found |= {name: bounds(table, name, unit) for name in SCORES}
    classes = classes_in(table)
    pooled = [f"pq_{each}" for each in classes] + (["mpq_plus"] if classes else [])
    found |= {name: bounds(table, name, unit, pooled=True) for name in pooled}
    if laboratory.organ:
        organs = [tags[name][laboratory.organ] for name in table["name"]]
        found["by organ"] = {
            str(organ): {"images": len(rows)} | {name: bounds(rows, name, unit) for name in SCORES}
            for organ, rows in table.groupby(organs)
        }
    return found | {"worst": worst(table)}


def said(learned: pd.DataFrame, laboratory: Laboratory) -> str:
    """Whether the model learned from other images of the laboratory's data set."""
    return KIN if set(learned["data"]) & {laboratory.folder, *laboratory.kin} else UNSEEN


def worst(table: pd.DataFrame) -> dict[str, Any]:
    """The image with the lowest AJI: what was missed there, and what was found that is no nucleus."""
    row = table.loc[table["aji"].idxmin()]
    counts = {"nuclei": row["n_true"], "missed": row["fn"], "wrong": row["fp"]}
    return {"image": str(row["name"]), "aji": round(float(row["aji"]), 3)} | {
        key: int(value) for key, value in counts.items()
    }


def bounds(table: pd.DataFrame, name: str, unit: str, *, pooled: bool = False) -> list[float | None]:
    """Estimate, low, high, and how many patients (or images) they rest on."""
    found = metrics.interval(table, name, cluster=unit, pooled=pooled).within(metrics.range_of(name))
    ends = [round(value, 3) if np.isfinite(value) else None for value in (found.low, found.high)]
    return [round(found.estimate, 3), *ends, found.n_clusters]
