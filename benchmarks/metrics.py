"""Time the metrics of one image beside stardist and torchmetrics; print a Markdown report.

    python benchmarks/metrics.py [--rounds 5] [--nuclei 490 2130 10000]

Ours and the rival take turns in one process; the figures are medians. Same work means: the same two label
maps in, counts and scores of the same matching out. The counts are compared, too, so that nobody is fast by
being wrong.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.metrics import AP_THRESHOLDS, match, overlap, per_image

Maps = tuple[NDArray[np.int32], NDArray[np.int32]]
STEP_PX = 28  # nuclei of 0.25 um/px stand about so far apart in a tumour
NOTES = """
stardist counts IoU >= threshold, we count IoU > threshold: the counts are compared at the double just below.
`per_image` also gives AJI, AJI+ and all pixel scores, which neither rival does.
"""
LIMIT = """### Distance from the memory limit

The limit is `max()` of both maps: one vectorised read of their bytes.

| nuclei | MB read | limit, ms | overlap table, ms | times the limit | ns a pixel | all metrics, ms |
|--:|--:|--:|--:|--:|--:|--:|"""
FIRST_CALL = """
from time import perf_counter
start = perf_counter()
import numpy as np
from histoscope.metrics import per_image
imported = perf_counter()
labels = np.ones((64, 64), np.int32)
per_image(labels, labels)
first = perf_counter()
per_image(labels, labels)
print(imported - start, first - imported, perf_counter() - first)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (fewer for what takes seconds)")
    parser.add_argument("--nuclei", type=int, nargs="+", default=[490, 2130, 10_000])
    options = parser.parse_args()
    print(f"## Instance metrics of one image\n\n{platform.machine()}, {os.cpu_count()} cores, ", end="")
    print(f"Python {platform.python_version()}, NumPy {np.__version__}; medians of {options.rounds} turns.\n")
    print("| nuclei (pixels) | work | ours, ms | rival, ms | ratio | same counts |")
    print("|---|---|--:|--:|--:|---|")
    images = {n: draw(n, np.random.default_rng(0)) for n in options.nuclei}
    for n, maps in images.items():
        _beside_stardist(n, maps, options.rounds)
    n = min(images)
    _beside_torchmetrics(n, images[n], options.rounds)
    print(NOTES)
    _limit(images, options.rounds)
    _first_call()


def draw(n: int, rng: np.random.Generator) -> Maps:
    """Draw `n` true ellipses on a shaken grid, and a prediction: nine in ten, shifted and resized."""
    side = int(np.ceil(np.sqrt(n)))
    true, pred = np.zeros((2, side * STEP_PX, side * STEP_PX), np.int32)
    for k in range(n):
        centre = (np.array(divmod(k, side)) + 0.5) * STEP_PX + rng.normal(0, 1.5, 2)
        radii, angle = rng.uniform(0.3, 0.55, 2) * STEP_PX, rng.uniform(0, np.pi)
        _ellipse(true, k + 1, centre, radii, angle)
        if rng.random() < 0.9:
            _ellipse(pred, k + 1, centre + rng.normal(0, 2, 2), radii * rng.uniform(0.8, 1.2, 2), angle)
    return true, pred


def _ellipse(labels: NDArray[np.int32], number: int, centre: Any, radii: Any, angle: float) -> None:
    reach = int(max(radii)) + 1
    top, left = (max(0, int(place) - reach) for place in centre)
    part = labels[top : int(centre[0]) + reach + 1, left : int(centre[1]) + reach + 1]
    rows, columns = np.mgrid[: part.shape[0], : part.shape[1]]
    y, x = rows + top - centre[0], columns + left - centre[1]
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    part[(u / radii[0]) ** 2 + (v / radii[1]) ** 2 <= 1] = number


