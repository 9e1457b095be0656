"""Every option of a verb changes what the verb prints or writes: a new one is covered by itself."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
import torch
import typer
import yaml
from typer.testing import CliRunner

from histoscope import data, demo, models, synth
from histoscope.cli.main import app
from histoscope.edits import Corrections
from histoscope.export import write_geojson
from histoscope.export.cells_measure import ABOUT
from histoscope.files import read_image, write_image
from histoscope.nuclei import Nuclei
from histoscope.predict.slides.cohort_table import write_cohort
from histoscope.studies import read_config, run_study
from histoscope.studies.task import Pace, StudyTask

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*no score for that class:UserWarning",
    "ignore:.*non-commercial use only:UserWarning",
    "ignore:.*different. treat classes as a guess:UserWarning",
)

SLURM = ["predict", "nuclei-free", "IMAGES", "OUT"]

# Verb -> what it is called with; words in capitals stand for paths, OUT for a new folder.
BASES: dict[str, list[str]] = {
    "normalize": ["IMAGES", "OUT"],
    "predict": ["nuclei-free", "IMAGES", "OUT", "--mpp", "0.5", "--only", "csv"],
    "measure": ["CELLS"],
    "cohort report": ["NIGHT"],
    "evaluate": ["nuclei-free", "COHORT", "--out", "OUT/scores.csv"],
    "explain": ["CLASSIFIER", "PATCHES", "OUT", "--mpp", "0.5", "--which", "surest"],
    "export": ["nuclei-free", "OUT", "--to", "torchscript"],
    "slurm": SLURM,
    "synth": ["OUT", "--n", "2", "--size", "64"],
    "view": ["IMAGES", "--list"],
    "data info": ["folder", "COHORT"],
    "data verify": ["folder", "COHORT"],
    "data convert": ["folder", "COHORT", "OUT"],
    "data from-qupath": ["ANNOTATED/1.png", "ANNOTATED/1.json", "OUT", "--mpp", "0.5"],
    "data from-edits": ["CORRECTED/1.geojson", "OUT", "--mpp", "0.5", "--square-um", "32"],
    "data split": ["folder", "UNSPLIT", "--val", "0.2", "--test", "0.2"],
    "data audit": ["folder", "COPIED"],
    "data compare": ["REAL", "DRAWN", "OUT"],
    "data list": [],
    "demo": ["OUT"],
    "doctor": [],
    "models list": [],
    "models show": ["nuclei-free"],
    "init": ["COHORT", "--out", "OUT/a.yaml", "--no-time"],
    "train": ["TRAINING", "--set", "out=OUT"],
    "pretrain": ["PRETRAINING", "--set", "out=OUT"],
    "study list": [],
    "study plan": ["STUDY", "--set", "out=OUT"],
    "study run": ["STUDY", "--set", "out=OUT"],
    "study report": ["DONE"],
}
TILES = ["CLASSIFIER", "IMAGES", "OUT", "--mpp", "0.5", "--only", "csv", "--as", "tiles"]
SLIDES = ["nuclei-free", "SLIDE", "OUT"]
AROUND = ["CORRECTED/1.geojson", "OUT", "--mpp", "0.5", "--trust-model", "--square-um"]
GROUPED = ["class_folder", "OVERLAPPING", "--mpp", "0.5", "--groups", "OUT/groups.csv"]
SMALL = [
    "--set",
    "model.arguments={width: 4, depth: 2}",
    "--set",
    "train.patch_px=32",
    "--set",
    "train.steps=1",
]
ONE_STEP = ["--data", "COHORT", "--set", "out=OUT", *SMALL[2:]]
PARTED = ["folder", "UNSPLIT", "--by", "patient"]
# Argument or option -> how the verb is called with another value; with a base of its own where it needs one.
CALLS: dict[str, dict[str, Any]] = {
    "normalize": {
        "source": ["OTHER/images", "OUT"],
        "out": ["IMAGES", "OUT/deeper"],
        "method": ["+", "--method", "reinhard"],
        "reference": ["+", "--reference", "REFERENCE"],
        "estimate": ["+", "--estimate", "folder"],
        "white": ["+", "--white", "200,205,210"],
        "save_reference": ["+", "--save-reference", "OUT/lab.json"],
        "as_json": ["+", "--json"],
    },
    "predict": {
        "model": ["nuclei-research", "IMAGES", "OUT", "--mpp", "0.5", "--only", "csv"],
        "sources": ["nuclei-free", "OTHER/images", "OUT", "--mpp", "0.5", "--only", "csv"],
        "out": ["nuclei-free", "IMAGES", "OUT/deeper", "--mpp", "0.5", "--only", "csv"],
        "mpp": ["nuclei-free", "IMAGES", "OUT", "--mpp", "0.4", "--only", "csv"],
        "tta": ["+", "--tta"],
        "only": ["+", "--only", "geojson"],
        "shown": (["CLASSIFIER", "IMAGES", "OUT", "--mpp", "0.5", "--only", "csv"], ["+", "--as", "patch"]),
        "least_area": ["+", "--least-area", "40"],
        "reader": (SLIDES, ["+", "--reader", "openslide"]),
        "roi": (SLIDES, ["+", "--roi", "ROI"]),
        "least_focus": (SLIDES, ["+", "--least-focus", "5"]),
        "cells": (["CLASSIFIER", "SLIDE", "OUT"], ["+", "--cells", "FOUND"]),
        "csv": (SLIDES, ["+", "--csv"]),
        "labels": (SLIDES, ["+", "--labels"]),
        "least_tissue": (TILES, ["+", "--least-tissue", "1"]),
        "as_json": ["+", "--json"],
    },
    "measure": {
        "sources": ["OTHER_CELLS"],
        "out": ["+", "--out", "OUT/measures.csv"],
        "as_json": ["+", "--json"],
    },
    "cohort report": {
        "out": ["OTHER_NIGHT"],
        "clinical": ["+", "--clinical", "LAB"],
        "by": (["NIGHT", "--clinical", "LAB"], ["+", "--by", "case"]),
        "group": (["NIGHT", "--clinical", "LAB"], ["+", "--group", "arm"]),
        "as_json": ["+", "--json"],
    },
    "evaluate": {
        "model": ["nuclei-research", "COHORT", "--out", "OUT/scores.csv"],
        "root": ["nuclei-free", "OTHER", "--out", "OUT/scores.csv"],
        "data": (
            ["CLASSIFIER", "PATCHES", "--mpp", "0.5", "--data", "class_folder"],
            ["CLASSIFIER", "PATCHES", "--mpp", "0.5"],
        ),
        "mpp": ["+", "--mpp", "0.4"],
        "split": ["+", "--split", "test"],
        "tta": ["+", "--tta"],
        "out": ["nuclei-free", "COHORT", "--out", "OUT/deeper/scores.csv"],
        "classes": (
            ["nuclei-research", "COHORT", "--out", "OUT/scores.csv"],
            ["+", "--class", "inflammatory=spindle"],
        ),
        "metric": ["+", "--metric", "numpy:array_equal"],
        "json": ["+", "--json"],
    },
    "explain": {
        "model": ["OTHER_CLASSIFIER", "PATCHES", "OUT", "--mpp", "0.5", "--which", "surest"],
        "root": ["CLASSIFIER", "OTHER_PATCHES", "OUT", "--mpp", "0.5", "--which", "surest"],
        "out": ["CLASSIFIER", "PATCHES", "OUT/deeper", "--mpp", "0.5", "--which", "surest"],
        "data": ["+", "--data", "folder"],
        "mpp": ["CLASSIFIER", "PATCHES", "OUT", "--mpp", "0.4", "--which", "surest"],
        "split": ["+", "--split", "test"],
        "which": ["CLASSIFIER", "PATCHES", "OUT", "--mpp", "0.5", "--which", "unsure"],
        "n": ["+", "--n", "3"],
        "per_group": ["+", "--per-group", "2"],
    },
    "export": {
        "model": ["CLASSIFIER", "OUT", "--to", "torchscript"],
        "out": ["nuclei-free", "OUT/deeper", "--to", "torchscript"],
        "to": ["nuclei-free", "OUT", "--to", "qupath"],
    },
    "slurm": {
        "call": ["predict", "nuclei-free", "IMAGES", "OUT", "--csv"],
        "tasks": ["--tasks", "2", *SLURM],
        "gpus": ["--gpus", "0", *SLURM],
        "cpus": ["--cpus", "2", *SLURM],
        "time": ["--time", "4:00:00", *SLURM],
        "partition": ["--partition", "short", *SLURM],
    },
    "synth": {
        "out": ["OUT/deeper", "--n", "2", "--size", "64"],
        "n": ["OUT", "--n", "3", "--size", "64"],
        "seed": ["+", "--seed", "1"],
        "size": ["OUT", "--n", "2", "--size", "72"],
        "mpp": ["+", "--mpp", "0.5"],
        "stain": ["+", "--stain", "purple"],
        "patients": ["+", "--patients", "2"],
        "hard": ["+", "--hard"],
        "as_json": ["+", "--json"],
    },
    "view": {
        "folders": ["OTHER/images", "--list"],
    },
    "data info": {
        "name": ["monuseg", "COHORT"],
        "root": ["folder", "OTHER"],
        "mpp": ["+", "--mpp", "0.4"],
        "option": ["+", "--option", "licence=mine"],
        "as_json": ["+", "--json"],
    },
    "data verify": {
        "name": ["monuseg", "COHORT"],
        "root": ["folder", "FAULTY"],
        "mpp": ["+", "--mpp", "400"],
        "strict": (["folder", "FAULTY"], ["+", "--strict"]),
        "option": ["+", "--option", "licences=mine"],
        "as_json": ["+", "--json"],
    },
    "data convert": {
        "name": ["monuseg", "COHORT", "OUT"],
        "root": ["folder", "OTHER", "OUT"],
        "out": ["folder", "COHORT", "OUT/deeper"],
        "mpp": ["+", "--mpp", "0.4"],
        "to": ["+", "--to", "conic"],
        "to_mpp": ["+", "--to-mpp", "1.0"],
        "option": ["+", "--option", "licence=mine"],
    },
    "data from-qupath": {
        "image": ["ANNOTATED/2.png", "ANNOTATED/1.json", "OUT", "--mpp", "0.5"],
        "annotations": ["ANNOTATED/1.png", "ANNOTATED/2.json", "OUT", "--mpp", "0.5"],
        "out": ["ANNOTATED/1.png", "ANNOTATED/1.json", "OUT/deeper", "--mpp", "0.5"],
        "mpp": ["ANNOTATED/1.png", "ANNOTATED/1.json", "OUT", "--mpp", "0.4"],
        "to_mpp": ["+", "--to-mpp", "1.0"],
        "roi_class": ["+", "--roi-class", "field"],
        "objects": ["+", "--objects", "annotations"],
        "classes": ["+", "--classes", "tumour,stroma"],
        "origin": ["+", "--origin", "slide"],
        "patient": ["+", "--patient", "p7"],
        "tile_px": ["+", "--tile-px", "64"],
        "as_json": ["+", "--json"],
    },
    "data from-edits": {
        "outs": ["CORRECTED/2.geojson", "OUT", "--mpp", "0.5", "--square-um", "32"],
        "folder": ["CORRECTED/1.geojson", "OUT/deeper", "--mpp", "0.5", "--square-um", "32"],
        "slides": ["+", "--slides", "CORRECTED/2.png"],
        "mpp": ["CORRECTED/1.geojson", "OUT", "--mpp", "0.4", "--square-um", "32"],
        "to_mpp": ["+", "--to-mpp", "1.0"],
        "trust_model": ["+", "--trust-model"],
        "square_um": ([*AROUND, "32"], [*AROUND, "40"]),
        "patient": ["+", "--patient", "p7"],
        "as_json": ["+", "--json"],
    },
    "data split": {
        "name": ["monuseg", "UNSPLIT"],
        "root": ["folder", "OTHER", "--val", "0.2", "--test", "0.2"],
        "mpp": ["+", "--mpp", "400"],
        "by": ["+", "--by", "site"],
        "train": ["folder", "UNSPLIT", "--train", "0.2", "--val", "0.6", "--test", "0.2"],
        "val": ["folder", "UNSPLIT", "--train", "0.4", "--val", "0.4", "--test", "0.2"],
        "test": ["folder", "UNSPLIT", "--train", "0.4", "--val", "0.2", "--test", "0.4"],
        "stratify": ["+", "--stratify", "lab", "--out", "OUT/split.csv"],
        "seed": (["folder", "UNSPLIT", "--out", "OUT/split.csv"], ["+", "--seed", "3"]),
        "out": ["+", "--out", "OUT/split.csv"],
        "option": ["+", "--option", "licences=mine"],
        "as_json": ["+", "--json"],
    },
    "data audit": {
        "name": ["monuseg", "COPIED"],
        "roots": ["folder", "OTHER"],
        "mpp": ["+", "--mpp", "400"],
        "by": ["+", "--by", "site"],
        "stratify": (PARTED, ["+", "--stratify", "no_such_column"]),
        "seed": (["folder", "COPIED", "--by", "name", "--json"], ["+", "--seed", "5"]),
        "min_similarity": ["+", "--min-similarity", "0.99"],
        "groups": (["class_folder", "OVERLAPPING", "--mpp", "0.5", "--by", "name"], GROUPED),
        "min_overlap": (GROUPED, ["+", "--min-overlap", "0.9"]),
        "features": (GROUPED, ["+", "--features", "FEATURES"]),
        "option": ["+", "--option", "licences=mine"],
        "as_json": ["+", "--json"],
    },
    "data compare": {
        "real": ["DRAWN", "DRAWN", "OUT"],
        "synthetic": ["REAL", "REAL", "OUT"],
        "out": ["REAL", "DRAWN", "OUT/deeper"],
        "form": ["+", "--format", "monuseg"],
        "synthetic_form": ["+", "--synthetic-format", "monuseg"],
        "mpp": ["+", "--mpp", "0.45"],
        "synthetic_mpp": ["+", "--synthetic-mpp", "0.45"],
        "encoder": ["+", "--encoder", "nuclei-research"],
        "seed": ["+", "--seed", "1"],
        "as_json": ["+", "--json"],
    },
    "data list": {"as_json": ["--json"]},
    "demo": {
        "out": ["OUT/deeper"],
        "seed": ["+", "--seed", "1"],
        "quick": ["+", "--quick"],
        "as_json": ["+", "--json"],
    },
    "doctor": {"as_json": ["--json"]},
    "models list": {"as_json": ["--json"]},
    "models show": {"model": ["nuclei-research"], "as_json": ["+", "--json"]},
    "init": {
        "folder": ["OTHER", "--out", "OUT/a.yaml", "--no-time"],
        "out": ["COHORT", "--out", "OUT/b.yaml", "--no-time"],
        "mpp": ["+", "--mpp", "0.4"],
        "task": ["+", "--task", "patches"],
        "time": ["+", "--time"],
    },
    "train": {
        "folder": ["--data", "COHORT", "--set", "out=OUT", *SMALL],
        "start": (ONE_STEP, ["+", "--from", "nuclei-research"]),
        "config": ["OTHER_TRAINING", "--set", "out=OUT"],
        "changes": ["+", "--set", "train.lr=1e-2"],
        "metric": ["+", "--metric", "numpy:array_equal"],
        "json": ["+", "--json"],
        "example": ["+", "--example"],
    },
    "pretrain": {
        "config": ["OTHER_PRETRAINING", "--set", "out=OUT"],
        "changes": ["+", "--set", "train.lr=1e-2"],
    },
    "study list": {"as_json": ["--json"]},
    "study plan": {
        "config": ["OTHER_STUDY", "--set", "out=OUT"],
        "jobs": ["+", "--jobs", "2"],
        "timed": ["+", "--no-time"],
        "overrides": ["+", "--set", "seeds=[0,1]"],
        "as_json": ["+", "--json"],
    },
    "study run": {
        "config": ["OTHER_STUDY", "--set", "out=OUT"],
        "overrides": ["+", "--set", "seeds=[1]"],
        "as_json": ["+", "--json"],
    },
    "study report": {"folder": ["OTHER_DONE"]},
}
# How fast, or again, is not what: tests of these verbs' own hold them.
ELSEWHERE_TESTED = {
    "normalize": {"overwrite", "workers"},
    "predict": {
        *("overwrite", "origin", "anndata", "device", "backend"),
        *("workers", "claim", "retry_failed", "stage", "stage_limit", "work"),
    },
    "evaluate": {"audit", "backend"},
    "init": {"overwrite"},
    "synth": {
        *("like", "spec", "form", "like_mpp", "like_tiles"),
        *("method", "generator", "steps", "width"),
    },
    "study run": {"jobs", "workers"},
    "view": {"port", "host", "author", "opens", "only_list"},
    "demo": {"opens"},
}
WRITTEN_TO = {"DONE", "OTHER_DONE", "NIGHT", "OTHER_NIGHT"}
# These name times and places, beside what they say of files that are compared themselves; TorchScript has in
# it how many networks a process has traced.
VOLATILE = (
    *("predictions.jsonl", "normalized.jsonl", "out/study/report.html", "out/study/report.md"),
    *("model.pt", "timings.csv"),
)
VARYING = r"\d+(\.\d+)? (s|seconds)\b|\"seconds\": [\d.]+|[\d.]+ GiB free"
# Another value is another reader, or an option that it does not know: it must be refused, not ignored.
MAY_BE_REFUSED = {
    *("name", "data", "option", "mpp", "split", "stratify", "to", "features"),
    *("form", "synthetic_form", "synthetic_mpp", "task"),
}
# In the smallest sizes: what a verb does with its settings is seen, not how well.
QUICK = demo.Size(train_patients=3, test_patients=2, image_px=64, steps=1, width=4, patch_px=32, seeds=1)
FULL = dataclasses.replace(QUICK, steps=2)
UNET = {"width": 4, "depth": 2}
STEPS = {"steps": 2, "batch_size": 2, "accelerator": "cpu", "tensorboard": False}
NUCLEI = {
    "data": {"name": "folder", "root": "COHORT", "val": 0.25},
    "augment": "none",
    "train": STEPS | {"patch_px": 32},
}
FILES: dict[str, dict[str, Any]] = {
    "TRAINING": NUCLEI | {"model": {"name": "unet", "arguments": UNET | {"mpp": 0.5}}},
    "PRETRAINING": {
        "data": {"name": "class_folder", "root": "PATCHES", "mpp": 0.5, "split_by": "source", "test": 0.25},
        "backbone": {"backbone": "unet", "patch_px": 32, "options": UNET},
        "train": STEPS,
    },
    "STUDY": {
        **NUCLEI,
        "study": "stain",
        "models": {"unet": UNET | {"mpp": 0.5}},
        "levels": ["none", "macenko"],
        "conditions": ["test"],
        "seeds": [0],
    },
}


def _verbs(command: Any, before: str = "") -> set[str]:
    """Names of all verbs below a command."""
    inner = getattr(command, "commands", None)
    if inner is None:
        return {before.strip()}
    return set().union(*(_verbs(one, f"{before} {name}") for name, one in inner.items()))


def _verb(name: str) -> Any:
    command: Any = typer.main.get_command(app)
    for word in name.split():
        command = command.commands[word]
    return command


@pytest.fixture(scope="module")
def places(cohort, other_cohort, patches, tmp_path_factory):
    """Give real paths for the words that stand for them in the tables above."""
    base = tmp_path_factory.mktemp("places")
    for k in range(2):
        image = synth.generate((96, 96), mpp=0.5, rng=np.random.default_rng(k)).image
        write_image(base / "images" / "slide" / f"{k}.png", image)
        torch.manual_seed(k)
        network = models.create(
            "classifier",
            backbone="unet",
            patch_px=32,
            mpp=0.5,
            options={"width": 4, "depth": 2},
            classes=["benign", "tumour"],
        )
        models.save(network, base / f"classifier{k}")
        for kind in ("benign", "tumour"):
            write_image(base / "patches" / kind / f"{k}.png", image[:32, :32])
    write_image(base / "faulty" / "images" / "a.png", image)
    (base / "faulty" / "dataset.yaml").write_text("mpp: 0.5\n", encoding="utf-8")
    (base / "faulty" / "index.csv").write_text("image_id,patient\na,\n", encoding="utf-8")
    write_image(base / "faulty" / "images" / "b.png", image)
    return {
        "OTHER_CLASSIFIER": base / "classifier1",
        "OTHER_PATCHES": base / "patches",
        "CLASSIFIER": base / "classifier0",
        "PATCHES": patches,
        "COHORT": cohort,
        "OTHER": other_cohort,
        "IMAGES": base / "images",
        "SLIDE": _slide(base / "slide.tif"),
        "FOUND": _found(base / "slide.tif", base / "found"),
        "ROI": _roi(base / "roi.geojson"),
        "CELLS": _cells(base / "cells", 40),
        "OTHER_CELLS": _cells(base / "other_cells", 41),
        "NIGHT": _night(base / "night", 7),
        "OTHER_NIGHT": _night(base / "other_night", 8),
        "LAB": _lab(base / "lab.csv"),
        "REFERENCE": next((other_cohort / "images").iterdir()),
        "FAULTY": base / "faulty",
        **_audited(cohort, base),
        **_compared(base),
        "ANNOTATED": _annotated(base / "annotated"),
        "CORRECTED": _corrected(base / "corrected"),
        **_configured(base, {"COHORT": cohort, "PATCHES": patches}),
    }


def _slide(path: Path) -> Path:
    """A small pyramid: tissue on glass, in tiles."""
    image = np.full((256, 256, 3), 244, np.uint8)
    image[60:188, 60:188] = synth.generate((128, 128), mpp=0.5, rng=1).image
    with tifffile.TiffWriter(path) as file:
        for step in (1, 2):
            size = {"resolution": (20_000 / step,) * 2, "resolutionunit": "CENTIMETER"}
            file.write(image[::step, ::step], tile=(64, 64), photometric="rgb", subfiletype=step - 1, **size)
    return path


def _found(slide: Path, out: Path) -> Path:
    """What a model of nuclei wrote of the slide."""
    arguments = ["predict", "nuclei-free", str(slide), str(out)]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    return out


def _roi(path: Path) -> Path:
    """A part of the tissue of the slide."""
    ring = [[70, 70], [120, 70], [120, 120], [70, 120], [70, 70]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "geometry": geometry, "properties": {"objectType": "annotation"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf-8")
    return path


def _cells(folder: Path, n: int) -> Path:
    """A table of some cells of two classes."""
    rng = np.random.default_rng(n)
    table = pa.table({"class": ["a", "b"] * (n // 2), "x_px": rng.uniform(0, 99, n // 2 * 2).tolist()})
    table = table.append_column("y_px", pa.array(rng.uniform(0, 99, n // 2 * 2)))
    about = {"slide": f"{n}.svs", "mpp": [0.5, 0.5], "tissue_mm2": 0.1, "classes": ["a", "b"]}
    folder.mkdir()
    pq.write_table(table.replace_schema_metadata({ABOUT: json.dumps(about)}), folder / "cells.parquet")
    return folder


def _corrected(folder: Path) -> Path:
    """Two images with nuclei; a corner of each was looked at, and one nucleus far from it deleted."""
    for k in (1, 2):
        sample = synth.generate((240, 240), mpp=0.5, rng=np.random.default_rng(k))
        write_image(folder / f"{k}.png", sample.image)
        nuclei = Nuclei.from_labels(sample.instances, mpp=0.5)
        write_geojson(folder / f"{k}.geojson", nuclei, name=str(k))
        corrections = Corrections(folder / f"{k}.geojson")
        corrections.add("confirm", "ada", polygon_px=[(0, 0), (80, 0), (80, 80), (0, 80)])
        far = int(np.argmin(np.hypot(*(nuclei.centroid_px - 190).T)))
        corrections.add("delete", "ada", row=far)
    return folder


def _night(folder: Path, n: int) -> Path:
    """Tables of some slides that are done."""
    rows = [
        {"image": f"{k}", "slide": f"{k}.svs", "tissue_mm2": 2.0, "blurred_mm2": 0.0, "mpp_x": 0.5}
        | {"nuclei": 100 * k + n, "nuclei_per_mm2": 50.0 * k + n / 2, "problems": 0, "error": ""}
        for k in range(n)
    ]
    write_cohort(folder / "cohort.parquet", rows, {"model": "m"})
    return folder


def _lab(path: Path) -> Path:
    """A table of the lab's own: patients, and cases of two slides each."""
    lines = [f"{k},p{k},c{k // 2},{'even' if k % 2 == 0 else 'odd'}" for k in range(6)]
    path.write_text("\n".join(["image,patient,case,arm", *lines]) + "\n", encoding="utf-8")
    return path


