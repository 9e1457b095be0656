"""Claims a second of many workers on one ledger, with jobs that take no time; print a Markdown row.

    python benchmarks/ledger.py [--workers 64] [--tasks 6400] [--folder DIR]

Each worker is a process of its own that draws, writes a row, and draws again. They begin together, when all
have been started; the clock runs from there to the last row. --folder says which disk is measured.
"""

import argparse
import multiprocessing
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from histoscope.ledger import Ledger, Row, Task


def work(folder: Path, tasks: list[Task], barrier: Any, times: Any) -> None:
    with Ledger.open(folder) as ledger:
        barrier.wait()
        worst, n, last = 0.0, 0, time.perf_counter()
        while claim := ledger.draw(tasks, waits=False):
            now = time.perf_counter()
            worst, n = max(worst, now - last), n + 1
            claim.finish(Row({"n": claim.task.name}))
            last = time.perf_counter()
        times.put((n, worst))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--tasks", type=int, default=6400)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=chosen.folder))
    context = multiprocessing.get_context("fork")
    barrier, times = context.Barrier(chosen.workers + 1), context.Queue()
    tasks = [Task(f"{k:06d}", weight=k) for k in range(chosen.tasks)]
    processes = [
        context.Process(target=work, args=(folder, tasks, barrier, times)) for _ in range(chosen.workers)
    ]
    for process in processes:
        process.start()
    barrier.wait()
    begin = time.perf_counter()
    found = [times.get() for _ in processes]
    seconds = time.perf_counter() - begin
    for process in processes:
        process.join()
    n_rows = len(list((folder / "rows").iterdir()))
    shutil.rmtree(folder)
    print("| workers | tasks | rows | claims | seconds | claims a second | longest wait for a claim, s |")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    n_claims, worst = sum(n for n, _ in found), max(wait for _, wait in found)
    print(
        f"| {chosen.workers} | {chosen.tasks:,} | {n_rows:,} | {n_claims:,} | {seconds:.1f} | "
        f"{n_claims / seconds:.0f} | {worst:.2f} |"
    )


if __name__ == "__main__":
    main()
