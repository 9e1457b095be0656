"""The demo: synthetic tissue of two laboratories, training on one, testing on both, a report.

It is a study like any other, on synthetic images: nothing here trains or scores by itself.
"""

import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml

from histoscope import data, export, models, synth, weights
from histoscope.data import Datasheet
from histoscope.data.readers.folder import UNFINISHED
from histoscope.errors import ConfigError, FormatVersionError
from histoscope.files import write_image, write_text
from histoscope.report.effects import Effect, effects
from histoscope.report.results import read_study
from histoscope.report.summary import level_label, metric_label, sentence
from histoscope.report.write import write_report
from histoscope.studies import folder as study_folder
from histoscope.studies.config import StudyConfig
from histoscope.studies.events import Tell, silent
from histoscope.studies.nuclei import StudyOfNuclei
from histoscope.studies.runner import Summary, run_study
from histoscope.train import TrainConfig
from histoscope.train.parts import DataConfig
from histoscope.types import Image, Record, Sample
from histoscope.words import count

MARKER = "demo.yaml"
MPP = 0.5
INK = "#1f2328"
LAB_STAINS = {"A": "default", "B": "blue"}


@dataclass(frozen=True, slots=True)
class Size:
    """Size of the demo.

    Parameters
    ----------
    train_patients, test_patients : int
        Of laboratory A for training; of each laboratory for testing.
    image_px : int
    steps, width, patch_px : int
        Of training, and of the U-Net.
    seeds : int
        Networks per level.
    """

    train_patients: int = 12
    test_patients: int = 10
    image_px: int = 256
    steps: int = 250
    width: int = 8
    patch_px: int = 96
    seeds: int = 2


