"""Time the geometry of star-convex nuclei beside stardist's compiled code; print a Markdown report.

    python benchmarks/geometry.py [--rounds 5] [--sides 1024 2048 4096] [--rays 64]

Nuclei are drawn ellipses that touch, about 1,300 a megapixel. Candidates are all pixels with a probability
above 0.5 in a perfect prediction, and in one that is shaken as networks are. Ours and stardist take turns in
one process; the figures are medians. Results are compared too, so that nobody is fast by being wrong: both
get the candidates in the same order, since stardist's own sort leaves the order of equal ones to chance.
"""

import argparse
import gc
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.geometry import draw, object_probability, star_distances, suppress
from histoscope.metrics import match

STEP_PX = 28
NOTES = """
Distances: largest difference. Suppression: kept candidates that the other does not keep, of all kept.
Labels: pixels that differ. Probability is timed beside `stardist.utils.edt_prob`, which uses SciPy here.
A unit is a pixel, a candidate or a nucleus: where cost is linear, its time is the same for all sides.
"""
MEMORY = """
### Peak memory

Of a fresh process that does the one thing once, above what it had before (its input), in MB.

| side, px | work | ours | stardist |
|--:|---|--:|--:|"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (fewer for what takes seconds)")
    parser.add_argument("--sides", type=int, nargs="+", default=[1024, 2048, 4096], help="pixels")
    parser.add_argument("--rays", type=int, default=64)
    parser.add_argument("--memory", nargs=3, metavar=("WORK", "WHO", "SIDE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        work, who, side = options.memory
        print(_peak(work, who, int(side), options.rays))
        return
    print(
        f"## Star-convex geometry, {options.rays} rays\n\n{platform.machine()}, {os.cpu_count()} cores, ",
        end="",
    )
    print(f"Python {platform.python_version()}, NumPy {np.__version__}; medians of {options.rounds} turns.\n")
    print("| side, px | nuclei | work | ours, ms | stardist, ms | ratio | difference | ours, ns a unit |")
    print("|--:|--:|---|--:|--:|--:|--:|--:|")
    for side in options.sides:
        _one_side(side, options.rays, options.rounds)
    print(NOTES)
    print(MEMORY)
    for work in ("distances", "suppression", "labels"):
        side = max(options.sides)
        ours, theirs = (
            _peak_in_a_fresh_process(work, who, side, options.rays) for who in ("ours", "stardist")
        )
        print(f"| {side} | {work} | {ours:.0f} | {theirs:.0f} |", flush=True)


def draw_nuclei(side: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Draw ellipses on a shaken grid."""
    labels = np.zeros((side, side), np.int32)
    for k in range((side // STEP_PX) ** 2):
        y0, x0 = (np.array(divmod(k, side // STEP_PX)) + rng.uniform(0.3, 0.7, 2)) * STEP_PX
        radii, angle = rng.uniform(0.26, 0.42, 2) * STEP_PX, rng.uniform(0, np.pi)
        reach = int(max(radii)) + 1
        top, left = max(0, int(y0) - reach), max(0, int(x0) - reach)
        part = labels[top : int(y0) + reach + 1, left : int(x0) + reach + 1]
        rows, columns = np.mgrid[: part.shape[0], : part.shape[1]]
        y, x = rows + top - y0, columns + left - x0
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        part[(u / radii[0]) ** 2 + (v / radii[1]) ** 2 <= 1] = k + 1
    return labels


Candidates = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


def candidates(labels: NDArray[np.int32], rays: int, *, shaken: bool) -> Candidates:
    """Points, distances and probabilities, most probable first."""
    rng = np.random.default_rng(1)
    probability = object_probability(labels)
    rows, columns = np.nonzero(probability > 0.5)
    score, distances = probability[rows, columns], star_distances(labels, rays)[rows, columns]
    points = np.stack([rows, columns], 1).astype(np.float32)
    if shaken:
        score = score * rng.uniform(0.8, 1, len(score)).astype(np.float32)
        distances *= rng.normal(1, 0.05, distances.shape).astype(np.float32)
        distances *= rng.normal(1, 0.1, (len(distances), 1)).astype(np.float32)
        np.maximum(distances, 1e-3, out=distances)
    order = np.argsort(-score, kind="stable")
    return points[order], distances[order], score[order]


def _theirs(points: NDArray[Any], distances: NDArray[Any], score: NDArray[Any]) -> NDArray[np.intp]:
    from stardist.nms import non_maximum_suppression_inds

    return np.flatnonzero(non_maximum_suppression_inds(distances, points, score, thresh=0.4, verbose=0))


def _one_side(side: int, rays: int, rounds: int) -> None:
    from stardist.geometry import polygons_to_label, star_dist
    from stardist.utils import edt_prob

    labels = draw_nuclei(side, np.random.default_rng(0))
    start = f"| {side} | {len(np.unique(labels)) - 1:,} "
    both = zip(star_distances(labels, rays), star_dist(labels, rays), strict=True)
    differ = f"{max(np.abs(a - b).max() for a, b in both):.1g} px"  # by rows: the arrays are large
    del both
    times = alternate(lambda: star_distances(labels, rays), lambda: star_dist(labels, rays), rounds)
    _row(start, "distances", times, differ, labels.size)
    differ = f"{np.abs(object_probability(labels) - edt_prob(labels)).max():.1g}"
    times = alternate(lambda: object_probability(labels), lambda: edt_prob(labels), rounds)
    _row(start, "probability", times, differ, labels.size)
    for shaken in (False, True):
        some = candidates(labels, rays, shaken=shaken)
        keep = suppress(*some).keep
        kept = _theirs(*some)
        differ = f"{len(np.setdiff1d(kept, keep))} of {len(kept):,}"
        times = alternate(lambda some=some: suppress(*some), lambda some=some: _theirs(*some), rounds)
        what = f"suppression, {len(some[0]):,} candidates, {'shaken' if shaken else 'perfect'}"
        _row(start, what, times, differ, len(some[0]))
        if shaken:
            continue
        points, distances = some[0][keep], some[1][keep]
        ours = draw(points, distances, labels.shape)
        last_first = (distances[::-1], points[::-1], labels.shape)  # in stardist the later polygon is on top
        theirs = polygons_to_label(*last_first)
        theirs[theirs > 0] = len(keep) + 1 - theirs[theirs > 0]
        times = alternate(
            lambda p=points, d=distances: draw(p, d, labels.shape),
            lambda a=last_first: polygons_to_label(*a),
            rounds,
        )
        pq = match(labels, ours).pq
        _row(
            start, f"labels (PQ of the round trip {pq:.3f})", times, f"{(ours != theirs).sum()} px", len(keep)
        )


def _row(start: str, work: str, times: tuple[float, float], differ: str, units: int) -> None:
    ours, theirs = times
    ratio = f"{ours * 1e3:.1f} | {theirs * 1e3:.0f} | **{theirs / ours:.1f}**"
    figures = f"{ratio} | {differ} | {ours / units * 1e9:.0f}"
    print(f"{start}| {work} | {figures} |", flush=True)


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


def _peak(work: str, who: str, side: int, rays: int) -> float:
    """Megabytes that one call adds to the process's largest size."""
    from stardist.geometry import polygons_to_label, star_dist

    tiny = draw_nuclei(64, np.random.default_rng(0))
    task: dict[tuple[str, str], Callable[[Any, Candidates], Any]] = {
        ("distances", "ours"): lambda labels, _: star_distances(labels, rays),
        ("distances", "stardist"): lambda labels, _: star_dist(labels, rays),
        ("suppression", "ours"): lambda _, some: suppress(*some),
        ("suppression", "stardist"): lambda _, some: _theirs(*some),
        ("labels", "ours"): lambda labels, some: draw(some[0], some[1], labels.shape),
        ("labels", "stardist"): lambda labels, some: polygons_to_label(some[1], some[0], labels.shape),
    }
    call = task[work, who]
    call(tiny, candidates(tiny, rays, shaken=False))  # compiled, loaded, threads started
    labels, some = draw_nuclei(side, np.random.default_rng(0)), _made_small(side, rays, work)
    gc.collect()
    reset_peak()
    before = memory_mb("VmRSS")
    call(labels, some)
    return memory_mb("VmHWM") - before


def _made_small(side: int, rays: int, work: str) -> Candidates:
    """Candidates, without what making them needed."""
    tile = 256
    labels = draw_nuclei(tile, np.random.default_rng(0))
    points, distances, score = candidates(labels, rays, shaken=False)
    if work == "labels":
        keep = suppress(points, distances, score).keep
        points, distances, score = points[keep], distances[keep], score[keep]
    n = (side // tile) ** 2 if work != "distances" else 1
    shift = np.array([divmod(k, max(1, side // tile)) for k in range(n)], np.float32) * tile
    points = (shift[:, None] + points).reshape(-1, 2)
    return points, np.tile(distances, (n, 1)), np.tile(score, n)


def reset_peak() -> None:
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:  # noqa: PTH123
        file.write("5")


def memory_mb(name: str) -> float:
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123
        (line,) = [line for line in file if line.startswith(name)]
    return int(line.split()[1]) * 1024 / 1e6


def _peak_in_a_fresh_process(work: str, who: str, side: int, rays: int) -> float:
    command = [sys.executable, __file__, "--rays", str(rays), "--memory", work, who, str(side)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    main()