def _annotated(folder: Path) -> Path:
    """Two images with annotations as QuPath exports them: regions, detections, and a nucleus by hand."""

    def square(x: int, side: int, kind: str, of: str) -> dict[str, Any]:
        ring = [[x, 20], [x + side, 20], [x + side, 20 + side], [x, 20 + side], [x, 20]]
        about = {"objectType": kind, "classification": {"name": of}}
        return {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": about,
        }

    for k in (1, 2):
        image = synth.generate((120, 120), mpp=0.5, rng=np.random.default_rng(k)).image
        write_image(folder / f"{k}.png", image)
        nuclei = [square(25, 10, "detection", "stroma"), square(60 + k, 10, "detection", "tumour")]
        areas = [square(10, 90, "annotation", "ROI"), square(20, 70, "annotation", "field")]
        root = {
            "type": "FeatureCollection",
            "metadata": {"offset_px": [3, 5]},
            "features": [*areas, *nuclei, square(45, 10, "annotation", "tumour")],
        }
        (folder / f"{k}.json").write_text(json.dumps(root), encoding="utf-8")
    return folder


def _compared(base: Path) -> dict[str, Path]:
    """Tissue that is called real, and tissue that is called drawn, with patches to compare."""
    sheet = data.Datasheet("tissue", mpp=0.5)
    for seed, name in enumerate(("real", "drawn")):
        drawn = synth.cohort(4, 1, shape_px=(140, 140), mpp=0.5, seed=seed)
        samples = [dataclasses.replace(one, name=f"{name}{k}", classes=None) for k, one in enumerate(drawn)]
        data.write_folder(base / name, samples, sheet)
    return {"REAL": base / "real", "DRAWN": base / "drawn"}


