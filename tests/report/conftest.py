"""A study folder made up on the spot, with differences that are known."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from histoscope.files import write_image, write_labels
from histoscope.types import Labels

Fabricate = Callable[..., Path]

SETTINGS: dict[str, Any] = {
    "format": 1,
    "histoscope": "0.1.0",
    "study": "stain",
    "question": "Does stain normalisation help a network segment nuclei?",
    "factor": "normalizer",
    "levels": ["none", "reinhard", "macenko"],
    "baseline": "none",
    "models": ["unet"],
    "seeds": [0, 1],
    "metric": "aji",
    "conditions": [
        {"name": "test", "about": "the test images as they are"},
        {"name": "shift_purple", "about": "the test images with both stains turned towards blue-purple"},
    ],
    "primary_condition": "test",
    "config": {"data": {"name": "folder", "root": "data/blobs"}, "augment": "default"},
}
GAINS = {
    ("none", "test"): 0.0,
    ("reinhard", "test"): 0.0,
    ("macenko", "test"): 0.1,
    ("none", "shift_purple"): -0.2,
    ("reinhard", "shift_purple"): -0.3,
    ("macenko", "shift_purple"): -0.1,
}


@pytest.fixture
def fabricate(tmp_path: Path) -> Fabricate:
    """Give a function that writes a study folder; `gains` are added to the score of (level, condition)."""

    def write(
        patients: int = 8,
        images_per_patient: int = 2,
        gains: dict[tuple[str, str], float] | None = None,
        noise: float = 0.01,
        pictures: bool = False,
        **changes: Any,
    ) -> Path:
        folder = tmp_path / "study"
        settings = {**SETTINGS, **changes}
        cells = product(settings["models"], settings["levels"], settings["seeds"])
        settings.setdefault("runs", [f"{level}-{model}-seed{seed}" for model, level, seed in cells])
        folder.mkdir()
        (folder / "study.yaml").write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
        names = [
            (f"image_{p:02d}_{i}", f"patient_{p:02d}")
            for p in range(patients)
            for i in range(images_per_patient)
        ]
        if pictures:
            for number, (name, _) in enumerate(names):
                labels = blobs(number)
                write_labels(folder / "truth" / "labels" / f"{name}.png", labels)
                write_image(folder / "truth" / "images" / f"{name}.jpg", paint(labels, number))
        for model in settings["models"]:
            for level in settings["levels"]:
                for seed in settings["seeds"]:
                    _write_run(
                        folder,
                        settings,
                        (model, level, seed),
                        names,
                        {**GAINS, **(gains or {})},
                        noise,
                        pictures,
                    )
        return folder

    return write


def blobs(seed: int, size: int = 96) -> Labels:
    """Draw a label map of round nuclei that do not touch."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    labels = np.zeros((size, size), np.int32)
    for _ in range(40):
        row, column = rng.uniform(6, size - 6, 2)
        disk = (rows - row) ** 2 + (columns - column) ** 2 <= rng.uniform(4, 7) ** 2
        if not labels[disk].any():
            labels[disk] = labels.max() + 1
    return labels


def paint(labels: Labels, seed: int) -> np.ndarray:
    """Colour a label map like H&E."""
    image = np.where(labels[..., None] > 0, (92, 54, 138), (236, 190, 214)).astype(float)
    return np.clip(image + np.random.default_rng(seed).normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def _write_run(folder, settings, cell, names, gains, noise, pictures) -> None:
    model, level, seed = cell
    run = folder / f"{level}-{model}-seed{seed}"
    run.mkdir()
    config = {
        "format": 1,
        "study": settings["study"],
        "run": run.name,
        settings["factor"]: level,
        "level": level,
        "model": model,
        "seed": seed,
        "train": {"steps": 200, "batch_size": 4, "lr": 0.001, "seed": seed},
        "images": {"train": ["a", "b", "c"], "val": ["d"], "test": [name for name, _ in names]},
    }
    (run / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    environment = {
        "format": 1,
        "histoscope": "0.1.0",
        "python": "3.12.1",
        "platform": "Linux-x86_64",
        "cpu_count": 2,
        "gpu": None,
        "versions": {"numpy": "2.4.0", "torch": "2.13.0"},
        "started": "2025-01-01T10:00:00+00:00",
        "seconds": {"prepare": 1.0, "train": 60.0, "evaluate": 5.0},
    }
    (run / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    (run / "log.jsonl").write_text("\n".join(_log(seed)) + "\n", encoding="utf-8")
    conditions = [c["name"] if isinstance(c, dict) else c for c in settings["conditions"]]
    rows = []
    for condition in conditions:
        for number, (name, patient) in enumerate(names):
            rng = np.random.default_rng([seed, number, settings["levels"].index(level)])
            aji = 0.6 + 0.004 * number + gains.get((level, condition), 0.0) + rng.normal(0, noise)
            rows.append(
                {
                    "condition": condition,
                    "name": name,
                    "patient": patient,
                    "source": name,
                    "aji": aji,
                    "dice": aji + 0.15,
                    **({"pq": aji - 0.05, "f1_50": aji + 0.1} if settings.get("all_metrics") else {}),
                }
            )
            if pictures and condition == conditions[0]:
                pred = np.roll(blobs(number), 1 + seed, axis=0)
                write_labels(run / "predictions" / condition / f"{name}.png", pred)
    pd.DataFrame(rows).to_csv(run / "per_image.csv", index=False)


def _log(seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    lines = []
    for step in range(10, 201, 10):
        lines.append(
            {"step": step, "loss": float(np.exp(-step / 80) + 0.05 * rng.random()), "seconds": step / 3}
        )
        if step % 50 == 0:
            lines.append({"step": step, "val": {"aji": float(0.6 - np.exp(-step / 60) / 2), "dice": 0.7}})
    return [json.dumps(line) for line in lines]