FULL = Size()
QUICK = Size(train_patients=4, test_patients=6, image_px=128, steps=40, width=4, patch_px=64, seeds=1)


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Results of the demo.

    Parameters
    ----------
    sentences : tuple of str
        The findings, in plain words.
    report, picture, outlines : Path
        The study's page, images before and after normalisation, and nuclei that the default model finds.
    seconds : dict
        Stage -> how long it took.
    summary : Summary
        Of the runs.
    """

    sentences: tuple[str, ...]
    report: Path
    picture: Path
    outlines: Path
    seconds: dict[str, float]
    summary: Summary


def run_demo(
    out: Path, *, seed: int = 0, size: Size = FULL, tell: Tell = silent, say: Callable[[str], None] = silent
) -> DemoResult:
    """Run the demo, or resume an earlier call.

    Parameters
    ----------
    out : Path
        A new or empty folder, or one of an earlier demo.
    seed : int
        Of images and networks.
    size : Size
    tell : callable, optional
        Given the study's events.
    say : callable, optional
        Given one line at the start of each stage.

    Raises
    ------
    ConfigError
        If `out` holds something else, or a demo of another seed or size.
    """
    claim(out, seed, size)
    seconds: dict[str, float] = {}

    @contextmanager
    def stage(name: str, line: str) -> Iterator[None]:
        say(line)
        began = time.perf_counter()
        yield
        seconds[name] = time.perf_counter() - began

    with stage("draw", f"drawing tissue of {size.train_patients + 2 * size.test_patients} patients ..."):
        draw(out / "data", seed, size)
    config = configure(out, seed, size)
    with stage("normalise", "normalising laboratory B's stain to laboratory A's ..."):
        picture = write_picture(out / "before_after.png", config)
    runs = len(config.runs())
    with stage("train", f"training {runs} small networks and testing each on both laboratories ..."):
        summary = run_study(config, tell=tell)
    with stage("report", "comparing them, patient by patient ..."):
        report = write_report(config.folder)
        sentences = tuple(findings(config.folder))
    with stage("predict", f"finding nuclei in a tile of laboratory B with the model {weights.DEFAULT} ..."):
        outlines = write_outlines(out / "outlines.png", config)
    return DemoResult(sentences, report, picture, outlines, seconds, summary)


def claim(out: Path, seed: int, size: Size) -> None:
    """Take a new folder, or one of the same demo; refuse any other."""
    mine = {
        "format": study_folder.FORMAT,
        "seed": seed,
        "size": {k: getattr(size, k) for k in Size.__slots__},
    }
    marker = out / MARKER
    if marker.is_file():
        found = yaml.safe_load(marker.read_text(encoding="utf-8"))
        if not isinstance(found, dict) or found.get("format") != study_folder.FORMAT:
            raise FormatVersionError(
                f"{marker} was written by another version of Histoscope; choose another folder"
            )
        if found != mine:
            raise ConfigError(
                f"{out} holds a demo with seed {found.get('seed')}, but another seed or size was asked "
                "for; choose another folder"
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} exists and holds something other than a demo; choose a new or empty folder")
    write_text(marker, yaml.safe_dump(mine, sort_keys=False))


def draw(folder: Path, seed: int, size: Size) -> Path:
    """Synthesise the cohort as a data set, unless it exists."""
    if (folder / UNFINISHED).exists():
        shutil.rmtree(folder)  # incomplete, from an interrupted run
    if (folder / "index.csv").is_file():
        return folder
    samples = [
        *drawn("A", size.train_patients + size.test_patients, 2 * seed, size.image_px),
        *drawn("B", size.test_patients, 2 * seed + 1, size.image_px),
    ]
    records = [
        Record(
            s.name,
            s.patient,
            s.source,
            "train" if k < size.train_patients else "test",
            tags={"lab": s.name[0]},
        )
        for k, s in enumerate(samples)
    ]
    sheet = Datasheet(
        "demo",
        title="Synthetic tissue of two laboratories",
        licence="CC0-1.0: drawn by a program",
        mpp=MPP,
        classes={number: name for name, number in synth.CLASSES.items()},
    )
    return data.write_folder(folder, samples, sheet, records=records)


def drawn(lab: str, patients: int, seed: int, image_px: int) -> Iterator[Sample]:
    """Synthesise one image of each patient of a laboratory."""
    shape, dyes = (image_px, image_px), LAB_STAINS[lab]
    for sample in synth.cohort_stream(patients, 1, shape_px=shape, mpp=MPP, stains=dyes, seed=seed):
        yield replace(
            sample,
            name=f"{lab}_{sample.name}",
            patient=f"{lab}_{sample.patient}",
            source=f"{lab}_{sample.source}",
        )


def configure(out: Path, seed: int, size: Size) -> StudyConfig:
    """Configuration of the demo's study.

    Augmentation is rotations and flips only: colour augmentation would hide the effect of normalisation.
    """
    train = TrainConfig(
        steps=size.steps,
        batch_size=8,
        patch_px=size.patch_px,
        lr=3e-3,
        evaluate_every=size.steps,
        checkpoint_every=size.steps,
        tensorboard=False,
    )
    return StudyConfig(
        study="demo",
        data=DataConfig(name="folder", root=out / "data", val=0.15),
        models={"unet": {"width": size.width, "depth": 4, "mpp": MPP}},
        train=train,
        augment="basic",
        seeds=tuple(range(seed, seed + size.seeds)),
        out=out / "study",
    )


def write_picture(path: Path, config: StudyConfig, n: int = 3) -> Path:
    """Write a picture of images of laboratory B, normalised images below, and the reference."""
    images = StudyOfNuclei(config)
    test = images.parts.test
    chosen = [index for index, record in enumerate(test.records) if record.group("lab") == "B"][:n]
    normalise = images.normaliser("macenko")
    before = [_framed(test[index].image) for index in chosen]
    after = [_framed(normalise(test[index].image)) for index in chosen]
    reference = _framed(images.reference.image)
    left_px, right_px = sum(image.shape[1] for image in before), reference.shape[1]
    named = f"Reference: {images.reference.name}"
    rows = (
        _caption("As laboratory B stains", left_px, right_px),
        np.hstack([*before, np.full_like(reference, 255)]),
        _caption("The same, normalised to laboratory A (Macenko)", left_px, right_px, named),
        np.hstack([*after, reference]),
    )
    write_image(path, np.vstack(rows))
    return path


def write_outlines(path: Path, config: StudyConfig) -> Path:
    """Write a picture of a tile of laboratory B beside the nuclei that the default model finds in it."""
    test = StudyOfNuclei(config).parts.test
    tile = test[next(index for index, record in enumerate(test.records) if record.group("lab") == "B")]
    found = models.predict(tile.image, models.load(weights.DEFAULT, models.Segmenter), tile.mpp)
    write_image(path, np.hstack([_framed(tile.image), _framed(export.draw(tile.image, found))]))
    return path


def _caption(text: str, left_px: int, right_px: int, right: str = "") -> Image:
    """Render the captions of a row."""
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    size = max(11, left_px // 42)
    line = Pillow.new("RGB", (left_px + right_px, 2 * size + 4), "white")
    font = ImageFont.load_default(size)
    draw_text = ImageDraw.Draw(line).text
    draw_text((6, size // 2 + 2), text, fill=INK, font=font)
    draw_text((left_px + 6, size // 2 + 2), right, fill=INK, font=font)
    return np.asarray(line)


def findings(folder: Path) -> Iterator[str]:
    """Sentences on the scores of each laboratory and the effect of Macenko's method."""
    study = read_study(folder)
    rows = [row for row in effects(study) if row.metric == study.metric]
    means = {(row.condition, row.level): row for row in rows}
    label = metric_label(study.metric)
    home, away = (_mean(means, condition, study.baseline) for condition in ("laboratory_A", "laboratory_B"))
    yield (
        f"Without normalisation, the networks reach {label} {home} on new patients of laboratory A, "
        f"which they learned from, and {away} on laboratory B."
    )
    subject = f"{level_label('macenko', study.factor)} normalisation"
    for condition, where in (("laboratory_B", "On laboratory B"), ("laboratory_A", "On laboratory A")):
        row = means.get((condition, "macenko"))
        if row is not None and row.verdict is not None:
            yield f"{where}: {sentence(subject, label, row.against, row.verdict)}"


def _mean(means: dict[tuple[str, str], Effect], condition: str, level: str) -> str:
    row = means.get((condition, level))
    if row is None:
        return "(not measured)"
    who = count(row.n_units, row.against.unit)
    interval = f"95 % interval {row.low:.3f} to {row.high:.3f}, " if math.isfinite(row.low) else ""
    return f"{row.mean:.3f} ({interval}{who})"


def _framed(image: Image, px: int = 6) -> Image:
    return np.pad(image, ((px, px), (px, px), (0, 0)), constant_values=255)
