"""Time painted tissue, from layout to tile, beside its networks alone: painter, and painter with critic.

    python benchmarks/generator.py runs/generator [--n 8] [--size 512] [--rounds 3]

The folder is that of a fitted generator (`histoscope synth --method learned`). All take turns in one
process; medians. The critic is the part of the filter that is a network. A tile that is dropped as unlike
real tissue costs time as well, and is counted.
"""

import argparse
import os
import platform
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch

from histoscope.synth.arrange import arrange
from histoscope.train.generate import (
    LearnedGenerator,
    Tally,
    generate_dataset,
    load_generator,
    maps_for,
    paint,
)
from histoscope.train.generator_realism import verdict_of


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("generator", type=Path, help="folder of a fitted generator")
    parser.add_argument("--n", type=int, default=8, help="tiles a turn")
    parser.add_argument("--size", type=int, default=512, help="height and width in pixels, a multiple of 4")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    kit = load_generator(options.generator)
    maps = known_maps(kit, options.size)
    whole, alone, both, tally = [], [], [], Tally()
    dyes = paint(kit.model, maps, 0).transpose(2, 0, 1)  # warms up
    next(generate_dataset(kit, 1, size_px=options.size))
    for turn in range(options.rounds):
        began = perf_counter()
        for _ in generate_dataset(kit, options.n, size_px=options.size, seed=turn, tally=tally):
            pass
        whole.append((perf_counter() - began) / options.n)
        began = perf_counter()
        for k in range(options.n):
            paint(kit.model, maps, k)
        alone.append((perf_counter() - began) / options.n)
        for _ in range(options.n):
            verdict_of(kit.model, maps, dyes)
        both.append((perf_counter() - began) / options.n)
    area = options.size**2 / 2**20
    print(f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}; {options.size} px\n")
    print("| work | megapixels a second |\n|---|--:|")
    for name, times in (("painter alone", alone), ("painter and critic alone", both), ("all of it", whole)):
        print(f"| {name} | {area / median(times):.2f} |")
    shares = [median(times) / median(whole) for times in (alone, both)]
    print(f"\n{shares[0]:.2f} of the painter's pace, **{shares[1]:.2f}** of both networks'. ", end="")
    print(f"{tally.dropped} of {tally.painted} tiles were dropped and painted again.")


def known_maps(kit: LearnedGenerator, side: int) -> np.ndarray:
    """What the network is shown of one layout."""
    layout = arrange(kit.bank, (side, side), mpp=kit.model.spec.mpp, rng=np.random.default_rng(0), tile=0)
    return maps_for(layout, len(kit.bank.classes))


if __name__ == "__main__":
    main()