def _beside_stardist(n: int, maps: Maps, rounds: int) -> None:
    from stardist.matching import matching

    theirs, ours = matching(*maps, thresh=0.5), match(*maps, iou_threshold=float(np.nextafter(0.5, 0)))
    same = (theirs.tp, theirs.fp, theirs.fn) == (ours.tp, ours.fp, ours.fn)
    _row(
        n,
        maps,
        "PQ, F1, AP at 0.5; stardist",
        lambda: match(*maps),
        lambda: matching(*maps),
        rounds,
        same=same,
    )
    all_theirs = matching(*maps, thresh=AP_THRESHOLDS)
    table = overlap(*maps)
    all_same = [m.tp for m in all_theirs] == [
        match(table, iou_threshold=float(np.nextafter(t, 0))).tp for t in AP_THRESHOLDS
    ]
    _row(
        n,
        maps,
        "`per_image`: everything; stardist at 0.5:0.95",
        lambda: per_image(*maps),
        lambda: matching(*maps, thresh=AP_THRESHOLDS),
        rounds,
        same=all_same,
    )


def _beside_torchmetrics(n: int, maps: Maps, rounds: int) -> None:
    import torch
    from torchmetrics.functional.detection import panoptic_quality

    def stacked(labels: NDArray[np.int32]) -> torch.Tensor:
        return torch.from_numpy(np.stack([labels > 0, labels], -1).astype(np.int64))[None]

    true, pred = (stacked(labels) for labels in maps)

    def rival() -> Any:
        return panoptic_quality(
            pred, true, things={1}, stuffs={0}, return_sq_and_rq=True, return_per_class=True
        )

    same = np.allclose(rival().flatten()[:3], [getattr(match(*maps), name) for name in ("pq", "sq", "dq")])
    _row(n, maps, "PQ, SQ, DQ; torchmetrics", lambda: match(*maps), rival, rounds, same=same)


def _row(
    n: int,
    maps: Maps,
    work: str,
    ours: Callable[[], Any],
    rival: Callable[[], Any],
    rounds: int,
    *,
    same: bool,
) -> None:
    mine, other = alternate(ours, rival, rounds)
    times = f"{mine * 1e3:.2f} | {other * 1e3:.0f} | **{other / mine:.0f}**"
    print(f"| {n:,} ({maps[0].shape[0]}²) | {work} | {times} | {'yes' if same else 'NO'} |", flush=True)


def alternate(ours: Callable[[], Any], rival: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """Median seconds of each, in turns; two turns are enough for what takes over two seconds."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds):
        for function, seconds in zip((ours, rival), times, strict=True):
            start = perf_counter()
            function()
            seconds.append(perf_counter() - start)
        if turn > 0 and times[1][-1] > 2:
            break
    return median(times[0]), median(times[1])


def _limit(images: dict[int, Maps], rounds: int) -> None:
    """Beside the least that any method must do: read both maps from memory once."""
    print(LIMIT)
    for n, maps in images.items():
        true, pred = maps

        def read(true: NDArray[np.int32] = true, pred: NDArray[np.int32] = pred) -> None:
            true.max(), pred.max()

        table, limit = alternate(lambda maps=maps: overlap(*maps), read, 4 * rounds)
        everything, _ = alternate(lambda maps=maps: per_image(*maps), read, 4 * rounds)
        row = (
            f"{2 * true.nbytes / 1e6:.1f}",
            f"{limit * 1e3:.2f}",
            f"{table * 1e3:.2f}",
            f"{table / limit:.1f}",
            f"{table / true.size * 1e9:.1f}",
            f"{everything * 1e3:.2f}",
        )
        print(f"| {n:,} | {' | '.join(row)} |", flush=True)


def _first_call() -> None:
    """Cost of Numba in fresh processes: compiling into an empty cache, then reading from it."""
    print("\n### First call in a fresh process\n\n| cache | import, s | first call, s | second call, ms |")
    print("|---|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as cache:
        for state in ("empty", "filled"):
            done = subprocess.run(
                [sys.executable, "-c", FIRST_CALL],
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, "NUMBA_CACHE_DIR": cache},
            )
            imported, first, second = map(float, done.stdout.split())
            print(f"| {state} | {imported:.2f} | {first:.2f} | {second * 1e3:.2f} |")


if __name__ == "__main__":
    main()
