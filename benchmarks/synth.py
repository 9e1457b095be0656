"""Time the drawing of synthetic tissue; print a Markdown report.

    python benchmarks/synth.py [--rounds 5] [--megapixels 1 4]

Three questions: how many megapixels a second, is the cost linear in area and in nuclei, and how far is it
from the bandwidth of memory (the time in which the same bytes would be copied once).
"""

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from statistics import median
from time import perf_counter

import numpy as np

from histoscope import synth
from histoscope.synth.layout import plan
from histoscope.synth.nuclei import draw
from histoscope.synth.render import photograph, stain_amounts

MPP = 0.25
# Dyes (2), light (3) and its blurred copy (3) in float32, labels in int32, image: each written and read once.
BYTES_PER_PIXEL = 2 * ((2 + 3 + 3 + 1) * 4 + 3)
FIRST_CALL = """
from time import perf_counter
start = perf_counter()
from histoscope import synth
imported = perf_counter()
synth.generate((64, 64))
first = perf_counter()
synth.generate((64, 64))
print(imported - start, first - imported, perf_counter() - first)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 4])
    options = parser.parse_args()
    print(f"## Drawing synthetic tissue\n\n{platform.machine()}, {os.cpu_count()} cores, ", end="")
    print(f"Python {platform.python_version()}, NumPy {np.__version__}; medians of {options.rounds} turns.\n")
    synth.generate((300, 300))  # compile, start the pool
    by_area(options.megapixels, options.rounds)
    by_density(options.rounds)
    by_part(options.rounds)
    first_call()


def timed(work: Callable[[], object], rounds: int) -> float:
    """Median seconds."""
    seconds = []
    for _ in range(rounds):
        start = perf_counter()
        work()
        seconds.append(perf_counter() - start)
    return median(seconds)


def by_area(megapixels: list[float], rounds: int) -> None:
    print(
        "| megapixels | nuclei | ms | megapixels/s | cost per pixel, to row 1 | times a copy of its bytes |"
    )
    print("|--:|--:|--:|--:|--:|--:|")
    base = 0.0
    for area in megapixels:
        side = round(1000 * area**0.5)
        sample = synth.generate((side, side), mpp=MPP, rng=np.random.default_rng(0))
        seconds = timed(
            lambda side=side: synth.generate((side, side), mpp=MPP, rng=np.random.default_rng(0)), rounds
        )
        source = np.zeros(side * side * BYTES_PER_PIXEL // 2, np.uint8)
        copy = timed(source.copy, max(rounds, 5))
        speed = side * side / 1e6 / seconds
        base = base or speed
        print(
            f"| {side * side / 1e6:g} | {sample.instances.max():,} | {seconds * 1e3:.0f} | {speed:.2f} "
            f"| {base / speed:.2f} | {seconds / copy:.0f} |"
        )


def by_density(rounds: int) -> None:
    print("\n| density | nuclei in one megapixel | ms |\n|--:|--:|--:|")
    for density in (0.25, 0.5, 1.0, 2.0, 8.0):
        tissue = synth.TissueSpec(density=density)
        sample = synth.generate((1000, 1000), tissue=tissue)
        seconds = timed(lambda tissue=tissue: synth.generate((1000, 1000), tissue=tissue), rounds)
        print(f"| {density:g} | {sample.instances.max():,} | {seconds * 1e3:.0f} |")


def by_part(rounds: int) -> None:
    """Where the time of one megapixel goes."""
    tissue, shape, um = synth.TissueSpec(), (1000, 1000), 1000 * MPP
    layout = plan(um, um, tissue, np.random.default_rng(0))
    drawn = draw(layout, shape, MPP, tissue, np.random.default_rng(0))
    dye = stain_amounts(layout, drawn, MPP, tissue, np.random.default_rng(0))
    stain, optics = synth.StainSpec(), synth.OpticsSpec()
    parts: dict[str, Callable[[], object]] = {
        "layout": lambda: plan(um, um, tissue, np.random.default_rng(0)),
        "outlines and instance map": lambda: draw(layout, shape, MPP, tissue, np.random.default_rng(0)),
        "tissue and chromatin": lambda: stain_amounts(layout, drawn, MPP, tissue, np.random.default_rng(0)),
        "light, blur, noise, JPEG": lambda: photograph(dye, stain, optics, MPP, np.random.default_rng(0)),
    }
    print("\n| part of one megapixel | ms |\n|---|--:|")
    for name, work in parts.items():
        print(f"| {name} | {timed(work, rounds) * 1e3:.0f} |")


def first_call() -> None:
    run = subprocess.run([sys.executable, "-c", FIRST_CALL], capture_output=True, text=True, check=True)
    imported, first, second = (float(value) for value in run.stdout.split())
    print(
        f"\nA fresh process, kernels cached: import {imported:.2f} s, first 64 x 64 image {first:.2f} s, ",
        end="",
    )
    print(f"second {second * 1e3:.1f} ms.")


if __name__ == "__main__":
    main()
