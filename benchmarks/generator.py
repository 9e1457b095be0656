"""Time painted tissue, from layout to tile, beside its network alone.

    python benchmarks/generator.py runs/generator [--n 48] [--size 512] [--rounds 3]

The folder is that of a fitted generator (`histoscope synth --method learned`). All take turns in one
process; medians. The network as torch runs it, one tile after the other, each on all cores or on the
accelerator, its input made and laid out there beforehand: in float32, torch's own choice, and in bfloat16
where it is multiplied as such. The painter: the same network as `generate_dataset` runs it, from maps to
dyes, with `histoscope.generate._painting` between the convolutions on a processor; one tile after the other,
and a tile in each core's thread. With it, the filter that drops poor tiles. A tile that is dropped is
painted again, which costs time as well, and is counted.
"""

import argparse
import os
import platform
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from unittest.mock import patch

import numpy as np
import torch

from histoscope.data import Datasheet, write_folder
from histoscope.generate import _painting
from histoscope.generate.arrange import arrange
from histoscope.generate.generator import (
    LearnedGenerator,
    Tally,
    generate_dataset,
    load_generator,
    maps_for,
    paint,
)
from histoscope.generate.network import noise_like
from histoscope.memory import keep_freed
from histoscope.models.precision import has_bfloat16, mixed, narrowed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("generator", type=Path, help="folder of a fitted generator")
    parser.add_argument("--n", type=int, default=48, help="tiles a turn")
    parser.add_argument("--size", type=int, default=512, help="height and width in pixels, a multiple of 4")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    keep_freed()
    kit = load_generator(options.generator)
    maps = known_maps(kit, options.size)
    dyes = paint(kit.model, maps, 0).transpose(2, 0, 1)
    tally, turns = Tally(), iter(range(10**6))

    def judge(k: int) -> None:
        paint(kit.model, maps, k)
        kit.realism.median_distance(kit.model, maps, dyes)

    device = next(kit.model.parameters()).device
    shown = torch.from_numpy(maps)[None].to(device)
    shown = torch.cat([shown, noise_like(shown)], dim=1).contiguous(memory_format=torch.channels_last)

    def by_torch(precision: AbstractContextManager[object]) -> None:
        with torch.inference_mode(), precision, patch.object(_painting, "applies", lambda _: False):
            ready = narrowed(shown)
            for _ in range(options.n):
                kit.model(ready)
            if device.type == "cuda":
                torch.cuda.synchronize()

    kind = "bfloat16" if has_bfloat16(device) else "float32"

    def written() -> None:
        tiles = generate_dataset(kit, options.n, size_px=options.size, seed=next(turns), tally=tally)
        with TemporaryDirectory() as folder:
            write_folder(Path(folder) / "tiles", tiles, Datasheet("tiles"))

    works: dict[str, Callable[[], object]] = {
        "all of it": lambda: deque(
            generate_dataset(kit, options.n, size_px=options.size, seed=next(turns), tally=tally), 0
        ),
        "all of it, and written as a data set": written,
        "network by torch in float32, one tile after the other": lambda: by_torch(nullcontext()),
        f"network by torch in {kind}, one tile after the other": lambda: by_torch(mixed(shown.device)),
        "painter, one tile after the other": lambda: [paint(kit.model, maps, k) for k in range(options.n)],
        "painter, a tile a core": lambda: side_by_side(lambda k: paint(kit.model, maps, k), options.n),
        "painter and filter, a tile a core": lambda: side_by_side(judge, options.n),
    }
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(-1, options.rounds):  # the first warms up
        for name, work in works.items():
            began = perf_counter()
            work()
            if turn >= 0:
                seconds[name].append(perf_counter() - began)
    pace = {name: options.n * options.size**2 / 2**20 / median(times) for name, times in seconds.items()}
    where = torch.cuda.get_device_name() if device.type == "cuda" else "no GPU"
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {where}, torch {torch.__version__}, {kind}; "
        f"{options.size} px\n\n| work | megapixels a second | all of it / this |\n|---|--:|--:|"
    )
    for name, found in pace.items():
        print(f"| {name} | {found:.2f} | {pace['all of it'] / found:.2f} |")
    print(f"\n{tally.dropped} of {tally.painted} tiles were dropped and painted again.")


def side_by_side(work: Callable[[int], object], n: int) -> None:
    """Do it n times, each on one core."""
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        deque(pool.map(work, range(n)), 0)
    torch.set_num_threads(threads)


def known_maps(kit: LearnedGenerator, side: int) -> np.ndarray:
    """What the network is shown of one layout."""
    layout = arrange(kit.bank, (side, side), mpp=kit.model.spec.mpp, rng=np.random.default_rng(0), tile=0)
    return maps_for(layout, len(kit.bank.classes))


if __name__ == "__main__":
    main()
