"""Time generated tissue, from layout to tile, beside its network alone.

    python benchmarks/generator.py runs/generator [--n 48] [--size 512] [--rounds 3] [--compile]

The folder is that of a fitted generator (`histoscope synth --method learned`). All take turns in one
process; medians. "Network": forward passes alone, one tile after the other, each on all cores or on the
accelerator, its input there beforehand; in float32, torch's own choice, and in bfloat16 where the hardware
multiplies it. "Dyes": the same network as `generate_dataset` runs it, from maps to amounts of dye, one tile
after the other, then a tile in each core's thread, then with the filter that rejects poor tiles. A tile
that is rejected is generated again, which takes time as well, and is counted. With --compile, `torch.compile`
fuses what stands between the convolutions.
"""

import argparse
import os
import platform
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import torch

from histoscope.data import Datasheet, write_folder
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
from histoscope.types import Sample

Work = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("generator", type=Path, help="folder of a fitted generator")
    parser.add_argument("--n", type=int, default=48, help="tiles a turn")
    parser.add_argument("--size", type=int, default=512, help="height and width in pixels, a multiple of 4")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="with torch.compile; needs a C++ compiler")
    options = parser.parse_args()
    keep_freed()
    kit, tally = load_generator(options.generator), Tally()
    if options.compile:
        kit.model.generator.compile()
    works = whole_tiles(kit, options.n, options.size, tally) | network_alone(kit, options.n, options.size)
    seconds = timed(works, options.rounds)
    pace = {name: options.n * options.size**2 / 2**20 / median(times) for name, times in seconds.items()}
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {where}, torch {torch.__version__}"
        f"{', compiled' * options.compile}; {options.size} px\n\n"
        "| work | megapixels a second | all of it / this |\n|---|--:|--:|"
    )
    for name, found in pace.items():
        print(f"| {name} | {found:.2f} | {pace['all of it'] / found:.2f} |")
    print(f"\n{tally.dropped} of {tally.painted} tiles were rejected and generated again.")


def whole_tiles(kit: LearnedGenerator, n: int, size: int, tally: Tally) -> dict[str, Work]:
    """Tiles with labels, as a user gets them; other tiles each time."""
    seeds = count()

    def tiles() -> Iterator[Sample]:
        return generate_dataset(kit, n, size_px=size, seed=next(seeds), tally=tally)

    def written() -> None:
        with TemporaryDirectory() as folder:
            write_folder(Path(folder) / "tiles", tiles(), Datasheet("tiles"))

    return {"all of it": lambda: deque(tiles(), 0), "all of it, and written as a data set": written}


def network_alone(kit: LearnedGenerator, n: int, size: int) -> dict[str, Work]:
    """Parts of the same, for one layout again and again."""
    layout = arrange(kit.bank, (size, size), mpp=kit.model.spec.mpp, rng=0, tile=0)
    maps = maps_for(layout, len(kit.bank.classes))
    dyes = paint(kit.model, maps, 0).transpose(2, 0, 1)
    device = next(kit.model.parameters()).device
    known = torch.from_numpy(maps)[None].to(device)
    shown = torch.cat([known, noise_like(known)], dim=1).contiguous(memory_format=torch.channels_last)

    def network(precision: AbstractContextManager[object]) -> None:
        with torch.inference_mode(), precision:
            ready = narrowed(shown)
            for _ in range(n):
                kit.model(ready)
            if device.type == "cuda":
                torch.cuda.synchronize()

    def judged(seed: int) -> None:
        paint(kit.model, maps, seed)
        kit.realism.median_distance(kit.model, maps, dyes)

    kind = "bfloat16" if has_bfloat16(device) else "float32"
    return {
        "network in float32, one tile after the other": lambda: network(nullcontext()),
        f"network in {kind}, one tile after the other": lambda: network(mixed(device)),
        "dyes, one tile after the other": lambda: [paint(kit.model, maps, k) for k in range(n)],
        "dyes, a tile a core": lambda: side_by_side(lambda k: paint(kit.model, maps, k), n),
        "dyes and filter, a tile a core": lambda: side_by_side(judged, n),
    }


def timed(works: Mapping[str, Work], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, in turns; a first round warms up and is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(-1, rounds):
        for name, work in works.items():
            began = perf_counter()
            work()
            if turn >= 0:
                seconds[name].append(perf_counter() - began)
    return seconds


def side_by_side(work: Callable[[int], object], n: int) -> None:
    """Do it n times, each on one core."""
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        deque(pool.map(work, range(n)), 0)
    torch.set_num_threads(threads)


if __name__ == "__main__":
    main()
