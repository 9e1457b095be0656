"""Time features of patches, from JPEG files to numbers, beside the bare network and two plain loaders.

    python benchmarks/features.py [--backbone resnet18] [--patches 512] [--rounds 5] [--root FOLDER]

The same files and the same network with the same weights, in one process and in turns; medians. Who takes
part: our extraction; the bare network on patches that are in memory already (ours, folded for prediction, and
timm's as it is, in batches of 8 and of 32, with and without channels last); a plain loop of timm's transform,
Pillow and torch; torchvision's ImageFolder with torch's DataLoader and a worker a core. `--root` takes a
folder with a folder for each class; without, tissue is drawn. Last, the probe on features that are stored:
reading them back, and the fit.
"""

import argparse
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image as Pillow
from timm.data import create_transform
from torch.utils.data import DataLoader

from histoscope import data, synth
from histoscope.classify.batches import BATCH
from histoscope.classify.features import extract
from histoscope.classify.probe import PULLS, fit_probe
from histoscope.models.patches.classifier import Classifier

SIDE_PX, CLASSES = 224, ("glands", "stroma")
BATCHES = (8, 32)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="resnet18", help="a name of timm")
    parser.add_argument("--patches", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--root", type=Path, help="a folder with a folder for each class; drawn if left out")
    options = parser.parse_args()
    torch.set_num_threads(cores())
    with tempfile.TemporaryDirectory() as scratch:
        root = options.root or drawn(Path(scratch) / "patches", options.patches)
        print(
            f"{platform.machine()}, {cores()} cores, Python {platform.python_version()}, torch "
            f"{torch.__version__}, timm {timm.__version__}; {options.backbone}, medians of {options.rounds}."
        )
        compare(root, options.backbone, options.patches, options.rounds, Path(scratch) / "features")


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def drawn(root: Path, n: int) -> Path:
    """Draw patches of two kinds of tissue into a folder for each."""
    tissues = (synth.TissueSpec(gland_fraction=0.7), synth.TissueSpec(gland_fraction=0.05))
    for k in range(n):
        kind = k % len(CLASSES)
        sample = synth.generate(
            (SIDE_PX, SIDE_PX), mpp=0.5, tissue=tissues[kind], rng=np.random.default_rng(k)
        )
        path = root / CLASSES[kind] / f"{k:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(sample.image).save(path, quality=95, subsampling=0)
    return root


def compare(root: Path, backbone: str, n_patches: int, rounds: int, cache: Path) -> None:
    """Print the tables."""
    torch.manual_seed(0)
    whole = data.open("class_folder", root, mpp=0.5)
    dataset = data.subset(whole, range(0, len(whole), max(1, len(whole) // n_patches)))
    paths = [str(dataset.image_path(k)) for k in range(len(dataset))]
    names = list(whole.info.classes.values())
    model = Classifier(backbone=backbone, classes=names, mpp=0.5).eval()
    shown = min(Pillow.open(paths[0]).size)
    model.show_at(0.5 * shown / model.spec.patch_px)
    plain, theirs = model.backbone, transform(model)
    pixels = torch.stack([theirs(Pillow.open(path).convert("RGB")) for path in paths])

    works: dict[str, Callable[[], Any]] = {
        "our extraction, from files": lambda: extract(model, dataset),
        "our network alone, folded": alone_in_threads(model, pixels),
        **{
            f"timm's network alone, batches of {size}{layout}": bare(plain, pixels, size, last=bool(layout))
            for size in BATCHES
            for layout in ("", ", channels last")
        },
        "plain loop: Pillow, timm's transform, torch": lambda: plain_loop(plain, paths, theirs),
        "torchvision's ImageFolder, DataLoader": lambda: folder_loader(plain, root, set(paths), theirs),
    }
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            began = perf_counter()
            work()
            if turn:  # the first turn warms up
                seconds[name].append(perf_counter() - began)
    pace = {name: len(paths) / median(times) for name, times in seconds.items()}
    ours = pace["our extraction, from files"]
    print("\n| who | patches a second | ours / this |\n|---|--:|--:|")
    for name, value in pace.items():
        print(f"| {name} | {value:.1f} | {ours / value:.2f} |")
    best = max(value for name, value in pace.items() if name.startswith("timm's"))
    alone = pace["our network alone, folded"]
    print(
        f"\nExtraction / bare network: {ours / alone:.2f} of ours, {ours / best:.2f} of timm's at its best."
    )
    agree(model, dataset, plain, pixels)
    probe(model, dataset, cache)


def transform(model: Classifier) -> Any:
    """Timm's own transform to what the network wants."""
    side = model.spec.patch_px
    return create_transform(
        (3, side, side),
        interpolation=model.interpolation,
        mean=model.spec.mean,
        std=model.spec.std,
        crop_pct=1.0,
    )


def bare(network: Any, pixels: torch.Tensor, size: int, *, last: bool) -> Callable[[], Any]:
    """The network as it is, patches in memory, all threads at one batch."""

    def run() -> Any:
        layout = torch.channels_last if last else torch.contiguous_format
        with torch.inference_mode():
            return [network(batch.contiguous(memory_format=layout)) for batch in pixels.split(size)]

    return run


def alone_in_threads(model: Classifier, pixels: torch.Tensor) -> Callable[[], Any]:
    """Our network as prediction has it, patches in memory: a batch a core, a thread each."""
    from concurrent.futures import ThreadPoolExecutor

    quick = model.quick()

    def look(batch: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return quick.features(batch.contiguous(memory_format=torch.channels_last))

    def run() -> Any:
        threads = torch.get_num_threads()
        pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
        with pool:
            found = list(pool.map(look, pixels.split(BATCH)))
        torch.set_num_threads(threads)
        return found

    return run


def plain_loop(network: Any, paths: list[str], theirs: Any) -> list[torch.Tensor]:
    found = []
    with torch.inference_mode():
        for first in range(0, len(paths), 32):
            part = paths[first : first + 32]
            batch = torch.stack([theirs(Pillow.open(path).convert("RGB")) for path in part])
            found.append(network(batch))
    return found


def folder_loader(network: Any, root: Path, chosen: set[str], theirs: Any) -> list[torch.Tensor]:
    from torchvision.datasets import ImageFolder

    images = root / "images" if (root / "images").is_dir() else root
    dataset = ImageFolder(str(images), transform=theirs, is_valid_file=lambda path: path in chosen)
    with torch.inference_mode():
        return [network(batch) for batch, _ in DataLoader(dataset, batch_size=32, num_workers=cores())]


def agree(model: Classifier, dataset: data.Dataset, plain: Any, pixels: torch.Tensor) -> None:
    """Say how far our features are from those of the plain network."""
    with torch.inference_mode():
        theirs = torch.cat([plain(batch) for batch in pixels[:64].split(32)]).numpy()
    ours = extract(model, data.subset(dataset, range(len(theirs)))).values
    worst = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    print(f"Largest difference of a feature: {worst:.1e} of the largest feature.")


def probe(model: Classifier, dataset: data.Dataset, cache: Path) -> None:
    """Time reading stored features back, and the fit of a probe with five penalties."""
    extract(model, dataset, cache=cache)
    began = perf_counter()
    features = extract(model, dataset, cache=cache)
    read = perf_counter() - began
    began = perf_counter()
    fit_probe(model, features, features, pulls=PULLS)
    fitted = perf_counter() - began
    size = f"{len(features)} patches x {features.values.shape[1]} features"
    print(f"\nProbe on stored features ({size}): read {read:.2f} s, {len(PULLS)} fits {fitted:.2f} s.")


if __name__ == "__main__":
    main()
