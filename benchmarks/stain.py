"""Time stain normalisation beside torchstain, TIAToolbox, StainTools and OpenCV; print Markdown.

    python benchmarks/stain.py [--rounds 7] [--image FILE]

All take turns in one process; the figures are medians. A transform is what a tile costs when its own stains
are estimated, as every rival does it; ours is also timed with an estimate made before (a slide's). Rivals
that are not installed are named as such. Without ``--image`` the picture is synthetic tissue.
"""

import argparse
import importlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import cv2
import numpy as np

from histoscope import read_image, stain
from histoscope.types import Image

Work = Callable[[], Any]
STAINS = np.array([[0.60, 0.70, 0.39], [0.18, 0.88, 0.44]])
FIRST_CALL = """
from time import perf_counter
start = perf_counter()
import numpy as np
from histoscope import stain
imported = perf_counter()
image = stain.combine(np.random.default_rng(0).exponential(0.5, (64, 64, 2)), stain.RUIFROK[:2])
made = perf_counter()
for normalizer in stain.NORMALIZERS.values():
    normalizer.default()(image)
print(imported - start, perf_counter() - made)
"""
NOTES = """
TIAToolbox and StainTools are timed where they are installed: without TIAToolbox, Vahadane stands alone.
OpenCV rows are Reinhard's method in a few lines, in the way that TIAToolbox goes about it. torchstain gives
int32; no separate stains are asked of it.
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="turns of each (fewer for what takes seconds)")
    parser.add_argument("--image", type=Path, help="an H&E image instead of synthetic tissue")
    parser.add_argument(
        "--sides", type=int, nargs="+", default=[1024, 2048], help="sides of the images, pixels"
    )
    options = parser.parse_args()
    print(f"## Stain normalisation\n\n{platform.machine()}, {os.cpu_count()} cores, ", end="")
    print(f"Python {platform.python_version()}, NumPy {np.__version__}; medians of {options.rounds} turns.\n")
    print("| megapixels | method | work | who | ms | ratio |")
    print("|--:|---|---|---|--:|--:|")
    target = picture(options.image, max(options.sides), seed=1)
    images = {side: picture(options.image, side, seed=0) for side in options.sides}
    for side, image in images.items():
        for method in stain.NORMALIZERS:
            compare(method, image, target, side * side / 2**20, options.rounds)
    print(NOTES)
    limit(images, options.rounds)
    first_call()


def picture(file: Path | None, side_px: int, seed: int) -> Image:
    """Tissue of a given size: a file, mirrored until it is large enough, or synthetic."""
    image = mixture(seed) if file is None else read_image(file)
    pad = [(0, max(0, side_px - size)) for size in image.shape[:2]]
    return np.ascontiguousarray(np.pad(image, [*pad, (0, 0)], mode="symmetric")[:side_px, :side_px])


def mixture(seed: int) -> Image:
    """Blobs of haematoxylin on clouds of eosin, 512 x 512, with glass between and camera noise."""
    rng = np.random.default_rng(seed)
    clouds = [cv2.GaussianBlur(rng.normal(size=(512, 512)), None, width) * width for width in (4, 20)]
    amounts = np.stack([np.clip(4 * clouds[0] - 1, 0, 2), np.clip(0.5 + clouds[1], 0, 1)], axis=2)
    noise = rng.normal(0, 0.02, (512, 512, 3))
    return stain.from_density(np.maximum(amounts @ STAINS + noise, 0))


def compare(method: str, image: Image, target: Image, megapixels: float, rounds: int) -> None:
    """Print the rows of one method: ours, then each rival."""
    ours = stain.get(method).fit(target)
    source = ours.estimate(image)
    works: dict[tuple[str, str], Work] = {
        ("fit", "ours"): lambda: stain.get(method).fit(image),
        ("estimate + transform", "ours"): lambda: ours(image),
        ("transform of a known slide", "ours"): lambda: ours(image, source=source),
    }
    missing = []
    for name, find in RIVALS.items():
        try:
            rival = find(method, target)
        except ImportError:
            missing.append(name)
            continue
        if rival is not None:
            works["fit", name] = partial(rival[0], image)
            works["estimate + transform", name] = partial(rival[1], image)
    seconds = in_turns(works, rounds)
    for (work, who), value in seconds.items():
        ratio = "" if who == "ours" else f"{value / seconds[work, 'ours']:.1f}x"
        print(f"| {megapixels:.2g} | {method} | {work} | {who} | {1e3 * value:.1f} | {ratio} |")
    rivals = [v for (work, who), v in seconds.items() if work == "estimate + transform" and who != "ours"]
    if rivals:
        best = min(rivals) / seconds["estimate + transform", "ours"]
        print(
            f"| {megapixels:.2g} | {method} | estimate + transform | best rival / ours | | **{best:.1f}x** |"
        )
    if missing:
        print(f"| {megapixels:.2g} | {method} | | {', '.join(missing)} | not installed | |")


def in_turns(works: dict[Any, Work], rounds: int) -> dict[Any, float]:
    """Median seconds of each, all taking turns; slow ones take fewer."""
    seconds: dict[Any, list[float]] = {key: [] for key in works}
    for work in works.values():
        work()  # compile, warm up
    for turn in range(rounds):
        for key, work in works.items():
            if turn >= 3 and seconds[key][0] > 1.0:
                continue
            start = perf_counter()
            work()
            seconds[key].append(perf_counter() - start)
    return {key: median(values) for key, values in seconds.items()}


Pair = tuple[Callable[[Image], Any], Callable[[Image], Any]]


def torchstain(method: str, target: Image, backend: str) -> Pair | None:
    """Fit and transform of torchstain."""
    normalizers = importlib.import_module("torchstain.base.normalizers")
    torch = importlib.import_module("torch")
    if method not in {"macenko", "reinhard"}:
        return None
    make = {"macenko": normalizers.MacenkoNormalizer, "reinhard": normalizers.ReinhardNormalizer}[method]

    def give(image: Image) -> Any:
        return image if backend == "numpy" else torch.from_numpy(image).permute(2, 0, 1)

    fitted = make(backend=backend)
    fitted.fit(give(target))
    more = {"stains": False} if method == "macenko" else {}
    return lambda image: make(backend=backend).fit(give(image)), lambda image: fitted.normalize(
        give(image), **more
    )


def tiatoolbox(method: str, target: Image) -> Pair | None:
    """Fit and transform of TIAToolbox."""
    tools = importlib.import_module("tiatoolbox.tools.stainnorm")
    fitted = tools.get_normalizer(method)
    fitted.fit(target)
    return lambda image: tools.get_normalizer(method).fit(image), fitted.transform


def staintools(method: str, target: Image) -> Pair | None:
    """Fit and transform of StainTools."""
    tools = importlib.import_module("staintools")
    if method == "ruifrok":
        return None
    make = (
        tools.ReinhardColorNormalizer
        if method == "reinhard"
        else partial(tools.StainNormalizer, method=method)
    )
    fitted = make()
    fitted.fit(target)
    return lambda image: make().fit(image), fitted.transform


def definition(method: str, target: Image) -> Pair | None:
    """Reinhard's method in a few lines of OpenCV."""
    if method != "reinhard":
        return None
    aim = lab_moments(target)
    return lab_moments, lambda image: lab_matched(image, aim)