def _configured(base: Path, known: dict[str, Path]) -> dict[str, Path]:
    """Files of settings, each with another beside it; and two studies that are done."""
    found = {}
    for word, settings in FILES.items():
        text = json.dumps(settings)
        for name, path in known.items():
            text = text.replace(f'"{name}"', json.dumps(str(path)))
        for before, steps in (("", 2), ("OTHER_", 3)):
            path = found[before + word] = base / f"{before + word}.yaml".lower()
            values = json.loads(text)
            values["train"]["steps"] = steps
            path.write_text(yaml.safe_dump(values), encoding="utf-8")
    for before in ("", "OTHER_"):
        folder = found[f"{before}DONE"] = base / f"{before}DONE".lower()
        assert not run_study(read_config(found[f"{before}STUDY"], [f"out={folder}"])).failed
    return found


def _audited(cohort: Path, base: Path) -> dict[str, Path]:
    """Data sets that hold something to find: no parts, a noisy copy in the other part, overlaps."""
    lines = (cohort / "index.csv").read_text(encoding="utf-8").splitlines()
    head = lines[0].split(",")
    rows = [dict(zip(head, line.split(","), strict=True)) for line in lines[1:]]
    for name in ("unsplit", "copied"):
        shutil.copytree(cohort, base / name)
    keys = [key for key in head if key != "split"]
    text = "\n".join([",".join(keys), *(",".join(row[key] for key in keys) for row in rows)]) + "\n"
    (base / "unsplit" / "index.csv").write_text(text, encoding="utf-8")
    names = {part: next(row[head[0]] for row in rows if row["split"] == part) for part in ("train", "test")}
    images = base / "copied" / "images"
    image = read_image(images / f"{names['train']}.png")
    noise = np.random.default_rng(0).normal(0, 12, image.shape)
    write_image(images / f"{names['test']}.png", np.clip(image + noise, 0, 255).astype(np.uint8))
    wide = synth.generate((128, 180), mpp=0.5, rng=np.random.default_rng(5)).image
    other = synth.generate((128, 128), mpp=0.5, rng=np.random.default_rng(6)).image
    for name, patch in {"a": wide[:, :128], "b": wide[:, 40:168], "c": other}.items():
        write_image(base / "overlapping" / "tumour" / f"{name}.png", np.ascontiguousarray(patch))
    np.save(base / "features.npy", np.eye(4))  # a row too many
    return {
        "UNSPLIT": base / "unsplit",
        "COPIED": base / "copied",
        "OVERLAPPING": base / "overlapping",
        "FEATURES": base / "features.npy",
    }


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Give the folder of all calls, the same since paths are no difference, and what came of calls."""
    return tmp_path_factory.mktemp("calls") / "call", {}


@pytest.fixture
def outcome(tools, places, outcomes, monkeypatch):
    """Give a function that calls a verb and tells all that came of it."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(demo, "FULL", FULL)
    monkeypatch.setattr(demo, "QUICK", QUICK)
    monkeypatch.setattr(StudyTask, "measure", lambda *_: Pace(100.0, 10.0, 1000))

    folder, _ = outcomes

    def call(verb: str, words: list[str]) -> dict[str, Any]:
        folder.mkdir()
        known = {**places, "OUT": folder / "out"}
        for word in WRITTEN_TO & set(words):  # each call has its own
            known[word] = shutil.copytree(places[word], folder / "done")
        arguments = [
            re.sub(r"\b[A-Z_]{3,}", lambda found: str(known.get(found[0], found[0])), word) for word in words
        ]
        done = CliRunner().invoke(app, [*verb.split(), *arguments])
        files = tools.contents(folder)
        shutil.rmtree(folder)
        if isinstance(done.exception, tools.errors):
            return {"refused": str(done.exception)}
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return {
            "code": done.exit_code,
            "said": re.sub(VARYING, "", done.stdout),
            "files": {
                name: digest
                for name, digest in files.items()
                if not name.endswith(VOLATILE) and ".ledger" not in Path(name).parts
            },
        }

    return call


