"""Time networks in torch, OpenVINO and ONNX Runtime, in one process and in turns; print a Markdown table.

    python benchmarks/backends.py [--rounds 5] [--side 2048] [--cpu] [--models nuclei-free nuclei-research]

Networks of nuclei see drawn tissue as a slide is seen, in tiles, two at a time; the classifier, a ResNet-18
with fresh weights, sees patches as they come from a folder. All threads of torch are used; give fewer with
``OMP_NUM_THREADS``. Agreement is that of the nuclei with those of torch in float32: panoptic quality; of the
classifier, the largest difference of a probability. A processor without AVX-512 is mimicked, for torch and
OpenVINO alone, by ``ONEDNN_MAX_CPU_ISA=AVX2``. What is not installed is left out: extras ``openvino``,
``onnx``.
"""

import argparse
import os
import platform
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from statistics import median
from time import perf_counter, process_time
from typing import Any, TypeAlias

import numpy as np
import torch

from histoscope import models, synth
from histoscope.classify.batches import through
from histoscope.memory import keep_freed
from histoscope.metrics import match
from histoscope.models import Classifier, Segmenter, backends, precision
from histoscope.models.backends.choosing import installed
from histoscope.models.inference import tiles_of
from histoscope.types import Image, Sample

Clock: TypeAlias = Callable[[], float]
TILE_PX, AT_ONCE, N_PATCHES = 1152, 2, 64
NATIVE = precision.has_bfloat16(torch.device("cpu")) and "ONEDNN_MAX_CPU_ISA" not in os.environ


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each")
    parser.add_argument("--side", type=int, default=2048, help="of the image, in pixels")
    parser.add_argument("--models", nargs="+", default=["nuclei-free", "nuclei-research"])
    parser.add_argument("--cpu", action="store_true", help="time of the processor: other work does not count")
    options = parser.parse_args()
    clock = process_time if options.cpu else perf_counter
    keep_freed()  # as the command line does
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp()
    names = installed()
    told = ", ".join(f"{name} {version(name)}" for name in names)
    print(
        f"{platform.machine()}, {torch.get_num_threads()} threads, {told}; medians of {options.rounds} turns."
    )
    kind = "of the processor" if options.cpu else "of the clock"
    print(f"Seconds {kind} a megapixel; in brackets how many times as fast as torch, and agreement.\n")
    print(f"| network | precision | {' | '.join(names)} |\n|---|---|{'--:|' * len(names)}")
    for model in options.models:
        _rows_of_nuclei(model, options.side, options.rounds, names, clock)
    _rows_of_patches(options.rounds, names, clock)


def _rows_of_nuclei(name: str, side: int, rounds: int, names: list[str], clock: Clock) -> None:
    model = models.load(name)
    mpp = model.spec.mpp
    image = synth.generate((side, side), mpp=mpp, rng=np.random.default_rng(0)).image

    def work() -> None:
        for _ in tiles_of(model, image, tile_px=TILE_PX, at_once=AT_ONCE):
            pass

    def nuclei() -> Any:
        tiles = tiles_of(model, image, tile_px=TILE_PX, at_once=AT_ONCE)
        return model.decode_tiles(tiles, image.shape[:2], mpp).instances

    def agreement(true: Any, found: Any) -> str:
        return f"{match(true, found).pq:.4f}"

    _rows(name, model, names, rounds, clock, work, nuclei, agreement, image.shape[0] * image.shape[1])


def _rows_of_patches(rounds: int, names: list[str], clock: Clock) -> None:
    torch.manual_seed(0)
    model = Classifier(backbone="resnet18", classes=["a", "b"], mpp=0.5, patch_px=224).eval()
    rng = np.random.default_rng(0)
    patches = [Sample(_patch(rng), 0.5) for _ in range(N_PATCHES)]

    def look() -> Any:
        seen = through(model, patches, lambda network, x: network.probabilities(network.heads(x)))
        return np.concatenate([batch.values for batch in seen])

    def agreement(true: Any, found: Any) -> str:
        return f"{np.abs(true - found).max():.0e}"

    _rows("ResNet-18", model, names, rounds, clock, look, look, agreement, N_PATCHES * 224**2)


def _patch(rng: np.random.Generator) -> Image:
    return rng.integers(0, 256, (224, 224, 3), dtype=np.uint8)


def _rows(
    what: str,
    model: models.Model,
    names: list[str],
    rounds: int,
    clock: Clock,
    work: Callable[[], Any],
    answer: Callable[[], Any],
    agreement: Callable[[Any, Any], str],
    n_px: int,
) -> None:
    true = None
    for bfloat16 in [False, True] if NATIVE and isinstance(model, Segmenter) else [False]:
        precision.has_bfloat16 = lambda _, bfloat16=bfloat16: bfloat16
        runners: dict[str, Any] = {}
        for name in names:
            backends.use(model, name, what)
            runners[name] = model.runner
        seconds: dict[str, list[float]] = {name: [] for name in names}
        found = {}
        for turn in range(rounds + 1):  # the first warms up
            for name in names:
                model.runner = runners[name]
                if not turn:
                    found[name] = answer()
                    continue
                begin = clock()
                work()
                seconds[name].append(clock() - begin)
        true = found["torch"] if true is None else true
        took = {name: median(times) / (n_px / 1e6) for name, times in seconds.items()}
        cells = [
            f"{took[name]:.3f} ({took['torch'] / took[name]:.2f}, {agreement(true, found[name])})"
            for name in names
        ]
        print(f"| {what} | {'bfloat16' if bfloat16 else 'float32'} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