def lab_moments(image: Image) -> tuple[Any, Any]:
    """Mean and standard deviation of OpenCV's 8-bit Lab."""
    return cv2.meanStdDev(cv2.cvtColor(image, cv2.COLOR_RGB2LAB))


def lab_matched(image: Image, aim: tuple[Any, Any]) -> Image:
    """Scale and shift Lab to other moments."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    mean, std = (values.ravel().astype(np.float32) for values in cv2.meanStdDev(lab))
    out = (lab.astype(np.float32) - mean) * (aim[1].ravel() / std).astype(np.float32)
    out += aim[0].ravel().astype(np.float32)
    return cv2.cvtColor(np.clip(out, 0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB)


RIVALS: dict[str, Callable[[str, Image], Pair | None]] = {
    "torchstain, NumPy": partial(torchstain, backend="numpy"),
    "torchstain, torch": partial(torchstain, backend="torch"),
    "TIAToolbox": tiatoolbox,
    "StainTools": staintools,
    "OpenCV": definition,
}


def limit(images: dict[int, Image], rounds: int) -> None:
    """Print how far the transform is from just copying the image."""
    print(
        "### Distance from the memory limit\n\nThe limit is a copy of the image: read once, written once.\n"
    )
    print("| megapixels | copy, ms | transform, ms | times the limit | ns a pixel |\n|--:|--:|--:|--:|--:|")
    normalize = stain.Macenko.default()
    for side, image in images.items():
        source, out = normalize.estimate(image), np.empty_like(image)
        works = {"copy": partial(np.copyto, out, image), "map": partial(normalize, image, source=source)}
        seconds = in_turns(works, max(rounds, 15))
        ms = {key: 1e3 * value for key, value in seconds.items()}
        nanoseconds = 1e9 * seconds["map"] / (side * side)
        print(f"| {side * side / 2**20:.2g} | {ms['copy']:.2f} | {ms['map']:.2f} | ", end="")
        print(f"{ms['map'] / ms['copy']:.0f} | {nanoseconds:.2f} |")


def first_call() -> None:
    """Print what importing and compiling cost a fresh process, with and without the cache."""
    print("\n### First call, in a fresh process\n")
    print("| cache | import, s | all four methods once, s |\n|---|--:|--:|")
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        for state in ("empty", "filled"):
            command = [sys.executable, "-c", FIRST_CALL]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            imported, called = map(float, done.stdout.split())
            print(f"| {state} | {imported:.2f} | {called:.2f} |")


if __name__ == "__main__":
    main()