def test_every_verb_is_tried():
    assert _verbs(typer.main.get_command(app)) == set(BASES)


@pytest.mark.parametrize("verb", BASES)
def test_every_option_has_another_value(verb):
    known = {option.name for option in _verb(verb).params}
    tested = set(CALLS[verb]) | ELSEWHERE_TESTED.get(verb, set())
    assert known <= tested, f"call {verb} with another value of each of these above: {sorted(known - tested)}"


@pytest.mark.parametrize("verb", BASES)
def test_the_same_call_has_the_same_outcome(verb, outcome):
    first, again = outcome(verb, BASES[verb]), outcome(verb, BASES[verb])
    assert "refused" not in first, first
    assert first == again


@pytest.mark.parametrize(
    ("verb", "option"), [(verb, option) for verb, calls in CALLS.items() for option in calls]
)
def test_an_option_changes_what_a_verb_does(verb, option, outcome, outcomes):
    call = CALLS[verb][option]
    base, call = call if isinstance(call, tuple) else (BASES[verb], call)
    words = [*base, *call[1:]] if call[0] == "+" else call
    known, key = outcomes[1], (verb, *base)
    if key not in known:
        known[key] = outcome(verb, base)
    before, after = known[key], outcome(verb, words)
    assert "refused" not in before, before
    if option not in MAY_BE_REFUSED:
        assert "refused" not in after, after
    assert before != after, f"{' '.join([verb, *words])}: {option} is read and then ignored"


def test_paths_of_the_tables_are_known(places):
    assert all(Path(path).exists() for path in places.values())
